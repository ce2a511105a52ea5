"""Small folders of two images in each format, and what can be wrong with them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import PIL.Image

SIZE = (60, 40)


def image(path: Path, size: tuple[int, int] = SIZE, **options: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    number = sum(str(path.name).encode()) % 200
    PIL.Image.new("L", size, number).save(path, **options)


def images(root: Path, *names: str) -> Path:
    for name in names:
        image(root / name)
    return root


def coco(root: Path, *annotations: dict[str, Any], listed: Any = None, categories: Any = None, **more: Any) -> Path:
    """A COCO file about a.png and b.png; b has one good box."""
    images(root, "a.png", "b.png")
    good = {"id": 99, "image_id": 2, "category_id": 1, "bbox": [1, 1, 9, 9]}
    data = {
        "images": listed
        or [{"id": i, "file_name": f"{n}.png", "width": 60, "height": 40} for i, n in ((1, "a"), (2, "b"))],
        "annotations": [*({"id": i, "image_id": 1, "category_id": 1} | a for i, a in enumerate(annotations)), good],
        "categories": categories or [{"id": 1, "name": "dent"}, {"id": 2, "name": "stain"}],
        **more,
    }
    (root / "instances.json").write_text(json.dumps(data, indent=1), encoding="utf-8")
    return root


def yolo(root: Path, text: str, names: str = "dent\nstain\n") -> Path:
    images(root, "images/a.png", "images/b.png")
    (root / "labels").mkdir()
    (root / "labels" / "a.txt").write_text(text)
    (root / "labels" / "b.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    if names:
        (root / "classes.txt").write_text(names)
    return root


def voc(root: Path, objects: str, size: tuple[int, int] = SIZE) -> Path:
    images(root, "a.png", "b.png")
    for name, inside in (("a", objects), ("b", voc_object(2, 2, 9, 9))):
        (root / f"{name}.xml").write_text(
            f"<annotation>\n<filename>{name}.png</filename>\n<size><width>{size[0]}</width><height>{size[1]}</height>"
            f"</size>\n{inside}\n</annotation>"
        )
    return root


def voc_object(*box: Any, name: str = "dent") -> str:
    corners = "".join(f"<{t}>{v}</{t}>" for t, v in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True))
    return f"<object><name>{name}</name><bndbox>{corners}</bndbox></object>"


def table(root: Path, *rows: str, header: str = "image,x_min,y_min,x_max,y_max,class") -> Path:
    images(root, "a.png", "b.png")
    (root / "boxes.csv").write_text("\n".join([header, *rows, "b.png,1,1,9,9,dent"]) + "\n", encoding="utf-8")
    return root


def cvat(root: Path, inside: str) -> Path:
    images(root, "a.png", "b.png")
    (root / "annotations.xml").write_text(
        "<annotations>\n<meta><task><labels><label><name>dent</name></label></labels></task></meta>\n"
        f'<image id="0" name="a.png" width="60" height="40">\n{inside}\n</image>\n'
        '<image id="1" name="b.png" width="60" height="40">'
        '<box label="dent" xtl="1" ytl="1" xbr="9" ybr="9"/></image>\n</annotations>'
    )
    return root


def labelme(root: Path, *shapes: dict[str, Any]) -> Path:
    images(root, "a.png", "b.png")
    for name, inside in (
        ("a", list(shapes)),
        ("b", [{"label": "dent", "points": [[1, 1], [9, 9]], "shape_type": "rectangle"}]),
    ):
        data = {"shapes": inside, "imagePath": f"{name}.png", "imageWidth": 60, "imageHeight": 40}
        (root / f"{name}.json").write_text(json.dumps(data, indent=1))
    return root


def studio(root: Path, *results: dict[str, Any], **task: Any) -> Path:
    images(root, "a.png", "b.png")
    value = {"x": 1, "y": 1, "width": 9, "height": 9, "rectanglelabels": ["dent"]}
    good = {"type": "rectanglelabels", "value": value, "original_width": 60, "original_height": 40}
    tasks = [
        {"id": 1, "data": {"image": "a.png"}, "annotations": [{"result": list(results)}]} | task,
        {"id": 2, "data": {"image": "/data/upload/1/0123abcd-b.png"}, "annotations": [{"result": [good]}]},
    ]
    (root / "export.json").write_text(json.dumps(tasks, indent=1))
    return root


def metadata(root: Path, line: str) -> Path:
    images(root, "a.png", "b.png")
    good = json.dumps({"file_name": "b.png", "objects": {"bbox": [[1, 1, 8, 8]], "categories": ["dent"]}})
    (root / "metadata.jsonl").write_text(f"{good}\n{line}\n")
    return root


BOX = {"bbox": [5, 5, 10, 10]}
#: name -> (makes the tree, kind, file, line or None, exit code of verify)
CASES: dict[str, tuple[Callable[[Path], Path], str, str, int | None, int]] = {
    # a class number without a name
    "coco class": (lambda r: coco(r, BOX | {"category_id": 7}), "unknown_class", "instances.json", 17, 1),
    "yolo class": (lambda r: yolo(r, "0 .5 .5 .1 .1\n5 .5 .5 .1 .1\n"), "unknown_class", "labels/a.txt", 2, 1),
    "yolo class without names": (lambda r: yolo(r, "0 .5 .5 .1 .1\n", ""), "unknown_class", "labels/a.txt", 1, 1),
    "yolo negative class": (lambda r: yolo(r, "-1 .5 .5 .1 .1\n"), "unknown_class", "labels/a.txt", 1, 1),
    "table class": (lambda r: table(r, "a.png,1,1,5,5,3"), "unknown_class", "boxes.csv", 2, 1),
    "imagefolder class": (
        lambda r: metadata(r, '{"file_name": "a.png", "objects": {"bbox": [[1, 1, 5, 5]], "categories": [3]}}'),
        "unknown_class",
        "metadata.jsonl",
        2,
        1,
    ),
    # an annotation for an image that is not there
    "coco image": (
        lambda r: coco(r, listed=[{"id": 1, "file_name": "z.png"}, {"id": 2, "file_name": "b.png"}]),
        "missing_image",
        "instances.json",
        3,
        1,
    ),
    "coco image id": (lambda r: coco(r, BOX | {"image_id": 77}), "missing_image", "instances.json", 17, 1),
    "yolo image": (
        lambda r: (yolo(r, ""), (r / "labels/z.txt").write_text("0 .5 .5 .1 .1"))[0],
        "missing_image",
        "labels/z.txt",
        None,
        1,
    ),
    "voc image": (lambda r: (voc(r, ""), (r / "a.png").unlink())[0], "missing_image", "a.xml", None, 1),
    "table image": (lambda r: table(r, "z.png,1,1,5,5,dent"), "missing_image", "boxes.csv", 2, 1),
    "cvat image": (lambda r: (cvat(r, ""), (r / "a.png").unlink())[0], "missing_image", "annotations.xml", 3, 1),
    "labelme image": (lambda r: (labelme(r), (r / "a.png").unlink())[0], "missing_image", "a.json", None, 1),
    "label studio image": (
        lambda r: studio(r, data={"image": "s3://plant/z.png"}),
        "missing_image",
        "export.json",
        2,
        1,
    ),
    "imagefolder image": (
        lambda r: metadata(r, '{"file_name": "z.png", "objects": {"bbox": [], "categories": []}}'),
        "missing_image",
        "metadata.jsonl",
        2,
        1,
    ),
    # a polygon with two points
    "coco polygon": (
        lambda r: coco(r, {"segmentation": [[1, 1, 9, 9]]}),
        "polygon_without_area",
        "instances.json",
        17,
        1,
    ),
    "coco polygon with box": (
        lambda r: coco(r, BOX | {"segmentation": [[1, 1, 9, 9]]}),
        "polygon_replaced_by_box",
        "instances.json",
        17,
        0,
    ),
    "cvat polygon": (
        lambda r: cvat(r, '<polygon label="dent" points="1,1;9,9"/>'),
        "polygon_without_area",
        "annotations.xml",
        4,
        1,
    ),
    "labelme polygon": (
        lambda r: labelme(r, {"label": "dent", "points": [[1, 1], [9, 9]], "shape_type": "polygon"}),
        "polygon_without_area",
        "a.json",
        3,
        1,
    ),
    "label studio polygon": (
        lambda r: studio(
            r, {"type": "polygonlabels", "value": {"points": [[1, 1], [9, 9]], "polygonlabels": ["dent"]}}
        ),
        "polygon_without_area",
        "export.json",
        2,
        1,
    ),
    "yolo polygon": (lambda r: yolo(r, "0 .1 .1 .5 .5 .1 .1\n"), "polygon_without_area", "labels/a.txt", 1, 1),
    # an image listed twice
    "coco twice": (
        lambda r: coco(r, listed=[{"id": i, "file_name": n} for i, n in ((1, "a.png"), (2, "b.png"), (3, "./a.png"))]),
        "listed_twice",
        "a.png",
        None,
        0,
    ),
    "cvat twice": (
        lambda r: (cvat(r, ""), (r / "more.xml").write_text((r / "annotations.xml").read_text()))[0],
        "listed_twice",
        "a.png",
        None,
        0,
    ),
    "imagefolder twice": (
        lambda r: metadata(r, '{"file_name": "b.png", "objects": {"bbox": [], "categories": []}}'),
        "listed_twice",
        "b.png",
        None,
        0,
    ),
    # numbers that are none
    "coco NaN": (lambda r: coco(r, {"bbox": [5, 5, float("nan"), 9]}), "malformed_annotation", "instances.json", 17, 1),
    "coco short bbox": (lambda r: coco(r, {"bbox": [5, 5, 9]}), "malformed_annotation", "instances.json", 17, 1),
    "coco no box": (lambda r: coco(r, {}), "malformed_annotation", "instances.json", 17, 1),
    "coco bad lengths": (
        lambda r: coco(r, {"segmentation": {"size": [40, 60], "counts": [1, 2, 3]}}),
        "malformed_annotation",
        "instances.json",
        None,
        1,
    ),
    "yolo text": (lambda r: yolo(r, "0 .5 .5 .1 .1\n0 .5 x .1 .1\n"), "malformed_annotation", "labels/a.txt", 2, 1),
    "yolo confidence": (lambda r: yolo(r, "0 .5 .5 .1 .1 .9\n"), "malformed_annotation", "labels/a.txt", 1, 1),
    "yolo pixels": (lambda r: yolo(r, "0 30 20 10 10\n"), "malformed_annotation", "labels/a.txt", 1, 1),
    "yolo infinity": (lambda r: yolo(r, "0 .5 .5 inf .1\n"), "malformed_annotation", "labels/a.txt", 1, 1),
    "voc text": (lambda r: voc(r, voc_object(1, "x", 5, 5)), "malformed_annotation", "a.xml", 4, 1),
    "voc no name": (lambda r: voc(r, voc_object(1, 1, 5, 5, name="")), "malformed_annotation", "a.xml", 4, 1),
    "voc no box": (lambda r: voc(r, "<object><name>dent</name></object>"), "malformed_annotation", "a.xml", 4, 1),
    "voc cut off": (
        lambda r: (voc(r, ""), (r / "a.xml").write_text("<annotation>\n<size>"))[0],
        "malformed_annotation",
        "a.xml",
        2,
        1,
    ),
    "voc bomb": (
        lambda r: (voc(r, ""), (r / "a.xml").write_text('<!DOCTYPE a [<!ENTITY b "c">]>\n<annotation/>'))[0],
        "malformed_annotation",
        "a.xml",
        1,
        1,
    ),
    "table text": (lambda r: table(r, "a.png,1,one,5,5,dent"), "malformed_annotation", "boxes.csv", 2, 1),
    "table no class": (lambda r: table(r, "a.png,1,1,5,5,"), "malformed_annotation", "boxes.csv", 2, 1),
    "table too long": (lambda r: table(r, "a.png,1,1,5,5,dent,extra"), "malformed_annotation", "boxes.csv", 2, 1),
    "labelme point": (
        lambda r: labelme(r, {"label": "dent", "points": [[1, 1, 1], [9, 9]], "shape_type": "rectangle"}),
        "malformed_annotation",
        "a.json",
        3,
        1,
    ),
    "labelme cut off": (
        lambda r: (labelme(r), (r / "a.json").write_text('{"shapes": [\n'))[0],
        "malformed_annotation",
        "a.json",
        2,
        1,
    ),
    "label studio number": (
        lambda r: studio(
            r,
            {
                "type": "rectanglelabels",
                "value": {"x": "?", "y": 1, "width": 9, "height": 9, "rectanglelabels": ["dent"]},
            },
        ),
        "malformed_annotation",
        "export.json",
        2,
        1,
    ),
    "label studio brush": (
        lambda r: studio(
            r,
            {
                "type": "brushlabels",
                "original_width": 60,
                "original_height": 40,
                "value": {"rle": [0, 0, 1], "brushlabels": ["dent"]},
            },
        ),
        "malformed_annotation",
        "export.json",
        2,
        1,
    ),
    "imagefolder counts": (
        lambda r: metadata(r, '{"file_name": "a.png", "objects": {"bbox": [[1, 1, 5, 5]], "categories": []}}'),
        "malformed_annotation",
        "metadata.jsonl",
        2,
        1,
    ),
    "imagefolder line": (lambda r: metadata(r, '{"file_name": '), "malformed_annotation", "metadata.jsonl", 2, 1),
    # boxes
    "coco outside": (lambda r: coco(r, {"bbox": [100, 100, 5, 5]}), "empty_box", "a.png", None, 1),
    "coco rounding": (lambda r: coco(r, {"bbox": [-0.4, 0, 60.6, 10]}), "rounded_box", "a.png", None, 0),
    "yolo rounding": (lambda r: yolo(r, "0 .900001 .5 .2 .2\n"), "rounded_box", "images/a.png", None, 0),
    "voc rounding": (lambda r: voc(r, voc_object(0, 0, 9, 9)), "rounded_box", "a.png", None, 0),
    "table clipped": (lambda r: table(r, "a.png,50,1,64,5,dent"), "clipped_box", "a.png", None, 0),
    "voc swapped": (lambda r: voc(r, voc_object(9, 2, 2, 9)), "swapped_corners", "a.xml", 4, 0),
    "coco negative": (lambda r: coco(r, {"bbox": [9, 9, -5, -5]}), "swapped_corners", "instances.json", None, 0),
    "coco crowd": (lambda r: coco(r, BOX | {"iscrowd": 1}), "crowd_box", "instances.json", None, 0),
    # shapes without area
    "cvat points": (lambda r: cvat(r, '<points label="dent" points="1,1"/>'), "unread_shape", "annotations.xml", 4, 1),
    "labelme line": (
        lambda r: labelme(r, {"label": "dent", "points": [[1, 1], [9, 9]], "shape_type": "linestrip"}),
        "unread_shape",
        "a.json",
        3,
        1,
    ),
    "label studio key point": (
        lambda r: studio(
            r, {"type": "keypointlabels", "value": {"x": 1, "y": 1, "width": 1, "keypointlabels": ["dent"]}}
        ),
        "unread_shape",
        "export.json",
        2,
        1,
    ),
    "cvat video": (
        lambda r: (
            cvat(r, ""),
            (r / "annotations.xml").write_text(
                (r / "annotations.xml").read_text().replace("</annotations>", '<track label="dent"/>\n</annotations>')
            ),
        )[0],
        "malformed_annotation",
        "annotations.xml",
        7,
        1,
    ),
    # sizes
    "voc other size": (lambda r: voc(r, voc_object(2, 2, 30, 9), (60, 99)), "size_mismatch", "a.png", None, 1),
    "voc resized": (lambda r: voc(r, voc_object(2, 2, 30, 9), (120, 80)), "resized_image", "a.png", None, 0),
    # files
    "unread text": (
        lambda r: (coco(r), (r / "truth.txt").write_text("nobody knows"))[0],
        "unread_file",
        "truth.txt",
        None,
        1,
    ),
    "unread json": (
        lambda r: (coco(r), (r / "result.json").write_text('{"a": 1}'))[0],
        "unread_file",
        "result.json",
        None,
        1,
    ),
    "unread csv": (
        lambda r: (yolo(r, ""), (r / "labels.csv").write_text("a,b\n1,2"))[0],
        "unread_file",
        "labels.csv",
        None,
        1,
    ),
    "unread mat": (lambda r: (voc(r, ""), (r / "x.mat").write_text(""))[0], "unread_file", "x.mat", None, 1),
    "damaged image": (lambda r: (coco(r), (r / "a.png").write_bytes(b"no"))[0], "unreadable_image", "a.png", None, 1),
    "skipped task": (
        lambda r: studio(r, annotations=[{"was_cancelled": True, "result": []}]),
        "skipped_task",
        "a.png",
        2,
        0,
    ),
}
