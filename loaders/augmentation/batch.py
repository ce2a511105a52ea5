"""The input and output of an augmentation: a batch with its pixels on the device and its boxes on the CPU."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch


@dataclass
class Batch:
    """B images on canvases of one size (H, W), with their ground truth.

    Frame of all coordinates: pixels of the canvas, x to the right, y down; pixel k covers [k, k + 1).

    Boxes, labels and owners stay on the CPU, so that dropping a box does not make the CPU wait for the GPU.

    Attributes:
        images: float32 (B, C, H, W), gray levels 0..255, on any device. C is 1, 3 (RGB), or the planes of a pair; all
            planes of an image are changed alike. May be an expanded view or channels_last; it is never written to.
        content: int64 (B, 2), CPU: (height, width) of each image on its canvas, anchored top left; the rest of the
            canvas is padding.
        boxes: float32 (N, 4), CPU: x_min, y_min, x_max, y_max, half-open, within the content; all boxes of the batch.
        labels: int64 (N,), CPU.
        owners: int64 (N,), CPU: the image to which a box belongs, non-decreasing.
        masks: bool (N, H, W), on the images' device; None if they were not requested. A mask without pixels says
            nothing about its box: the instance has none.
    """

    images: torch.Tensor
    content: torch.Tensor
    boxes: torch.Tensor
    labels: torch.Tensor
    owners: torch.Tensor
    masks: torch.Tensor | None

    @property
    def canvas(self) -> tuple[int, int]:
        """(H, W) in pixels."""
        return self.images.shape[-2], self.images.shape[-1]

    def inside(self) -> torch.Tensor | None:
        """Return bool (B, 1, H, W) on the images' device, true on content; None if no image has padding."""
        height, width = self.canvas
        if bool((self.content == torch.tensor([height, width])).all()):
            return None
        device = self.images.device
        content = self.content.to(device, non_blocking=True)
        rows = torch.arange(height, device=device) < content[:, :1]
        columns = torch.arange(width, device=device) < content[:, 1:]
        return (rows[:, :, None] & columns[:, None, :])[:, None]

    def mean(self) -> torch.Tensor:
        """Return float32 (B, C, 1, 1): the mean of each plane over its content."""
        sizes = self.content.tolist()
        if all(tuple(size) == self.canvas for size in sizes):
            return self.images.mean((2, 3), keepdim=True)
        content = (image[:, :height, :width] for image, (height, width) in zip(self.images, sizes, strict=True))
        return torch.stack([image.mean((1, 2)) for image in content])[:, :, None, None]

    def on_content(self, images: torch.Tensor) -> torch.Tensor:
        """Return `images` where there is content, and this batch's own padding around it."""
        inside = self.inside()
        return images if inside is None else torch.where(inside, images, self.images)

    def select(self, rows: torch.Tensor) -> Batch:
        """Return the boxes at `rows`, int64 (M,) on the CPU, in that order, with their labels, owners and masks."""
        masks = self.masks
        if masks is not None:
            masks = masks[rows.to(masks.device, non_blocking=True)]
        boxes, labels, owners = self.boxes[rows], self.labels[rows], self.owners[rows]
        return replace(self, boxes=boxes, labels=labels, owners=owners, masks=masks)

    def keep(self, keep: torch.Tensor) -> Batch:
        """Return the boxes for which `keep`, bool (N,) on the CPU, is true."""
        return self if bool(keep.all()) else self.select(keep.nonzero()[:, 0])


#: Bytes of images that a CPU changes at once: intermediate results are several times as large.
_AT_ONCE = 2**22


def groups(images: torch.Tensor) -> Iterator[slice]:
    """Yield slices of images (B, C, H, W) to change together: all on a GPU; some on a CPU, to save memory and cache."""
    count = len(images)
    some = count
    if images.device.type == "cpu" and count:
        some = max(1, _AT_ONCE // (images[0].numel() * images.element_size()))
    for start in range(0, count, max(some, 1)):
        yield slice(start, start + some)


Augment = Callable[[Batch, torch.Generator], Batch]
