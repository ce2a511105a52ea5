"""Label Studio's JSON and JSON-MIN: rectangles, polygons, ellipses and brush masks, in percent of the image."""

from __future__ import annotations

from functools import partial
from typing import Any

from ..annotations.components import box_of
from ..errors import MalformedAnnotationError
from .brush import brush_mask
from .class_names import ClassNames
from .documents import JsonLines
from .mask_sources import mask_from_pixels
from .names import nfc, split_in
from .numbers import REMEDY, ellipse_points, located, number, rotated_corners, size_of
from .parsed import (
    EMPTY_ANNOTATION,
    NO_AREA,
    ORIENTED,
    SEVERAL_ANNOTATORS,
    SKIPPED_TASK,
    UNREAD_SHAPE,
    Entry,
    Parsed,
    Shape,
)
from .recognize import Files

#: Key of a value -> type of the object.
_LABELS = ("rectanglelabels", "polygonlabels", "ellipselabels", "brushlabels", "keypointlabels", "labels")
_NO_OBJECT = ("choices", "textarea", "rating", "number", "taxonomy", "pairwise", "datetime", "relation")


def read_label_studio(files: Files, parsed: Parsed) -> None:
    """Read all Label Studio files of a folder into `parsed`."""
    classes = ClassNames(files.settings, parsed.findings)
    lines = JsonLines(files.tree)
    for path in files.annotations["label_studio"]:
        for number_, task in enumerate(files.documents[path]):
            _Task(files, parsed, classes, path, partial(lines.line, path, number_)).read(task)
    parsed.classes = classes.listed(alphabetical=True)


class _Task:
    """One task of one file; its line is looked up when it is needed."""

    def __init__(self, files: Files, parsed: Parsed, classes: ClassNames, path: str, line: Any) -> None:
        self.files, self.parsed, self.classes, self.path, self.line = files, parsed, classes, path, line

    def read(self, task: Any) -> None:
        image = None
        with self.parsed.findings.costs():
            if not isinstance(task, dict):
                raise MalformedAnnotationError(self.path, "a task is no object", REMEDY)
            name = _image_of(task)
            if name is None:
                found = f"task {task.get('id')} names no image"
                raise MalformedAnnotationError(self.path, found, REMEDY, self.line())
            image = self.files.names.get(
                name, by=self.path, findings=self.parsed.findings, line=self.line, entry="the task"
            )
        if image is None:
            return
        with self.parsed.image(image), located(self.line):
            results = self._results(task, image)
            split = split_in(image) or split_in(self.path)
            entry = self.parsed.entry(image, self.path, split=split)
            if results is None:
                entry.annotated = False
                self.parsed.findings.add(SKIPPED_TASK, image, f"task {task.get('id')}", line=self.line())
                return
            for result in results:
                self._add(entry, result)
            if not entry.shapes and not entry.incomplete:
                self.parsed.findings.add(EMPTY_ANNOTATION, image, f"task {task.get('id')}")

    def _results(self, task: dict[str, Any], image: str) -> list[dict[str, Any]] | None:
        """Return the objects of a task; None if nobody finished it."""
        if not isinstance(task.get("data"), dict):  # JSON-MIN
            found: list[dict[str, Any]] = []
            named = [value for key, value in task.items() if key not in ("image", "id") and isinstance(value, list)]
            for value in named:
                found += [
                    {**one, "value": one} for one in value if (isinstance(one, dict) and "x" in one) or "points" in one
                ]
            return found if named or "annotation_id" in task else None
        annotations = [one for one in task.get("annotations") or task.get("completions") or () if isinstance(one, dict)]
        finished = [one for one in annotations if not one.get("was_cancelled") and not one.get("skipped")]
        if not finished:
            return None
        if len(finished) > 1:
            self.parsed.findings.add(SEVERAL_ANNOTATORS, image, f"{len(finished)} annotations", line=self.line())
        chosen = next((one for one in finished if one.get("ground_truth")), finished[0])
        return [one for one in chosen.get("result") or () if isinstance(one, dict)]

    def _add(self, entry: Entry, result: dict[str, Any]) -> None:
        value = result.get("value")
        if result.get("type") in _NO_OBJECT or not isinstance(value, dict):
            return
        labels = next((value[key] for key in _LABELS if value.get(key)), None)
        rotated = result.get("image_rotation") or 0
        shapeless = "points" not in value and "rle" not in value and not {"width", "radiusX"} & {*value}
        if not labels and result.get("type") in ("rectangle", "polygon", "ellipse", "brush"):
            return  # the same object follows with its label
        if (
            shapeless
            or not isinstance(labels, list)
            or rotated
            or result.get("type", "").startswith(("keypoint", "vector"))
        ):
            found = f"a {result.get('type', 'shape')} of {entry.image}" + (" on the rotated image" if rotated else "")
            remedy = "Draw it as a rectangle, polygon, ellipse or brush mask."
            self.parsed.lose_shape(UNREAD_SHAPE, entry, self.path, found, remedy, self.line())
            return
        entry.size = entry.size or size_of(result.get("original_width"), result.get("original_height"))
        for label in labels:
            self._shape(entry, self.classes.used(nfc(str(label))), value, result)

    def _shape(self, entry: Entry, label: str, value: dict[str, Any], result: dict[str, Any]) -> None:
        def share(key: str, default: Any = None) -> float:
            return number(value.get(key, default), f"{key} of {label}", self.path, None) / 100

        if "rle" in value:
            width, height = entry.size or (0, 0)
            pixels = brush_mask(value["rle"], width, height, self.path, self.line)
            mask, box = mask_from_pixels(pixels), box_of(pixels)
            if box is None:
                found = f"an empty brush mask of {entry.image}"
                self.parsed.lose_shape(NO_AREA, entry, self.path, found, REMEDY, self.line())
                return
            entry.shapes.append(Shape(label, box, mask=mask, file=self.path))
            return
        box, points = None, ()
        if "points" in value:
            pairs = value["points"] if isinstance(value["points"], list) else []
            value = {f"{i}.{j}": pair[j] for i, pair in enumerate(pairs) for j in (0, 1)}
            points = tuple((share(f"{i}.0"), share(f"{i}.1")) for i in range(len(pairs)))
        elif "radiusX" in value:
            points = ellipse_points(share("x"), share("y"), share("radiusX"), share("radiusY"))
            if value.get("rotation"):
                points = self._turned_ellipse(entry, value, share)
        else:
            x, y, width, height = (share(key) for key in ("x", "y", "width", "height"))
            box = x, y, x + width, y + height
            if rotation := share("rotation", 0) * 100:
                points = self._turned(entry, (x, y, width, height), rotation)
                self.parsed.findings.add(ORIENTED, self.path, f"{label} of {entry.image}")
        if points:
            self.parsed.add_outline(entry, label, points, self.path, self.line, shares=True)
        else:
            entry.shapes.append(Shape(label, box, shares=True, file=self.path))

    def _pixels(self, entry: Entry) -> tuple[int, int]:
        if entry.size is None:
            found = f"a rotated object of {entry.image}, but original_width is missing"
            raise MalformedAnnotationError(self.path, found, REMEDY, self.line())
        return entry.size

    def _turned(self, entry: Entry, box: tuple[float, ...], degrees: float) -> tuple[tuple[float, float], ...]:
        """Return the corners of a rectangle turned about its own upper left corner; angles hold in pixels."""
        width, height = self._pixels(entry)
        x, y, w, h = box[0] * width, box[1] * height, box[2] * width, box[3] * height
        return tuple((px / width, py / height) for px, py in rotated_corners(x, y, w, h, degrees, (x, y)))

    def _turned_ellipse(self, entry: Entry, value: dict[str, Any], share: Any) -> tuple[tuple[float, float], ...]:
        width, height = self._pixels(entry)
        center = share("x") * width, share("y") * height
        radii = share("radiusX") * width, share("radiusY") * height
        degrees = share("rotation") * 100
        return tuple((x / width, y / height) for x, y in ellipse_points(*center, *radii, degrees))


def _image_of(task: dict[str, Any]) -> str | None:
    """Return the name of a task's image: under `image`, or the only value that looks like one."""
    stated = task.get("data")
    data = stated if isinstance(stated, dict) else task
    if isinstance(data.get("image"), str):
        return data["image"]
    texts = [value for value in data.values() if isinstance(value, str) and ("/" in value or "." in value)]
    return texts[0] if len(texts) == 1 else None
