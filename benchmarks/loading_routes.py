"""What benchmarks/loading.py measures: the two limits, and every route from encoded images to batches.

A route is a function `(data, size, passes, workers, shuffle)` that returns a function; each call of that function goes
through the dataset `passes` times and yields (pixels, images): uint8 or normalized float planes (B, 1 or 3, H, W).
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import numpy as np
import simplejpeg
import torch
from loading_data import SHARDS, Data, coco_annotations
from torch.utils.data import DataLoader
from torchvision import tv_tensors
from torchvision.io import decode_image
from torchvision.transforms import v2

Epoch = Callable[[], Iterator[tuple[torch.Tensor, int]]]

BATCH = 16  # set to the recipe's before a route is built
GRAY_MEAN, GRAY_STD = (0.449,) * 3, (0.226,) * 3  # averages of ImageNet's three: for gray, one plane suffices
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


# --- the limits -------------------------------------------------------------------------------------------------------
# Tried on 2 cores (AMD EPYC), medians of 5 to 7 interleaved runs:
# - JPEG: simplejpeg beats OpenCV by 3-5 % and torchvision by 10-20 %; `strict=False` and a fixed share of the images
#   for each thread (here each takes the next one) change nothing; decoding into a ring of 32 buffers instead of one
#   costs 2 %. `fastdct` gains 3-9 %, but changes the pixels, so it would be less work than the loaders do.
# - PNG: OpenCV; Pillow takes 5-15 % longer, libspng (imagecodecs) 10 % on gray. torchvision, which cannot decode
#   into a given buffer, takes 2-4 % less; imagecodecs (zlib-ng) 5 % less on gray, 15 % on RGB.
# - Floats: addWeighted from uint8 straight to float beats torch's copy_ + add by 2-9 %, lookup tables by 1-2 %; numpy
#   and torch.add on uint8 take up to twice as long. Three planes: split, then the same on each plane, which takes a
#   quarter of the time of torch's permuted copy.


def decoder(data: Data, **scaling: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    """Return a function (encoded, memory) -> pixels, (h, w) or (h, w, 1 or 3); a JPEG is decoded into the memory."""
    if data.suffix == ".png":
        flag = cv2.IMREAD_GRAYSCALE if data.planes == 1 else cv2.IMREAD_COLOR_RGB
        return lambda encoded, _: cv2.imdecode(encoded, flag)
    space, decode = "GRAY" if data.planes == 1 else "RGB", simplejpeg.decode_jpeg
    return lambda encoded, memory: decode(encoded, space, buffer=memory, **scaling)


def bare_decode(data: Data, size: tuple[int, int], passes: int, threads: int, check: bool) -> Epoch:
    """L1: decode every image into reused memory, one buffer per thread, which is fastest."""
    views, shape = data.views, (*data.native, data.planes)
    kept = np.empty((BATCH, *shape), np.uint8)
    copies = data.suffix == ".png"  # OpenCV cannot decode into a given buffer

    def worker() -> Callable[[int], None]:
        decode, own = decoder(data), np.empty(shape, np.uint8)

        def one(index: int) -> None:
            target = kept[index % BATCH] if check else own
            pixels = decode(views[index % len(views)], target)
            if copies:
                np.copyto(target, pixels.reshape(shape))

        return one

    return lambda: limit(data, passes, threads, check, worker, torch.from_numpy(kept).permute(0, 3, 1, 2))


def float_write(data: Data, size: tuple[int, int], passes: int, threads: int, check: bool) -> Epoch:
    """L2: decode, resize and write floats into the same batch buffer again and again."""
    views, floats = data.views, np.empty((BATCH, data.planes, *size), np.float32)
    mean, std = (GRAY_MEAN, GRAY_STD) if data.planes == 1 else IMAGENET
    affine = [(1 / 255 / s, -m / s) for m, s in zip(mean, std, strict=True)][: data.planes]
    down = [have / want for have, want in zip(data.native, size, strict=True)]
    scaling = {"min_height": size[0], "min_width": size[1], "min_factor": 2} if min(down) >= 2 else {}
    how = cv2.INTER_AREA if max(down) >= 2 else cv2.INTER_LINEAR

    def worker() -> Callable[[int], None]:
        decode, memory = decoder(data, **scaling), np.empty((*data.native, data.planes), np.uint8)
        resized = np.empty((*size, data.planes), np.uint8)
        planes = [np.empty(size, np.uint8) for _ in range(data.planes)]

        def one(index: int) -> None:
            pixels = decode(views[index % len(views)], memory)
            if pixels.shape[:2] != size:
                pixels = cv2.resize(pixels, size[::-1], dst=resized, interpolation=how)
            split = [pixels] if data.planes == 1 else cv2.split(pixels, planes)
            for plane, target, (scale, shift) in zip(split, floats[index % BATCH], affine, strict=True):
                cv2.addWeighted(plane, scale, plane, 0.0, shift, dst=target, dtype=cv2.CV_32F)

        return one

    return lambda: limit(data, passes, threads, check, worker, torch.from_numpy(floats))


def limit(
    data: Data, passes: int, threads: int, check: bool, worker: Callable[[], Callable[[int], None]], out: torch.Tensor
) -> Iterator[tuple[torch.Tensor, int]]:
    """Call `worker()` once in each thread; what it returns is called with 0..count-1, divided among the threads."""
    count, tickets = BATCH if check else passes * len(data.views), itertools.count()

    def work(_: int) -> None:
        one = worker()
        while (index := next(tickets)) < count:
            one(index)

    cv2.setNumThreads(1)
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))
    yield out, count


# --- the routes -------------------------------------------------------------------------------------------------------


def ours(*, raw: bool = False, gray: bool = False, augmented: bool = False) -> Callable[..., Epoch]:
    def route(data: Data, size: tuple[int, int], passes: int, threads: int, check: bool) -> Epoch:
        from loaders import Augmentation, DetectionLoader

        mean, std = (GRAY_MEAN, GRAY_STD) if gray else IMAGENET
        loader = DetectionLoader(
            data.repeated(passes),
            BATCH,
            size,
            augment=Augmentation() if augmented else None,
            shuffle=not check,
            threads=threads,
            mean=mean,
            std=std,
            channels="gray" if data.planes == 1 else "rgb",
        )
        if raw:
            return lambda: ((batch.pixels, len(batch.pixels)) for batch in loader.raw())
        return lambda: counted(loader)

    return route


def processor(data: Data, size: tuple[int, int], passes: int, workers: int, check: bool) -> Epoch:
    """The route of transformers' object detection example: decoded images, COCO annotations, the model's processor."""
    from training.models import image_processor

    prepare_images = image_processor("rt_detr_v2", size)

    def transform(examples: dict[str, list[Any]]) -> Any:
        images = [np.array(image.convert("RGB")) for image in examples["image"]]
        truth = zip(examples["number"], examples["boxes"], examples["labels"], strict=True)
        annotations = [{"image_id": n, "annotations": coco_annotations(n, b, k)} for n, b, k in truth]
        return prepare_images(images=images, annotations=annotations, return_tensors="pt")

    rows = data.repeated(passes).select_columns(["number", "image", "boxes", "labels"]).with_transform(transform)

    def collate_rows(batch: list[dict[str, Any]]) -> dict[str, Any]:
        pixels = torch.stack([row["pixel_values"] for row in batch])
        return {"pixel_values": pixels, "labels": [row["labels"] for row in batch]}

    return in_data_loader(rows, workers, check, collate_rows)


def coco(data: Data, size: tuple[int, int], passes: int, workers: int, check: bool) -> Epoch:
    """torchvision's CocoDetection on image files, with transforms v2."""
    import faster_coco_eval
    from torchvision.datasets import CocoDetection, wrap_dataset_for_transforms_v2

    faster_coco_eval.init_as_pycocotools()  # the project uses it in place of pycocotools
    transforms = v2.Compose([v2.ToImage(), to_floats(size)])
    files = CocoDetection(data.folder / "files", str(data.folder / "instances.json"), transforms=transforms)
    wrapped = wrap_dataset_for_transforms_v2(files, target_keys=("boxes", "labels"))
    repeated = torch.utils.data.Subset(wrapped, [*range(len(files))] * passes)
    return in_data_loader(repeated, workers, check, lambda batch: collate([(i, t.get("boxes"), t) for i, t in batch]))


def web(data: Data, size: tuple[int, int], passes: int, workers: int, check: bool) -> Epoch:
    """WebDataset: tar shards, decoded by torchvision (faster than its own decoder, which uses Pillow)."""
    import webdataset

    def sample(row: dict[str, bytes]) -> Any:
        return transformed(to_floats(size), row[data.suffix[1:]], row["json"])

    shards = [str(data.folder / f"shard-{number}.tar") for number in range(SHARDS)]
    dataset = webdataset.WebDataset(shards * passes, shardshuffle=False, empty_check=False).map(sample)
    batched = dataset.batched(BATCH, collation_fn=collate, partial=True)
    loader = webdataset.WebLoader(batched, batch_size=None, num_workers=workers, persistent_workers=workers > 0)
    return lambda: counted(loader)


def lit(data: Data, size: tuple[int, int], passes: int, workers: int, check: bool) -> Epoch:
    """LitData: the files' own bytes in its chunks, decoded by torchvision, as its own JPEG serializer does."""
    import litdata

    def sample(row: dict[str, Any]) -> Any:
        return transformed(to_floats(size), row["image"], row["truth"])

    dataset = litdata.StreamingDataset(str(data.folder / "litdata"), transform=sample, shuffle=not check)
    options = {"num_workers": workers, "persistent_workers": workers > 0}
    loader = litdata.StreamingDataLoader(dataset, batch_size=BATCH, collate_fn=collate, **options)
    return lambda: itertools.chain.from_iterable(counted(loader) for _ in range(passes))


def in_data_loader(dataset: Any, workers: int, check: bool, collate_fn: Callable[..., Any]) -> Epoch:
    loader = DataLoader(
        dataset, BATCH, shuffle=not check, num_workers=workers, collate_fn=collate_fn, persistent_workers=workers > 0
    )
    return lambda: counted(loader)


def counted(batches: Any) -> Iterator[tuple[torch.Tensor, int]]:
    return ((batch["pixel_values"], len(batch["pixel_values"])) for batch in batches)


def to_floats(size: tuple[int, int]) -> v2.Compose:
    normalize = v2.Normalize(*map(list, IMAGENET))
    boxes = v2.ConvertBoundingBoxFormat("CXCYWH")
    return v2.Compose([v2.Resize(list(size)), boxes, v2.ToDtype(torch.float32, scale=True), normalize])


def transformed(transforms: v2.Compose, encoded: bytes, truth: bytes | str) -> Any:
    image = tv_tensors.Image(decode_image(torch.frombuffer(bytearray(encoded), dtype=torch.uint8), "RGB"))
    found = json.loads(truth)
    boxes = torch.tensor(found["boxes"]).reshape(-1, 4)
    framed = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=image.shape[-2:])  # type: ignore[call-overload]
    return transforms(image, framed, {"labels": torch.tensor(found["labels"])})


def collate(samples: list[Any]) -> dict[str, Any]:
    """Collate (image, boxes or None, targets) of each sample into the batch that transformers' models take."""
    labels = []
    for image, boxes, truth in samples:
        height, width = image.shape[-2:]
        found = torch.zeros(0, 4) if boxes is None else boxes / torch.tensor([width, height, width, height])
        labels.append({"boxes": found, "class_labels": truth.get("labels", torch.zeros(0, dtype=torch.int64))})
    return {"pixel_values": torch.stack([image for image, _, _ in samples]), "labels": labels}


L1, L2, PROCESSOR = "L1: bare decode", "L2: decode, resize, float write", "datasets + image processor"
RAW, OURS = "ours, raw() uint8", "ours, floats, one mean"
THREE, AUGMENTED = "ours, floats, ImageNet's means", "ours, floats, augmented"
COCO, WEB, LIT = "torchvision CocoDetection + v2", "WebDataset + v2", "LitData + v2"
ROUTES: dict[str, Callable[..., Epoch]] = {
    L1: bare_decode,
    RAW: ours(raw=True),
    L2: float_write,
    OURS: ours(gray=True),
    THREE: ours(),
    AUGMENTED: ours(gray=True, augmented=True),
    PROCESSOR: processor,
    COCO: coco,
    WEB: web,
    LIT: lit,
}
WITH_WORKERS = (PROCESSOR, COCO, WEB, LIT)  # processes, not threads
MODULES = {"ours": "loaders", "datasets": "training.models", "torchvision": "torchvision.datasets"}
MODULES |= {"WebDataset": "webdataset", "LitData": "litdata"}  # by a route's first word
