"""`MaskBuilder`: a source whose images have one mask file each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ...annotations.class_mask import class_instances
from ...annotations.mask_file import mask_instances, read_mask
from ...errors import MalformedAnnotationError, UnknownClassError
from ...report import Report
from ...schema import Example, Instance
from .paired_builder import Found, PairedBuilder


@dataclass(frozen=True)
class Shows:
    """What an image shows, as far as its path says.

    Attributes:
        label: class name of everything in its mask; or value of the mask -> class name.
        defective: True or False: the mask has to agree. None: the mask alone decides, and there has to be one.
    """

    label: str | Mapping[int, str] = ""
    defective: bool | None = None


#: The path says that the image is defect-free; it needs no mask.
CLEAN = Shows(defective=False)


class MaskBuilder(PairedBuilder):
    """Reader of images with masks: `IMAGE`, `ANNOTATION` (the masks), `PAIR`, `ID`, and `shows` are all it needs."""

    def shows(self, found: Found) -> Shows:
        """Return what an image shows, from its path. By default its mask decides, and holds the only class.

        Raises:
            UnknownClassError: its path names a class that the configuration does not have.
        """
        (label,) = self.SOURCE.config(found.part).classes
        return Shows(label)

    def known_class(self, name: str, example_path: str, part: str) -> str:
        """Return a class name from a path.

        Raises:
            UnknownClassError: the configuration does not have it.
        """
        classes = self.SOURCE.config(part).classes
        if name not in classes:
            remedy = f"The classes are {', '.join(classes)}. Move the image to a folder of theirs, or remove it."
            raise UnknownClassError(example_path, f"class {name!r}", remedy)
        return name

    def annotate(self, example: Example, found: Found, report: Report) -> None:
        """Read the mask, and hold it against what the path says."""
        shows = self.shows(found)
        if found.annotation is None:
            if shows.defective is not False:
                self.unlabel(example, report, "no mask")
            return
        example.instances = self._instances(example, found, shows, report)
        if shows.defective is not None and bool(example.instances) != shows.defective:
            path_says = "defective" if shows.defective else "defect-free"
            says = f"the mask shows {len(example.instances)} defects, but the image's path says that it is {path_says}"
            raise MalformedAnnotationError(found.annotation, says, "Look at the image: mask and path disagree.")

    def _instances(self, example: Example, found: Found, shows: Shows, report: Report) -> list[Instance]:
        path, size = found.annotation or "", (example.width, example.height)
        if isinstance(shows.label, Mapping):
            return class_instances(found.tree, path, shows.label, *size)
        instances = mask_instances(found.tree, path, shows.label, *size, report)
        if not instances and read_mask(found.tree, path, *size).any():
            # A defect that is drawn too faintly must not make its image a defect-free one.
            what = "the mask is not empty, but all its values are too low to be a defect"
            raise MalformedAnnotationError(path, what, "Draw it with 0 and 255; its image is left out until then.")
        return instances
