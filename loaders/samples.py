"""One row to one sample, and samples to a batch; runs in worker processes where there are any."""

from __future__ import annotations

from typing import Any

import datasets
import torch
from torch.utils.data import Dataset
from torchvision import tv_tensors
from torchvision.ops import box_convert
from torchvision.transforms import v2

from loaders.augmentation import Augment, Sample, drop_without_area, resize
from loaders.decoding import decode_image
from loaders.ordering import mix
from radikal_datasets.errors import UnreadableImageError


class Samples(Dataset):
    """(epoch, index, repeated) to one sample; picklable, so that worker processes can have it."""

    def __init__(
        self,
        dataset: datasets.Dataset,
        image_size: tuple[int, int],
        augment: Augment | None,
        seed: int,
        keep_aspect: bool,
    ) -> None:
        self.dataset, self.image_size, self.augment = dataset, image_size, augment
        self.seed, self.keep_aspect = seed, keep_aspect

    def __getitem__(self, key: tuple[int, int, bool]) -> dict[str, Any]:
        try:
            return self._sample(*key)
        except UnreadableImageError as error:
            return {"error": error}  # raised where the batch arrives: a DataLoader would make a RuntimeError of it

    def _sample(self, epoch: int, index: int, repeated: bool) -> dict[str, Any]:
        row = self.dataset[index]
        height, width = row["height"], row["width"]
        image = tv_tensors.Image(decode_image(row["image"], row["image_id"], (height, width)))
        corners = torch.tensor(row["boxes"], dtype=torch.float32).reshape(-1, 4)
        boxes = tv_tensors.BoundingBoxes(corners, format="XYXY", canvas_size=(height, width))  # type: ignore[call-overload]
        sample: Sample = (image, boxes, torch.tensor(row["labels"], dtype=torch.int64))
        content = content_size((height, width), self.image_size) if self.keep_aspect else self.image_size
        if self.augment is None:
            sample = resize(sample, content)
        else:
            with torch.random.fork_rng(devices=[]):  # the caller's random state is left as it was
                torch.manual_seed(mix(self.seed, epoch, index))
                sample = self.augment(sample, content)
        image, boxes, labels = sample
        corners, labels = drop_without_area(torch.as_tensor(boxes).clamp_min(0), labels)
        canvas_height, canvas_width = self.image_size
        frame = torch.tensor([canvas_width, canvas_height, canvas_width, canvas_height], dtype=torch.float32)
        centred = box_convert(corners.as_subclass(torch.Tensor), "xyxy", "cxcywh")
        return {
            "image": v2.functional.pad(
                torch.as_tensor(image).as_subclass(torch.Tensor),
                [0, 0, canvas_width - content[1], canvas_height - content[0]],
            ),
            "content": content,
            "boxes": centred / frame,
            "class_labels": labels.as_subclass(torch.Tensor),
            "image_id": row["image_id"],
            "orig_size": (height, width),
            "canvas_size": (height * canvas_height / content[0], width * canvas_width / content[1]),
            "repeated": repeated,
        }


def collate(samples: list[dict[str, Any]]) -> dict[str, Any]:
    """Samples of one canvas to a batch on the CPU, `pixel_values` still uint8; an error among them takes its place."""
    for sample in samples:
        if "error" in sample:
            return sample
    planes = max(sample["image"].shape[0] for sample in samples)
    batch: dict[str, Any] = {
        "pixel_values": torch.stack([sample["image"].expand(planes, -1, -1) for sample in samples]),
        "labels": [{"class_labels": sample["class_labels"], "boxes": sample["boxes"]} for sample in samples],
        "image_id": [sample["image_id"] for sample in samples],
        "orig_size": torch.tensor([sample["orig_size"] for sample in samples]),
        "canvas_size": torch.tensor([sample["canvas_size"] for sample in samples], dtype=torch.float32),
        "repeated": torch.tensor([sample["repeated"] for sample in samples]),
    }
    canvas = tuple(batch["pixel_values"].shape[-2:])
    if any(sample["content"] != canvas for sample in samples):
        mask = torch.zeros((len(samples), *canvas), dtype=torch.int64)
        for one, sample in zip(mask, samples, strict=True):
            one[: sample["content"][0], : sample["content"][1]] = 1
        batch["pixel_mask"] = mask
    return batch


def content_size(size: tuple[int, int], canvas: tuple[int, int]) -> tuple[int, int]:
    """(height, width) of the largest image of `size`'s proportions on the canvas."""
    ratio = min(canvas[0] / size[0], canvas[1] / size[1])
    return max(1, min(canvas[0], round(size[0] * ratio))), max(1, min(canvas[1], round(size[1] * ratio)))
