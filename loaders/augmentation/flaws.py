"""Synthetic flaws: soft bright blobs, as voids in a casting look in an X-ray, each with a box.

Less material means less attenuation: the gray level of a place grows by a factor that depends on the void's depth.
Drawing blobs on X-rays of sound castings is an established way to more training images (Mery, Computer Vision for
X-Ray Testing, 2015).
"""

from __future__ import annotations

from dataclasses import replace

import torch

from loaders.augmentation.batch import Batch
from loaders.augmentation.mixing import free_place, joined

#: Flaws per image at most; smallest and largest length as a fraction of the canvas's shorter edge; how much longer
#: than wide at most.
_MOST, _LENGTH, _LONGEST = 3, (0.05, 0.25), 2.5
#: Growth of the gray level in a flaw's center, drawn uniformly on a log scale.
_GROWTH = (0.04, 0.6)
#: A box ends where this share of the growth is left; a flaw is drawn only where it changes its box by at least this
#: many gray levels in the mean, and where the image is neither black nor white.
_EDGE, _VISIBLE, _LEVELS = 0.3, 2.0, (25.0, 230.0)


def flaws(batch: Batch, probability: float, label: int, generator: torch.Generator) -> Batch:
    """Draw one to three flaws on some images, clear of the boxes there.

    Args:
        probability: of an image to get any.
        label: the class of the new boxes.
        generator: on the CPU; everything is drawn from it.

    Raises:
        ValueError: the batch has masks, which flaws have not.
    """
    if batch.masks is not None:
        raise ValueError("Synthetic flaws have no masks: set either flaws or copy_paste to 0.")
    images, new, owners = batch.images, [], []
    hit = torch.rand(len(images), generator=generator) < probability
    for number in hit.nonzero()[:, 0].tolist():
        taken = batch.boxes[batch.owners == number]
        for _ in range(int(torch.randint(1, _MOST + 1, (1,), generator=generator))):
            drawn = _drawn(images[number], batch.content[number], taken, generator)
            if drawn is None:
                continue
            image, box = drawn
            if images is batch.images:
                images = batch.images.clone()
            images[number] = image
            taken = torch.cat([taken, box[None]])
            new.append(box)
            owners.append(number)
    if not new:
        return batch
    pasted = replace(
        batch,
        boxes=torch.stack(new),
        labels=torch.full((len(new),), label, dtype=batch.labels.dtype),
        owners=torch.tensor(owners, dtype=batch.owners.dtype),
    )
    return joined(replace(batch, images=images), pasted)


def _drawn(
    image: torch.Tensor, content: torch.Tensor, taken: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Return an image (C, H, W) with one more flaw, and the flaw's box; None where it would not be seen."""
    draw = torch.rand(4, generator=generator)
    edge = float(content.min())
    length = edge * (_LENGTH[0] + float(draw[0]) * (_LENGTH[1] - _LENGTH[0]))
    profile = _profile(length, length / _LONGEST ** float(draw[1]), float(draw[2]) * torch.pi, generator)
    inside = profile >= _EDGE
    rows, columns = inside.any(1).nonzero()[:, 0], inside.any(0).nonzero()[:, 0]
    if not len(rows):
        return None
    top, left, bottom, right = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    place = free_place(torch.tensor([bottom - top, right - left]), content, taken, generator)
    if place is None:
        return None
    box = torch.tensor([place[1], place[0], place[1] + right - left, place[0] + bottom - top], dtype=torch.float32)
    # The blob's soft rim may reach over the content's edge.
    y, x = place[0] - top, place[1] - left
    up, down = max(0, y), min(int(content[0]), y + len(profile))
    first, last = max(0, x), min(int(content[1]), x + len(profile))
    part = profile[up - y : down - y, first - x : last - x].to(image.device)
    growth = _GROWTH[0] * (_GROWTH[1] / _GROWTH[0]) ** float(draw[3])
    before = image[:, up:down, first:last]
    after = (before * (1 + growth * part)).clamp(max=255)
    level = float(before[:, part >= _EDGE].mean())
    change = float((after - before)[:, part >= _EDGE].mean())
    if not _LEVELS[0] <= level <= _LEVELS[1] or change < _VISIBLE:
        return None
    image = image.clone()
    image[:, up:down, first:last] = after
    return image, box


def _profile(length: float, width: float, angle: float, generator: torch.Generator) -> torch.Tensor:
    """Return a blob, float32 (S, S), 0 to 1: an ellipse with an uneven rim that is as sharp as drawn."""
    reach = int(length * 0.75) + 3
    line = torch.arange(-reach, reach + 1, dtype=torch.float32)
    y, x = torch.meshgrid(line, line, indexing="ij")
    cos, sin = torch.cos(torch.tensor(angle)), torch.sin(torch.tensor(angle))
    along, across = (x * cos + y * sin) / (length / 2), (y * cos - x * sin) / (width / 2)
    turn = torch.atan2(across, along)
    waves = torch.rand((3, 2), generator=generator)
    rim = sum(0.12 * float(a) * torch.sin(k * turn + 6.28 * float(b)) for k, (a, b) in enumerate(waves, start=2))
    sharpness = 2 + 6 * float(torch.rand(1, generator=generator))
    distance = (along**2 + across**2).sqrt() * (1 + rim)
    return torch.exp(-(distance**sharpness) * 0.7)
