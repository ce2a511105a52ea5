"""Augmentations that add something to an image or remove it: mosaic, copy-paste, erasing."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F  # noqa: N812

from loaders.augmentation import boxes as boxes_
from loaders.augmentation.batch import Batch

#: Positions tried for each instance that copy-paste moves; if all are taken, the instance is left out.
_TRIES = 20
#: Share of the content that erasing covers, and the largest ratio of its sides.
_ERASED = (0.02, 0.2)
_LONGEST = 3.0


def mosaic(batch: Batch, probability: float, generator: torch.Generator) -> Batch:
    """Turn images into two-by-two collages of themselves and three images of the batch, drawn with replacement.

    Each tile is a canvas at half size, its padding filled with the mean; the content of a collage is the entire canvas.
    On a canvas of odd size, the lower and right tiles lose their last half pixel.
    """
    count = len(batch.images)
    hit = (torch.rand(count, generator=generator) < probability).nonzero()[:, 0]
    if not len(hit):
        return batch
    tiles = torch.randint(count, (len(hit), 4), generator=generator)
    own_place = torch.randint(4, (len(hit), 1), generator=generator)
    tiles.scatter_(1, own_place, hit[:, None])
    sources, place = torch.unique(tiles, return_inverse=True)
    small = _half_size_images(batch, sources)
    height, width = batch.canvas
    planes, tile_height, tile_width = small.shape[1:]
    collage = small[place.to(small.device, non_blocking=True)].view(-1, 2, 2, planes, tile_height, tile_width)
    collage = collage.permute(0, 3, 1, 4, 2, 5).reshape(-1, planes, 2 * tile_height, 2 * tile_width)
    images = batch.images.clone()
    images[hit.to(images.device, non_blocking=True)] = collage[:, :, :height, :width]
    content = batch.content.clone()
    content[hit] = torch.tensor([height, width])

    # The boxes of each tile's image: (tile, row) of each; tiles are numbered across all collages.
    tile, rows = (tiles.view(-1, 1) == batch.owners).nonzero(as_tuple=True)
    corner = torch.stack([tile % 2 * tile_width, tile % 4 // 2 * tile_height], 1)
    pasted = batch.select(rows)
    pasted.owners = hit[tile // 4]
    pasted.boxes = pasted.boxes / 2 + corner.repeat(1, 2)
    pasted.boxes = boxes_.clip(pasted.boxes, content[pasted.owners])
    if pasted.masks is not None and len(rows):
        masks_before, pasted.masks = pasted.masks, _half_size_masks(pasted.masks, corner)
        pasted.boxes = boxes_.tightened(pasted.boxes, pasted.masks, masks_before)
    pasted = pasted.keep(boxes_.area(pasted.boxes) > 0)
    others = batch.keep(~torch.isin(batch.owners, hit))
    return joined(replace(others, images=images, content=content), pasted)


def copy_paste(batch: Batch, probability: float, generator: torch.Generator) -> Batch:
    """Paste the instances of another image of the batch by their masks, each where it overlaps no existing box.

    An instance without a mask, or for which no free position was found within the content, is left out.

    Raises:
        ValueError: the batch has no masks.
    """
    if batch.masks is None:
        raise ValueError("copy_paste needs instance masks, but this batch has none. Set masks=True, or copy_paste=0.")
    count = len(batch.images)
    hits = (torch.rand(count, generator=generator) < probability).nonzero()[:, 0].tolist()
    if count < 2 or not hits or not len(batch.boxes):
        return batch
    has_mask = batch.masks.flatten(1).any(1).cpu()
    images = batch.images.clone()
    rows, targets, places, masks = [], [], [], []
    for target in hits:
        other = (target + int(torch.randint(1, count, (), generator=generator))) % count
        taken = batch.boxes[batch.owners == target]
        for row in (has_mask & (batch.owners == other)).nonzero()[:, 0].tolist():
            box = batch.boxes[row]
            x, y, x_end, y_end = torch.cat([box[:2].floor(), box[2:].ceil()]).long().tolist()
            size = torch.tensor([y_end - y, x_end - x])
            place = free_place(size, batch.content[target], taken, generator)
            if place is None:
                continue
            to_y, to_x = place
            box = box + torch.tensor([to_x - x, to_y - y] * 2)
            shape = batch.masks[row, y:y_end, x:x_end]
            there = (slice(to_y, to_y + y_end - y), slice(to_x, to_x + x_end - x))
            patch = images[target, :, *there]
            patch.copy_(torch.where(shape, batch.images[other, :, y:y_end, x:x_end], patch))
            mask = torch.zeros_like(batch.masks[row])
            mask[there] = shape
            taken = torch.cat([taken, box[None]])
            rows.append(row)
            targets.append(target)
            places.append(box)
            masks.append(mask)
    if not rows:
        return batch
    pasted = replace(
        batch,
        boxes=torch.stack(places),
        labels=batch.labels[torch.tensor(rows)],
        owners=torch.tensor(targets),
        masks=torch.stack(masks),
    )
    return joined(replace(batch, images=images), pasted)


def erase(batch: Batch, probability: float, min_visible: float, generator: torch.Generator) -> Batch:
    """Fill a rectangle of 2 to 20 % of the content with the image's mean.

    A box shrinks to the bounding box of what is left of it, and of its mask if it has one. It is removed if less than
    `min_visible` of its area, or of its mask, is left.
    """
    height, width = batch.canvas
    device = batch.images.device
    holes = _draw_holes(batch.content, probability, generator)
    if not bool(holes.any()):
        return batch
    x_min, y_min, x_max, y_max = holes.to(device, non_blocking=True).T[:, :, None]
    rows, columns = torch.arange(height, device=device), torch.arange(width, device=device)
    erased = ((rows >= y_min) & (rows < y_max))[:, :, None] & ((columns >= x_min) & (columns < x_max))[:, None]
    images = torch.where(erased[:, None], batch.mean(), batch.images)

    boxes, share = boxes_.without(batch.boxes, holes[batch.owners].to(batch.boxes.dtype))
    keep = (share >= min_visible) & (boxes_.area(boxes) > 0)
    masks, masks_before = batch.masks, batch.masks
    if masks_before is not None and len(masks_before):
        masks = masks_before & ~erased[batch.owners.to(device, non_blocking=True)]
        pixels = torch.stack([masks_before.flatten(1).sum(1), masks.flatten(1).sum(1)]).cpu()
        keep &= pixels[1] >= min_visible * pixels[0]
        boxes = boxes_.tightened(boxes, masks, masks_before)
        keep &= boxes_.area(boxes) > 0
    return replace(batch, images=images, boxes=boxes, masks=masks).keep(keep)


def _half_size_images(batch: Batch, sources: torch.Tensor) -> torch.Tensor:
    """Return the canvases of the images `sources`, padding filled with the mean, at half size (rounded up)."""
    height, width = batch.canvas
    inside, images, mean = batch.inside(), batch.images, batch.mean()
    index = sources.to(images.device, non_blocking=True)
    images = images[index] if inside is None else torch.where(inside[index], images[index], mean[index])
    # With an additional row or column if their number is odd, the size is halved exactly, as the boxes are.
    images = F.pad(images, [0, width % 2, 0, height % 2], mode="replicate")
    size = [(height + 1) // 2, (width + 1) // 2]
    return F.interpolate(images, size, mode="bilinear", antialias=True, align_corners=False)


def _half_size_masks(masks: torch.Tensor, corners: torch.Tensor) -> torch.Tensor:
    """Return masks (N, H, W) at half size on canvases of (H, W), at corners (x, y), thresholded at half a pixel."""
    height, width = masks.shape[1:]
    padded = F.pad(masks, [0, width % 2, 0, height % 2]).to(torch.uint8)
    covered = padded[:, 0::2, 0::2] + padded[:, 1::2, 0::2] + padded[:, 0::2, 1::2] + padded[:, 1::2, 1::2]
    placed = torch.zeros_like(masks)
    for mask, tile, (x, y) in zip(placed, covered >= 2, corners.tolist(), strict=True):
        room = mask[y : y + tile.shape[0], x : x + tile.shape[1]]
        room.copy_(tile[: room.shape[0], : room.shape[1]])
    return placed


def joined(batch: Batch, pasted: Batch) -> Batch:
    """Return the boxes of both on the images of the first, in the order of their owners."""
    both = replace(
        batch,
        boxes=torch.cat([batch.boxes, pasted.boxes]),
        labels=torch.cat([batch.labels, pasted.labels]),
        owners=torch.cat([batch.owners, pasted.owners]),
        masks=None if batch.masks is None or pasted.masks is None else torch.cat([batch.masks, pasted.masks]),
    )
    return both.select(both.owners.argsort(stable=True))


def free_place(
    size: torch.Tensor, content: torch.Tensor, taken: torch.Tensor, generator: torch.Generator
) -> list[int] | None:
    """Return top and left of a free position for (height, width) = `size` in `content`, clear of the `taken` boxes."""
    room = content - size + 1
    places = (torch.rand((_TRIES, 2), generator=generator) * room).long()
    found = torch.cat([places.flip(1), (places + size).flip(1)], 1).float()
    overlap = boxes_.area(boxes_.intersection(found.repeat_interleave(len(taken), 0), taken.repeat(_TRIES, 1)))
    free = (overlap.view(_TRIES, len(taken)) == 0).all(1).nonzero()
    if bool((room < 1).any()) or not len(free):
        return None
    return places[int(free[0])].tolist()


def _draw_holes(content: torch.Tensor, probability: float, generator: torch.Generator) -> torch.Tensor:
    """Return int64 (B, 4), x_min, y_min, x_max, y_max of a rectangle within each content; all 0 if none is erased."""
    hit, share, ratio, top, left = torch.rand((5, len(content)), generator=generator)
    height, width = content.float().T
    area = (_ERASED[0] + share * (_ERASED[1] - _ERASED[0])) * height * width
    hole_height = (area * _LONGEST ** (2 * ratio - 1)).sqrt()
    # Neither side may be longer than the content: what is too wide becomes higher, and vice versa.
    hole_height = torch.minimum(torch.maximum(hole_height, area / width), height).round().clamp_min(1)
    hole_width = torch.minimum((area / hole_height).round().clamp_min(1), width)
    y, x = (top * (height - hole_height + 1)).floor(), (left * (width - hole_width + 1)).floor()
    holes = torch.stack([x, y, x + hole_width, y + hole_height], 1).long()
    return holes * (hit < probability)[:, None]
