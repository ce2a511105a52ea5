"""Does every tool read our exports, with the same images and boxes? Run each tool's own reader on them.

    python benchmarks/conformance.py export EXPORTS [NAME=RAW_TREE ...]   in this project's environment
    python benchmarks/conformance.py read EXPORTS                         in an environment that has some of the tools
    python benchmarks/conformance.py table EXPORTS [--output FILE.md]     all results as a table

`export` writes a generated sample of Severstal (masks) and of NEU-DET (boxes), or the real trees that are named, in all
formats, and as a prepared folder, which is read by its Croissant file; and what a reader should find. `read` needs
nothing of this project: it tries the readers that are installed and adds a line per reader and export to
EXPORTS/found.jsonl. Exit code 1 if a reader fails or counts something else.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SOURCES = ("neu_det", "severstal")
PREPARED = "prepared"
EXPECTED, FOUND = "expected.json", "found.jsonl"

Counts = tuple[int, int]


def export(exports: Path, trees: dict[str, str]) -> None:
    """Write every source in every format, and the images and boxes that a reader should count."""
    import pyarrow.parquet as pq

    from radikal_datasets.export import FORMATS, export_sets
    from radikal_datasets.prepared.folder import build_hub_folder
    from radikal_datasets.samples import make_sample

    expected: dict[str, dict[str, Counts]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for source in SOURCES:
            tree = Path(trees.get(source) or Path(folder, source))
            if source not in trees:
                make_sample(source, tree, images=40)
            for form in FORMATS:
                (done,) = export_sets(source, format=form, output=exports / f"{source}_{form}", data_dir=tree)
                expected.setdefault(source, {})[form] = (sum(done.images.values()), done.boxes)
            prepared = build_hub_folder(source, data_dir=tree, output_dir=exports / f"{source}_{PREPARED}")
            shards = [pq.read_table(path, columns=["boxes"]) for path in prepared.glob("*/*.parquet")]
            boxes = sum(len(row) for shard in shards for row in shard["boxes"].to_pylist())
            expected[source][PREPARED] = (sum(shard.num_rows for shard in shards), boxes)
    (exports / EXPECTED).write_text(json.dumps(expected, indent=2) + "\n", encoding="utf-8")


def coco_files(folder: Path, form: str) -> Iterator[tuple[Path, Path]]:
    """Yield annotation file and image folder of every split."""
    if form == "roboflow":
        yield from ((file, file.parent) for file in folder.glob("*/_annotations.coco.json"))
    else:
        for file in (folder / "annotations").iterdir():
            yield file, folder / "images" / file.stem.removeprefix("instances_")


def pycocotools(folder: Path, form: str) -> Counts:
    """Read by `COCO`, and decode every segmentation."""
    from pycocotools.coco import COCO

    images = boxes = 0
    for file, _ in coco_files(folder, form):
        coco = COCO(str(file))
        images += len(coco.imgs)
        boxes += sum(bool(coco.annToMask(one).any()) for one in coco.anns.values())
    return images, boxes


def torchvision(folder: Path, form: str) -> Counts:
    """Read by `CocoDetection` with boxes and masks, or by `VOCDetection`."""
    from torchvision.datasets import CocoDetection, VOCDetection, wrap_dataset_for_transforms_v2

    if form == "voc":
        with tempfile.TemporaryDirectory() as root:
            Path(root, "VOCdevkit").mkdir()
            Path(root, "VOCdevkit", "VOC2007").symlink_to(folder.resolve())
            splits = [VOCDetection(root, "2007", path.stem) for path in (folder / "ImageSets" / "Main").iterdir()]
            rows = [one for split in splits for one in split]
            return len(rows), sum(len(row[1]["annotation"].get("object", [])) for row in rows)
    images = boxes = 0
    for file, pictures in coco_files(folder, form):
        read = wrap_dataset_for_transforms_v2(
            CocoDetection(pictures, str(file)), target_keys=["boxes", "labels", "masks"]
        )
        for i in range(len(read)):
            target = read[i][1]
            images, boxes = images + 1, boxes + len(target.get("boxes", ()))
            assert len(target.get("masks", ())) == len(target.get("boxes", ()))
    return images, boxes


def supervision(folder: Path, form: str) -> Counts:
    """Read by `DetectionDataset`."""
    from supervision import DetectionDataset

    if form in ("coco", "roboflow"):
        sets = [DetectionDataset.from_coco(str(p), str(f), force_masks=True) for f, p in coco_files(folder, form)]
    elif form == "voc":
        sets = [DetectionDataset.from_pascal_voc(str(folder / "JPEGImages"), str(folder / "Annotations"))]
    else:
        sets = [
            DetectionDataset.from_yolo(str(p), str(folder / "labels" / p.name), str(folder / "data.yaml"))
            for p in (folder / "images").iterdir()
        ]
    return sum(map(len, sets)), sum(len(found.xyxy) for one in sets for _, _, found in one)


def ultralytics(folder: Path, form: str) -> Counts:
    """Read by `YOLODataset`, for detection or segmentation."""
    os.environ["YOLO_OFFLINE"] = "true"
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset

    task = "segment" if form == "yolo-polygons" else "detect"
    data = check_det_dataset(str(folder / "data.yaml"), autodownload=False)
    labels = [
        label
        for split in ("train", "val", "test")
        if data.get(split)
        for label in YOLODataset(img_path=data[split], data=data, task=task, augment=False, imgsz=64).labels
    ]
    if task == "segment":
        assert all(len(label["segments"]) == len(label["bboxes"]) for label in labels)
    return len(labels), sum(len(label["bboxes"]) for label in labels)


def datumaro(folder: Path, form: str) -> Counts:
    """Read by `Dataset.import_from`."""
    import datumaro

    format_ = {"roboflow": "roboflow_coco", "yolo-polygons": "yolo_ultralytics"}.get(form, form)
    read = datumaro.Dataset.import_from(str(folder), format_)
    # Of COCO it makes a box and a mask per annotation.
    found = [[one for one in item.annotations if one.type == datumaro.AnnotationType.bbox] for item in read]
    return len(found), sum(map(len, found))


def fiftyone(folder: Path, form: str) -> Counts:
    """Read by the importers of `fiftyone.utils`, without its database."""
    import fiftyone.utils.coco as coco
    import fiftyone.utils.voc as voc
    import fiftyone.utils.yolo as yolo

    if form in ("coco", "roboflow"):
        importers = [
            coco.COCODetectionDatasetImporter(data_path=str(p), labels_path=str(f)) for f, p in coco_files(folder, form)
        ]
    elif form == "voc":
        importers = [
            voc.VOCDetectionDatasetImporter(
                data_path=str(folder / "JPEGImages"), labels_path=str(folder / "Annotations"), include_all_data=True
            )
        ]
    else:
        splits = [path.name for path in (folder / "images").iterdir()]
        importers = [
            yolo.YOLOv5DatasetImporter(
                dataset_dir=str(folder), split=split, yaml_path="data.yaml", include_all_data=True
            )
            for split in splits
        ]
    images = boxes = 0
    for importer in importers:
        with importer:
            for sample in importer:
                label = sample[2]
                detections = label.get("detections") if isinstance(label, dict) else label
                images, boxes = images + 1, boxes + len(getattr(detections, "detections", detections) or ())
    return images, boxes


def rfdetr(folder: Path, form: str) -> Counts:
    """Recognize the format, and count by the COCO files: its reader is torchvision's."""
    from rfdetr.datasets import detect_roboflow_format

    detected = detect_roboflow_format(folder)
    assert detected == ("coco" if form == "roboflow" else "yolo"), detected
    if form == "roboflow":
        return pycocotools(folder, form)
    lines = [file.read_text().splitlines() for file in folder.glob("labels/*/*.txt")]
    return len(lines), sum(map(len, lines))


def anomalib(folder: Path, form: str) -> Counts:
    """Read by `MVTecAD`; counted are images, and masks instead of boxes."""
    from anomalib.data import MVTecAD

    module = MVTecAD(root=folder.parent, category=folder.name, num_workers=0)
    module.setup()
    samples = [part.samples for part in (module.train_data, module.val_data, module.test_data) if part is not None]
    files = {path for table in samples for path in table["image_path"]}
    masks = {path for table in samples for path in table["mask_path"] if path}
    return len(files), len(masks)


def croissant(folder: Path, form: str) -> Counts:
    """Read by `mlcroissant.Dataset`: rows with their split, images and masks decoded; then every file's checksum."""
    import hashlib

    import mlcroissant

    read = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    images = boxes = 0
    for records in read.metadata.record_sets:
        name = records.uuid
        if name.endswith(("/splits", "/classes")):
            continue
        for row in read.records(name):
            assert row[f"{name}/image"].size == (row[f"{name}/width"], row[f"{name}/height"])
            assert row[f"{name}/split"] in (b"train", b"validation", b"test", b"unlabeled")
            assert len(row[f"{name}/masks"]) in (0, len(row[f"{name}/boxes"]))
            images, boxes = images + 1, boxes + len(row[f"{name}/boxes"])
    for file in read.metadata.file_objects:
        assert hashlib.sha256((folder / file.content_url).read_bytes()).hexdigest() == file.sha256
    return images, boxes


#: Reader -> the package of its version, and the formats it is tried on.
READERS: dict[Callable[[Path, str], Counts], tuple[str, tuple[str, ...]]] = {
    pycocotools: ("pycocotools", ("coco", "roboflow")),
    torchvision: ("torchvision", ("coco", "roboflow", "voc")),
    supervision: ("supervision", ("coco", "roboflow", "yolo", "yolo-polygons", "voc")),
    ultralytics: ("ultralytics", ("yolo", "yolo-polygons")),
    datumaro: ("datumaro", ("coco", "roboflow", "yolo", "voc")),
    fiftyone: ("fiftyone", ("coco", "roboflow", "yolo", "voc")),
    rfdetr: ("rfdetr", ("roboflow", "yolo")),
    anomalib: ("anomalib", ("mvtec",)),
    croissant: ("mlcroissant", (PREPARED,)),
}


def read(exports: Path) -> int:
    """Try every reader that is installed; return the number of those that failed or count something else."""
    expected: dict[str, dict[str, list[int]]] = json.loads((exports / EXPECTED).read_text(encoding="utf-8"))
    wrong = 0
    for reader, (package, forms) in READERS.items():
        try:
            version = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
        for source in expected:
            for form in forms:
                line = {"tool": package, "version": version, "source": source, "format": form}
                line |= _tried(reader, exports / f"{source}_{form}", form, expected[source])
                wrong += not line["same"]
                print(json.dumps(line), flush=True)
                with (exports / FOUND).open("a", encoding="utf-8") as file:
                    file.write(json.dumps(line) + "\n")
    return wrong


def _tried(
    reader: Callable[[Path, str], Counts], folder: Path, form: str, expected: dict[str, list[int]]
) -> dict[str, Any]:
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            images, boxes = reader(folder, form)
    except Exception as error:  # a reader may raise anything, which is a result
        return {"same": False, "error": f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"}
    wanted = _files(folder) if form == "mvtec" else tuple(expected[form])
    return {"same": (images, boxes) == wanted, "images": images, "boxes": boxes, "expected": list(wanted)}


def _files(folder: Path) -> Counts:
    """Return the images and masks of an export in MVTec's layout, which leaves some images out."""
    images = [path for part in ("train", "test") for path in (folder / part).rglob("*.png")]
    return len(images), len(list((folder / "ground_truth").rglob("*.png")))


def table(exports: Path) -> str:
    """Return all results as a Markdown table; of a repeated one, the latest."""
    lines = [json.loads(line) for line in (exports / FOUND).read_text(encoding="utf-8").splitlines()]
    latest = {(line["tool"], line["format"], line["source"]): line for line in lines}
    rows = ["| reader | format | set | images | boxes | same as exported |", "|---|---|---|---:|---:|---|"]
    for line in latest.values():
        reader = f"{line['tool']} {line['version']}"
        counts = f"{line.get('images', '')} | {line.get('boxes', '')}"
        verdict = "yes" if line["same"] else line.get("error", f"no, expected {line.get('expected')}")
        rows.append(f"| {reader} | `{line['format']}` | `{line['source']}` | {counts} | {verdict} |")
    return "\n".join(rows) + "\n"


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["export", "read", "table"])
    parser.add_argument("exports", type=Path)
    parser.add_argument("trees", nargs="*", metavar="NAME=RAW_TREE")
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    if arguments.what == "export":
        export(arguments.exports, dict(tree.split("=", 1) for tree in arguments.trees))
    elif arguments.what == "read":
        return 1 if read(arguments.exports) else 0
    else:
        text = table(arguments.exports)
        print(text)
        if arguments.output:
            arguments.output.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
