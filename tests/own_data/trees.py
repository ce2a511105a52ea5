"""66 images with one ground truth, in nine formats: umlauts and spaces, mixed sizes, EXIF, BMP, TIFF, 16 bits."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np
import PIL.Image
import yaml

CLASSES = ("Haarriß", "Fleck", "Kratzer tief")
FOLDERS = ("Linie 1/Schicht früh", "line2/heiß & kalt", "Linie 3")
IMAGES = 66


@dataclass(frozen=True)
class Truth:
    """One image: its path, size as displayed, EXIF orientation, and (class, box) of its defects."""

    path: str
    size: tuple[int, int]
    orientation: int
    kind: str
    boxes: tuple[tuple[str, tuple[int, int, int, int]], ...]

    @property
    def stem(self) -> str:
        return self.path.rpartition(".")[0]


KINDS = ("jpg", "png", "png12", "tif16", "bmp", "exif")
_ENDINGS = {"jpg": "jpg", "png": "png", "png12": "png", "tif16": "tif", "bmp": "bmp", "exif": "JPG"}


def truths(count: int = IMAGES, *, seed: int = 0) -> list[Truth]:
    """Return the same images for the same count; one in eleven is defect-free."""
    random = np.random.default_rng(seed)
    found = []
    for number in range(count):
        kind = KINDS[number % len(KINDS)]
        size = int(random.integers(70, 130)), int(random.integers(60, 110))
        boxes: list[tuple[str, tuple[int, int, int, int]]] = []
        for column in range(0 if number % 11 == 10 else 1 + number % 3):
            left = 3 + column * (size[0] // 3)
            top = int(random.integers(0, size[1] // 2))
            right = left + int(random.integers(5, size[0] // 3 - 4))
            bottom = top + int(random.integers(5, size[1] // 2 - 1))
            boxes.append((CLASSES[(number + column) % 3], (left, top, right, bottom)))
        path = f"{FOLDERS[number % 3]}/Teil {number:02d} öäü.{_ENDINGS[kind]}"
        found.append(Truth(path, size, 6 if kind == "exif" else 1, kind, tuple(boxes)))
    return found


def write_image(root: Path, truth: Truth) -> None:
    target = root / truth.path
    target.parent.mkdir(parents=True, exist_ok=True)
    width, height = truth.size
    random = np.random.default_rng(sum(truth.path.encode()))
    pixels = random.integers(60, 90, (height, width)).astype(np.int64)
    for _, (x1, y1, x2, y2) in truth.boxes:
        pixels[y1:y2, x1:x2] += 120
    if truth.kind == "png12":
        PIL.Image.fromarray((pixels * 16).astype(np.uint16)).save(target)
    elif truth.kind == "tif16":
        PIL.Image.fromarray((pixels * 257).astype(np.uint16)).save(target)
    elif truth.kind == "exif":
        exif = PIL.Image.Exif()
        exif[0x0112] = 6
        PIL.Image.fromarray(np.rot90(pixels).astype(np.uint8)).save(target, "JPEG", quality=95, exif=exif)
    else:
        PIL.Image.fromarray(pixels.astype(np.uint8)).save(target)


def write_coco(root: Path, images: list[Truth]) -> None:
    data = {
        "categories": [{"id": i, "name": name, "supercategory": ""} for i, name in enumerate(CLASSES, 1)],
        "images": [
            {"id": i, "file_name": t.path, "width": t.size[0], "height": t.size[1]} for i, t in enumerate(images, 1)
        ],
        "annotations": [
            {
                "id": 1000 * i + j,
                "image_id": i,
                "category_id": CLASSES.index(name) + 1,
                "iscrowd": 0,
                "bbox": [b[0], b[1], b[2] - b[0], b[3] - b[1]],
                "segmentation": [],
                "area": 1,
            }
            for i, t in enumerate(images, 1)
            for j, (name, b) in enumerate(t.boxes)
        ],
    }
    (root / "annotations").mkdir(exist_ok=True)
    (root / "annotations" / "instances_default.json").write_text(json.dumps(data), encoding="utf-8")


def write_yolo(root: Path, images: list[Truth]) -> None:
    (root / "data.yaml").write_text(yaml.safe_dump({"names": list(CLASSES)}, allow_unicode=True), encoding="utf-8")
    for truth in images:
        w, h = truth.size
        lines = [
            f"{CLASSES.index(name)} {(b[0] + b[2]) / 2 / w:.6f} {(b[1] + b[3]) / 2 / h:.6f} "
            f"{(b[2] - b[0]) / w:.6f} {(b[3] - b[1]) / h:.6f}"
            for name, b in truth.boxes
        ]
        target = root / "labels" / f"{truth.stem}.txt"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines), encoding="utf-8")


def write_voc(root: Path, images: list[Truth]) -> None:
    for truth in images:
        tree = ElementTree.Element("annotation")
        ElementTree.SubElement(tree, "filename").text = truth.path.rpartition("/")[2]
        size = ElementTree.SubElement(tree, "size")
        for tag, value in zip(("width", "height", "depth"), (*truth.size, 1), strict=True):
            ElementTree.SubElement(size, tag).text = str(value)
        for name, b in truth.boxes:
            element = ElementTree.SubElement(tree, "object")
            ElementTree.SubElement(element, "name").text = name
            box = ElementTree.SubElement(element, "bndbox")
            for tag, value in zip(("xmin", "ymin", "xmax", "ymax"), (b[0] + 1, b[1] + 1, b[2], b[3]), strict=True):
                ElementTree.SubElement(box, tag).text = str(value)
        ElementTree.indent(tree)
        (root / f"{truth.stem}.xml").write_bytes(ElementTree.tostring(tree, encoding="utf-8"))


def write_masks(root: Path, images: list[Truth]) -> None:
    for truth in images:
        pixels = np.zeros(truth.size[::-1], np.uint8)
        for name, (x1, y1, x2, y2) in truth.boxes:
            pixels[y1:y2, x1:x2] = CLASSES.index(name) + 1
        target = root / "masks" / f"{truth.stem}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        mask = PIL.Image.fromarray(pixels)
        mask.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255] + [0] * 756)  # makes it a palette image
        mask.save(target)
    names = dict(enumerate(CLASSES, 1))
    (root / "radikal.yaml").write_text(yaml.safe_dump({"classes": names}, allow_unicode=True), encoding="utf-8")


def write_label_studio(root: Path, images: list[Truth]) -> None:
    tasks = []
    for number, truth in enumerate(images, 1):
        w, h = truth.size
        results = [
            {
                "id": f"r{i}",
                "type": "rectanglelabels",
                "from_name": "label",
                "to_name": "image",
                "original_width": w,
                "original_height": h,
                "image_rotation": 0,
                "value": {
                    "x": b[0] / w * 100,
                    "y": b[1] / h * 100,
                    "width": (b[2] - b[0]) / w * 100,
                    "height": (b[3] - b[1]) / h * 100,
                    "rotation": 0,
                    "rectanglelabels": [name],
                },
            }
            for i, (name, b) in enumerate(truth.boxes)
        ]
        tasks.append(
            {
                "id": number,
                "data": {"image": f"/data/local-files/?d={quote(truth.path)}"},
                "annotations": [{"id": number, "was_cancelled": False, "result": results}],
            }
        )
    (root / "project-1.json").write_text(json.dumps(tasks), encoding="utf-8")


def write_cvat(root: Path, images: list[Truth]) -> None:
    tree = ElementTree.Element("annotations")
    labels = ElementTree.SubElement(ElementTree.SubElement(ElementTree.SubElement(tree, "meta"), "task"), "labels")
    for name in CLASSES:
        ElementTree.SubElement(ElementTree.SubElement(labels, "label"), "name").text = name
    for number, truth in enumerate(images):
        width, height = map(str, truth.size)
        image = ElementTree.SubElement(tree, "image", id=str(number), name=truth.path, width=width, height=height)
        for name, b in truth.boxes:
            corners = dict(zip(("xtl", "ytl", "xbr", "ybr"), map(str, b), strict=True))
            ElementTree.SubElement(image, "box", label=name, occluded="0", **corners)
    ElementTree.indent(tree)
    (root / "annotations.xml").write_bytes(ElementTree.tostring(tree, encoding="utf-8"))


def write_labelme(root: Path, images: list[Truth]) -> None:
    for truth in images:
        shapes = [
            {"label": name, "points": [[b[0], b[1]], [b[2], b[3]]], "shape_type": "rectangle"}
            for name, b in truth.boxes
        ]
        width, height = truth.size
        name = truth.path.rpartition("/")[2]
        data = {"version": "5.5.0", "flags": {}, "shapes": shapes, "imagePath": name, "imageData": "AAAA"}
        text = json.dumps({**data, "imageWidth": width, "imageHeight": height}, ensure_ascii=False)
        (root / f"{truth.stem}.json").write_text(text, encoding="utf-8")


def write_imagefolder(root: Path, images: list[Truth]) -> None:
    lines = [
        json.dumps(
            {
                "file_name": t.path,
                "objects": {
                    "bbox": [[b[0], b[1], b[2] - b[0], b[3] - b[1]] for _, b in t.boxes],
                    "categories": [name for name, _ in t.boxes],
                },
            },
            ensure_ascii=False,
        )
        for t in images
    ]
    (root / "metadata.jsonl").write_text("\n".join(lines), encoding="utf-8")


def write_table(root: Path, images: list[Truth]) -> None:
    with (root / "boxes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["image", "x_min", "y_min", "x_max", "y_max", "class"])
        for truth in images:
            writer.writerows([truth.path, *b, name] for name, b in truth.boxes)
            if not truth.boxes:
                writer.writerow([truth.path, "", "", "", "", ""])


WRITERS: dict[str, Callable[[Path, list[Truth]], None]] = {
    "coco": write_coco,
    "yolo": write_yolo,
    "voc": write_voc,
    "masks": write_masks,
    "label_studio": write_label_studio,
    "cvat": write_cvat,
    "labelme": write_labelme,
    "imagefolder": write_imagefolder,
    "table": write_table,
}


def write_tree(root: Path, format_: str, images: list[Truth]) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for truth in images:
        write_image(root, truth)
    WRITERS[format_](root, images)
    return root
