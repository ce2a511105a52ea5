"""The layout of MVTec AD, which anomalib reads: `train/good/`, `test/<defect>/`, `ground_truth/<defect>/`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import TracebackType
from typing import ClassVar

import numpy as np
import PIL.Image

from .shared import About, ImageFolders, Record

#: Folder of defective images with several classes, as in MVTec AD.
_SEVERAL = "combined"


class MvtecWriter:
    """Write images by defect, and one mask per defective image.

    Anomaly models are trained on defect-free images alone: those of the train split. All other images are test images,
    the defective ones of the train split excepted, which are left out.
    """

    HOLDS_MASKS: ClassVar[bool] = True
    REMARK: ClassVar[str] = "train/good holds the defect-free images of the train split, test/ those of all others"

    def __init__(self, folder: Path, classes: Sequence[str], about: About) -> None:
        self._classes = classes
        self._images = ImageFolders(folder)
        self._good = self._left_out = self._rectangles = self._converted = 0

    def __enter__(self) -> MvtecWriter:
        return self

    def add(self, record: Record) -> None:
        """Write the image, and its mask if it is defective.

        Files are numbered: anomalib pairs images and masks by the order of their names, and `a_1.png`, `a_10.png` has
        another order than `a_1_mask.png`, `a_10_mask.png`.
        """
        record = replace(record, stem=f"{record.number:06d}_{record.stem}")
        if record.split == "train":
            if record.boxes:
                self._left_out += 1
            else:
                self._good += 1
                self._add_image(record, "train/good")
            return
        if not record.boxes:
            self._add_image(record, "test/good")
            return
        classes = {*record.labels}
        defect = self._classes[classes.pop()] if len(classes) == 1 else _SEVERAL
        self._add_image(record, f"test/{_folder_name(defect)}")
        buffer = BytesIO()
        PIL.Image.fromarray(self._mask(record)).save(buffer, "PNG")
        self._images.write(f"ground_truth/{_folder_name(defect)}/{record.stem}_mask.png", buffer.getvalue())

    def _add_image(self, record: Record, folder: str) -> None:
        if record.extension != ".png":  # anomalib's MVTecAD looks for nothing else
            self._converted += 1
            record = as_png(record)
        self._images.add(record, folder)

    def _mask(self, record: Record) -> np.ndarray:
        mask = np.zeros((record.height, record.width), np.uint8)
        for png in record.masks:
            with PIL.Image.open(BytesIO(png)) as opened:
                mask |= np.asarray(opened)
        if not record.masks:
            self._rectangles += 1
            for x_min, y_min, x_max, y_max in record.boxes:
                mask[int(y_min) : -int(-y_max // 1), int(x_min) : -int(-x_max // 1)] = 255
        return mask

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        self._images.close()

    def not_held(self) -> list[str]:
        """Return boxes and classes of single defects, images left out, converted files and drawn masks."""
        phrases = ["single boxes: the masks of an image are one"]
        if not self._good:
            phrases.append("no defect-free image in the train split, which anomaly models need")
        if self._left_out:
            phrases.append(f"{self._left_out:,} defective images of the train split: left out")
        if self._rectangles:
            phrases.append(f"no masks for {self._rectangles:,} images: their boxes are filled instead")
        if self._converted:
            phrases.append(f"{self._converted:,} files that are not PNG: converted, with the same pixels")
        return phrases


def as_png(record: Record) -> Record:
    """Return the record with the image as PNG, with the same pixels."""
    buffer = BytesIO()
    with PIL.Image.open(BytesIO(record.data)) as image:
        image.save(buffer, "PNG")
    return replace(record, extension=".png", data=buffer.getvalue())


def _folder_name(name: str) -> str:
    """Return a class name as the name of a folder."""
    safe = "".join(one if one.isalnum() or one in "._- " else "_" for one in name).strip(" .")
    return safe if safe not in ("", "good") else f"{safe}_defect"
