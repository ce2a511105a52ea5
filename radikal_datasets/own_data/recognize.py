"""Recognize what lies in a folder: which files hold annotations, in which format, and which are images or masks."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any

from ..annotations.safe_xml import parse_xml
from ..errors import BadFileError
from ..raw.tree import Tree
from .documents import csv_columns, parse_json
from .mask_files import GOOD, MaskFiles, find_masks
from .names import IMAGE_SUFFIXES, ImageNames, nfc
from .parsed import Findings
from .settings import SETTINGS_FILENAME, OwnSettings
from .table_columns import is_box_table

#: Columns of `images.csv`, which our exports contain.
EXPORTED_COLUMNS = ["file", "split", "image_id", "group"]
#: Keys under which a metadata file states boxes.
BOX_KEYS = {"objects", "bbox", "bboxes", "boxes"}
_METADATA = re.compile(r"metadata\.(?:jsonl|csv|parquet)$", re.IGNORECASE)
_CLASS_LIST = re.compile(r"(?:classes|predefined_classes|obj|class_names)\.(?:txt|names)$|\.names$", re.IGNORECASE)
_NUMBERS = re.compile(
    r"[-+]?\d+(?:\.0*)?(?:\s+[-+]?(?:\d+\.?\d*|\.\d+|nan|inf)(?:[eE][-+]?\d+)?){4,}\s*", re.IGNORECASE
)
#: Files that come with a set and hold no annotation.
_LITTER = re.compile(
    r"(?:readme|licen[cs]e|copying|changelog)[^/]*$|\.(?:md|rst|pdf|html?|docx?|py|ipynb|cache|log|sh|bat|gitignore|"
    r"gitattributes)$|notes\.json$|labelmap\.(?:txt|prototxt)$|(?:requirements|environment)\.(?:txt|ya?ml)$|traps\.json$",
    re.IGNORECASE,
)
#: Files that may hold annotations: none of them stays unread silently.
ANNOTATION_LIKE = re.compile(r"\.(?:txt|xml|json|jsonl|csv|tsv|mat|parquet|ya?ml|npy|zip|tar|gz)$", re.IGNORECASE)


@dataclass
class Files:
    """The files of a folder by what they hold.

    Attributes:
        tree: all of them.
        settings: `radikal.yaml`.
        images: image files that are no masks.
        names: to find images by name.
        masks: image files that are masks.
        annotations: format -> its annotation files, in path order.
        documents: annotation file -> parsed JSON, XML root or text.
        class_lists: files that list class names, as lines or as YAML.
        image_lists: text files that list images.
        exported: the lists of an export by this program (`images.csv`).
        unread: files that nothing explains.
        findings: files that cannot be parsed, whatever their format is.
        good_folders: folders of defect-free images.
    """

    tree: Tree
    settings: OwnSettings
    images: list[str] = field(default_factory=list)
    names: ImageNames = field(default_factory=lambda: ImageNames(()))
    masks: MaskFiles = field(default_factory=MaskFiles)
    annotations: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    documents: dict[str, Any] = field(default_factory=dict)
    class_lists: list[str] = field(default_factory=list)
    image_lists: list[str] = field(default_factory=list)
    exported: list[str] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)
    good_folders: list[str] = field(default_factory=list)

    @property
    def formats(self) -> list[str]:
        """The formats that were recognized."""
        return [name for name, files in self.annotations.items() if files]


def recognize(tree: Tree, settings: OwnSettings) -> Files:
    """Sort the files of a tree; annotation files are parsed once, here."""
    files = Files(tree, settings)
    texts: list[str] = []
    for path in tree.files:
        if path == SETTINGS_FILENAME or settings.ignores(path):
            continue
        suffix = PurePosixPath(path).suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            files.images.append(path)
        elif suffix in (".txt", ".names", ".data", ".yaml", ".yml"):
            texts.append(path)
        else:
            _sort_document(files, path, suffix)
    files.masks = find_masks(files.images)
    masks = files.masks.all
    files.images = [image for image in files.images if image not in masks]
    files.names = ImageNames(files.images)
    _sort_texts(files, texts)
    _find_mask_sets(files)
    return files


def _sort_document(files: Files, path: str, suffix: str) -> None:
    """Find the format of a file by its contents."""
    tree = files.tree
    classify = _BY_SUFFIX.get(suffix)
    if _LITTER.search(path):
        return
    if classify is None:
        files.unread.append(path)
        return
    try:
        kind, document = classify(tree, path)
    except BadFileError as error:
        files.findings.add_error(error)
        return
    if kind == "exported":
        files.exported.append(path)
    elif kind is None:
        files.unread.append(path)
    else:
        files.annotations[kind].append(path)
        files.documents[path] = document


_Classified = tuple[str | None, Any]


def _json(tree: Tree, path: str) -> _Classified:
    data = parse_json(tree, path)
    one = data[0] if isinstance(data, list) and data else data
    if not isinstance(one, dict):
        return None, None
    if isinstance(data, dict):
        if isinstance(data.get("shapes"), list) and ("imagePath" in data or "imageHeight" in data):
            data["imageData"] = None  # the image itself, in base64
            return "labelme", data
        if isinstance(data.get("images"), list) and ("annotations" in data or "categories" in data):
            return "coco", data
    annotated = any(key in one for key in ("annotations", "completions", "predictions"))
    if isinstance(one.get("data"), dict) and annotated:
        return "label_studio", data if isinstance(data, list) else [data]
    if isinstance(data, list) and isinstance(one.get("image"), str) and {"annotation_id", "annotator", "id"} & {*one}:
        return "label_studio", data
    return None, None


def _xml(tree: Tree, path: str) -> _Classified:
    root = parse_xml(tree.read(path), path)
    if root.tag == "annotation":
        return "voc", root
    if root.tag == "annotations" and (root.find("image") is not None or root.find("meta") is not None):
        return "cvat", root
    return None, None


def _csv(tree: Tree, path: str) -> _Classified:
    columns = csv_columns(tree, path)
    if columns == EXPORTED_COLUMNS:
        return "exported", None
    if _METADATA.search(path) and {"file_name", "image"} & {*columns} and BOX_KEYS & {*columns}:
        return "imagefolder", None
    return ("table" if is_box_table(columns) else None), None


def _parquet(tree: Tree, path: str) -> _Classified:
    import pyarrow.parquet as pq

    try:
        with tree.open_file(path) as file:
            columns = pq.read_schema(file).names
    except Exception:  # no Parquet file: it stays unexplained
        return None, None
    if _METADATA.search(path) and "file_name" in columns and BOX_KEYS & {*columns}:
        return "imagefolder", None
    return ("table" if is_box_table(columns) else None), None


def _jsonl(tree: Tree, path: str) -> _Classified:
    first = next(iter(tree.read_text(path).split("\n")), "")
    return ("imagefolder" if _METADATA.search(path) and any(f'"{key}"' in first for key in BOX_KEYS) else None), None


_BY_SUFFIX: dict[str, Callable[[Tree, str], _Classified]] = {
    ".json": _json,
    ".xml": _xml,
    ".csv": _csv,
    ".tsv": _csv,
    ".parquet": _parquet,
    ".jsonl": _jsonl,
}


def _sort_texts(files: Files, texts: list[str]) -> None:
    """Tell YOLO's label files from lists of classes and of images."""
    open_: list[str] = []
    for path in texts:
        name = PurePosixPath(path).name
        if _CLASS_LIST.search(name):
            files.class_lists.append(path)
            continue
        if _LITTER.search(path):
            continue
        text = files.tree.read_text(path)
        lines = [line.strip() for line in text.splitlines() if line.strip()]
        if name.lower().endswith((".yaml", ".yml")):
            if re.search(r"^\s*names\s*:", text, re.MULTILINE):
                files.class_lists.append(path)
            else:
                files.unread.append(path)
        elif name.lower().endswith(".data"):
            continue  # Darknet's list of the other files
        elif "ImageSets" in PurePosixPath(path).parts or (lines and all(map(_is_image_name, lines))):
            files.image_lists.append(path)
        elif lines and _NUMBERS.fullmatch(lines[0]):
            files.annotations["yolo"].append(path)
            files.documents[path] = text
        else:
            open_.append(path)
            files.documents[path] = text
    stated = any(path.lower().endswith((".yaml", ".yml", ".names")) for path in files.class_lists)
    yolo = bool(files.annotations["yolo"]) or stated
    images = {nfc(PurePosixPath(image).stem).casefold() for image in files.images}
    for path in open_:
        # Empty, or with a line that is none of YOLO's: it is the label file of its image nevertheless.
        if yolo and nfc(PurePosixPath(path).stem).casefold() in images:
            files.annotations["yolo"].append(path)
        elif files.documents.pop(path).strip():
            files.unread.append(path)
    files.annotations["yolo"].sort()


def _is_image_name(line: str) -> bool:
    return PurePosixPath(line).suffix.lower() in IMAGE_SUFFIXES


def _find_mask_sets(files: Files) -> None:
    """Recognize masks beside images, and folders of good and defective images, which other formats may have too."""
    good = set()
    for image in files.images:
        folders = PurePosixPath(image).parts[:-1]
        for depth, part in enumerate(folders):
            if nfc(part).casefold() in GOOD:
                good.add("/".join(folders[: depth + 1]))
    files.good_folders = sorted(good)
    if files.masks.of_image:
        files.annotations["masks"] = sorted(files.masks.all)
    elif good and not files.formats:
        files.annotations["masks"] = files.good_folders
