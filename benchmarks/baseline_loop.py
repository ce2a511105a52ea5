"""The training loop that benchmarks/training_step.py compares with: that of transformers' own example.

Follows `examples/pytorch/object-detection/run_object_detection_no_trainer.py` with its defaults: a `with_transform`
that augments with albumentations and calls the image processor, a DataLoader, AdamW on all parameters, a linear
schedule, no clipping, no moving average; scores by torchmetrics. Needs `pip install albumentations torchmetrics
pycocotools`; the project itself does not.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import set_seed
from torch.utils.data import DataLoader
from torchmetrics.detection.mean_ap import MeanAveragePrecision
from training_rounds import BACKWARD, FORWARD, LOSS, METRIC, POST, STEP, Rounds
from transformers import AutoImageProcessor, AutoModelForObjectDetection, get_scheduler

from radikal_datasets.loading.sets import rows

if TYPE_CHECKING:
    import albumentations

LEARNING_RATE = 5e-5


def run(
    splits: Mapping[Any, Any], model_dir: str, edge: int, batch: int, workers: int, rounds: Rounds, augment: bool = True
) -> None:
    """Train and score in rounds until `rounds` ends the process; `augment=False` needs no albumentations."""
    accelerator = Accelerator(mixed_precision="fp16" if torch.cuda.is_available() else "no")
    set_seed(0, device_specific=True)
    model = AutoModelForObjectDetection.from_pretrained(model_dir)
    processor = AutoImageProcessor.from_pretrained(
        model_dir,
        do_resize=True,
        size={"max_height": edge, "max_width": edge},
        do_pad=True,
        pad_size={"height": edge, "width": edge},
    )
    names = model.config.id2label
    train = as_objects(splits["train"]).with_transform(
        partial(transform_batch, transform=augmentation(edge) if augment else None, processor=processor)
    )
    validation = as_objects(splits["validation"]).with_transform(
        partial(transform_batch, transform=None, processor=processor)
    )
    common = {"batch_size": batch, "num_workers": workers, "collate_fn": collate}
    train_loader = DataLoader(train, shuffle=True, **common)  # pyright: ignore[reportArgumentType]
    validation_loader = DataLoader(validation, shuffle=False, **common)  # pyright: ignore[reportArgumentType]
    optimizer = torch.optim.AdamW(list(model.parameters()), lr=LEARNING_RATE)
    schedule = get_scheduler("linear", optimizer, num_warmup_steps=0, num_training_steps=100_000)
    model, optimizer, train_loader, validation_loader, schedule = accelerator.prepare(
        model, optimizer, train_loader, validation_loader, schedule
    )
    clock = rounds.clock
    clock.wrap(model, "loss_function", LOSS)
    clock.wrap(model, "forward", FORWARD)
    clock.wrap(accelerator, "backward", BACKWARD)
    clock.wrap(optimizer, "step", STEP)
    clock.wrap(type(processor), "post_process_object_detection", POST)

    steps = 0
    while True:
        model.train()
        for inputs in rounds.gate(train_loader):
            with accelerator.accumulate(model):
                loss = model(**inputs).loss
                accelerator.backward(loss)
                optimizer.step()
                schedule.step()
                optimizer.zero_grad()
            steps += 1
            # The example scores after each epoch; here it scores after each round.
            if steps % rounds.length == 0:
                rounds.evaluated(lambda: evaluate(model, processor, validation_loader, names, rounds))
                model.train()


def as_objects(split: datasets.Dataset) -> datasets.Dataset:
    """Return the example's columns: image_id, image, objects with id, area, bbox (x, y, width, height) and category."""
    columns: dict[str, list[Any]] = {"image_id": [], "image": [], "objects": []}
    for number, row in enumerate(rows(split, ["image", "boxes", "labels"])):
        boxes = [[x0, y0, x1 - x0, y1 - y0] for x0, y0, x1, y1 in row["boxes"]]
        columns["image_id"].append(number)
        columns["image"].append(row["image"])
        columns["objects"].append(
            {
                "id": list(range(len(boxes))),
                "area": [w * h for _, _, w, h in boxes],
                "bbox": boxes,
                "category": row["labels"],
            }
        )
    integers, fraction = datasets.List(datasets.Value("int64")), datasets.Value("float32")
    objects = {
        "id": integers,
        "area": datasets.List(fraction),
        "bbox": datasets.List(datasets.List(fraction)),
        "category": integers,
    }
    features = datasets.Features(
        {"image_id": datasets.Value("int64"), "image": datasets.Image(), "objects": objects}  # pyright: ignore
    )
    return datasets.Dataset.from_dict(columns, features=features)


def augmentation(edge: int) -> albumentations.Compose:
    """Return the example's augmentation."""
    import albumentations

    crop = albumentations.Compose(
        [
            albumentations.SmallestMaxSize(max_size=edge, p=1.0),
            albumentations.RandomSizedBBoxSafeCrop(height=edge, width=edge, p=1.0),
        ],
        p=0.2,
    )
    blur = albumentations.OneOf(
        [
            albumentations.Blur(blur_limit=7, p=0.5),
            albumentations.MotionBlur(blur_limit=7, p=0.5),
            albumentations.Defocus(radius=(1, 5), alias_blur=(0.1, 0.25), p=0.1),
        ],
        p=0.1,
    )
    light = [albumentations.RandomBrightnessContrast(p=0.5), albumentations.HueSaturationValue(p=0.1)]
    shape = [albumentations.Perspective(p=0.1), albumentations.HorizontalFlip(p=0.5)]
    return albumentations.Compose([crop, blur, *shape, *light], bbox_params=_box_format(min_area=25))


def _box_format(**options: Any) -> albumentations.BboxParams:
    import albumentations

    return albumentations.BboxParams(format="coco", label_fields=["category"], clip=True, **options)


def transform_batch(examples: Mapping[str, Any], transform: Any, processor: Any) -> Any:
    """Pass a batch of examples through augmentation and image processor."""
    images, annotations = [], []
    for number, image, objects in zip(examples["image_id"], examples["image"], examples["objects"], strict=True):
        pixels = np.array(image.convert("RGB"))
        found = {"image": pixels, "bboxes": objects["bbox"], "category": objects["category"]}
        if transform is not None:
            found = transform(**found)
        images.append(found["image"])
        ground_truth = zip(found["category"], objects["area"], found["bboxes"], strict=False)
        annotations.append(
            {
                "image_id": number,
                "annotations": [
                    {"image_id": number, "category_id": label, "iscrowd": 0, "area": area, "bbox": list(box)}
                    for label, area, box in ground_truth
                ],
            }
        )
    result = processor(images=images, annotations=annotations, return_tensors="pt")
    result.pop("pixel_mask", None)
    return result


def collate(batch: list[Any]) -> dict[str, Any]:
    """Stack images of one size."""
    return {
        "pixel_values": torch.stack([example["pixel_values"] for example in batch]),
        "labels": [example["labels"] for example in batch],
    }


@torch.no_grad()
def evaluate(model: Any, processor: Any, loader: Any, names: Mapping[int, str], rounds: Rounds) -> dict[str, Any]:
    """Return torchmetrics' scores, over all classes and per class."""
    model.eval()
    backend = "pycocotools" if importlib.util.find_spec("pycocotools") else "faster_coco_eval"
    metric = MeanAveragePrecision(box_format="xyxy", class_metrics=True, backend=backend)
    for batch in rounds.clock.waits(loader):
        outputs = model(**batch)
        sizes = torch.stack([label["orig_size"] for label in batch["labels"]])
        predictions = processor.post_process_object_detection(outputs, threshold=0.0, target_sizes=sizes)
        found = [{key: value.cpu() for key, value in prediction.items()} for prediction in predictions]
        targets = []
        for label in batch["labels"]:
            center_x, center_y, width, height = label["boxes"].cpu().unbind(-1)
            corners = (center_x - width / 2, center_y - height / 2, center_x + width / 2, center_y + height / 2)
            scale = label["orig_size"].cpu().flip(0).repeat(2)
            targets.append({"boxes": torch.stack(corners, -1) * scale, "labels": label["class_labels"].cpu()})
        with rounds.clock.part(METRIC):
            metric.update(found, targets)
    with rounds.clock.part(METRIC):
        scores = metric.compute()
    by_class = zip(scores.pop("classes"), scores.pop("map_per_class"), scores.pop("mar_100_per_class"), strict=True)
    for number, precision, recall in by_class:
        scores |= {f"map_{names[int(number)]}": precision, f"mar_100_{names[int(number)]}": recall}
    return {key: round(float(value), 4) for key, value in scores.items()}
