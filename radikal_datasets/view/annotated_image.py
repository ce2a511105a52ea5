"""One decoded image with its annotation, as sheets, galleries and viewers show it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from PIL import Image

#: Stand where the class of an image without boxes would: an annotated image, and one that is not.
DEFECT_FREE, NOT_ANNOTATED = "defect-free", "not annotated"


@dataclass(frozen=True)
class AnnotatedImage:
    """One decoded image with its ground truth.

    Attributes:
        title: name of its set, such as `gdxray/castings`.
        image, reference: 8-bit RGB; `reference` is the defect-free counterpart or None.
        boxes: xyxy, pixels of `image`, 0-based, half-open.
        labels: one per box, indices into the names of the classes.
        masks: one per box, of `image`'s size, inside where not 0; or empty.
        annotated: False where the image is unannotated.
    """

    image_id: str
    title: str
    split: str
    image: Image.Image
    boxes: Sequence[Sequence[float]] = ()
    labels: Sequence[int] = ()
    masks: Sequence[Image.Image] = field(default=())
    reference: Image.Image | None = None
    annotated: bool = True

    def counts(self) -> dict[int, int]:
        """Label -> boxes of it, in the order of labels."""
        labels = list(self.labels)
        return {label: labels.count(label) for label in sorted(set(labels))}

    def described(self, names: Sequence[str]) -> str:
        """Return the ground truth in words: `2 crazing, 1 patches`, `defect-free` or `not annotated`."""
        if self.labels:
            return ", ".join(f"{count} {names[label]}" for label, count in self.counts().items())
        return DEFECT_FREE if self.annotated else NOT_ANNOTATED
