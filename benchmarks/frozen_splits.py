"""The frozen benchmark: which images are in which split, with digests of their bytes and annotations.

    python benchmarks/frozen_splits.py --check neu_det --data-dir NEU-DET       does my copy match?
    python benchmarks/frozen_splits.py --write neu_det --data-dir NEU-DET       freeze it (once, on the complete set)

`benchmarks/splits/SET/SPLIT.txt` has one line per image, sorted: image_id, the first 16 hexadecimal digits of the
sha256 of the image file, and the same of its annotations. Ids and digests are not images: they may be redistributed.
`SHA256SUMS` holds the sha256 of each list (`cd benchmarks/splits && sha256sum --check SHA256SUMS`). `--check` exits
with 0 if everything is equal and with 1 otherwise, listing every image that is missing, new, in another split, or has
other bytes or other annotations.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

if __name__ == "__main__":
    sys.path[:1] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from radikal_datasets import load_dataset
from radikal_datasets.errors import RadikalError
from radikal_datasets.loading.sets import rows
from radikal_datasets.splits import TEST, TRAIN, VALIDATION

LISTS = Path(__file__).resolve().parent / "splits"
SUMS = "SHA256SUMS"
SCORED = (TRAIN, VALIDATION, TEST)
DIGITS = 16
#: Name of a frozen set -> source and configuration, as load_dataset takes them.
SETS: dict[str, tuple[str, str | None]] = {
    "neu_det": ("radikal_datasets/neu_det", None),
    "gdxray_castings": ("radikal_datasets/gdxray", "castings"),
    "deeppcb": ("radikal_datasets/deeppcb", None),
}


class FrozenSplitsError(Exception):
    """The lists are not those that were frozen."""


class Line(NamedTuple):
    """The split of an image, and the digests of its file's bytes and of its annotations."""

    split: str
    image: str
    truth: str


Frozen = Mapping[str, Line]


@dataclass
class Differences:
    """How a dataset differs from the frozen one: one list per kind, each entry an image_id with details, sorted."""

    missing: list[str] = field(default_factory=list)
    new: list[str] = field(default_factory=list)
    moved: list[str] = field(default_factory=list)
    other_bytes: list[str] = field(default_factory=list)
    other_truth: list[str] = field(default_factory=list)

    def __bool__(self) -> bool:
        return any(vars(self).values())

    def lines(self) -> list[str]:
        """Return one line per difference."""
        return [f"{kind.replace('_', ' ')}: {entry}" for kind, entries in vars(self).items() for entry in entries]

    def summary(self) -> str:
        """Return such as `3 missing, 1 moved`."""
        counted = ((len(entries), kind.replace("_", " ")) for kind, entries in vars(self).items())
        return ", ".join(f"{count} {kind}" for count, kind in counted if count) or "none"


def compare(frozen: Frozen, found: Frozen) -> Differences:
    """Return the differences of `found` from `frozen`."""
    result = Differences()
    for image_id in sorted({*frozen, *found}):
        before, now = frozen.get(image_id), found.get(image_id)
        if now is None or before is None:
            there = before or now
            (result.missing if now is None else result.new).append(f"{image_id} ({there and there.split})")
            continue
        if now.split != before.split:
            result.moved.append(f"{image_id} from {before.split} to {now.split}")
        if now.image != before.image:
            result.other_bytes.append(f"{image_id} ({before.split})")
        if now.truth != before.truth:
            result.other_truth.append(f"{image_id} ({before.split})")
    return result


def of_splits(splits: Mapping[Any, Any]) -> dict[str, Line]:
    """Return image_id -> `Line` of a DatasetDict with radikal_datasets' columns; unannotated images are not scored."""
    found = {}
    for split in SCORED:
        if split not in splits:
            continue
        names = splits[split].features["labels"].feature.names
        for row in rows(splits[split], ["image_id", "image", "boxes", "labels", "annotated"]):
            if row["annotated"]:
                image, truth = _image_digest(row["image"]), truth_digest(row["boxes"], row["labels"], names)
                found[row["image_id"]] = Line(split, image, truth)
    return found


def truth_digest(boxes: Iterable[Iterable[float]], labels: Iterable[int], names: list[str]) -> str:
    """Return the digest of the boxes, in pixels to a hundredth, and their class names, independent of their order."""
    # + 0.0: -0.0 is the same edge as 0.0.
    pairs = zip(boxes, labels, strict=True)
    truth = sorted([names[label], *(round(float(edge), 2) + 0.0 for edge in box)] for box, label in pairs)
    return _digest(json.dumps(truth).encode())


def _image_digest(image: Mapping[str, Any]) -> str:
    return _digest(image["bytes"] if image["bytes"] is not None else Path(image["path"]).read_bytes())


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:DIGITS]


def read(name: str, folder: Path = LISTS) -> dict[str, Line]:
    """Return the frozen lists of a dataset.

    Raises:
        FrozenSplitsError: a list is missing or was changed, or an image is in two of them.
    """
    sums = read_sums(folder)
    frozen: dict[str, Line] = {}
    for split in SCORED:
        file = folder / name / f"{split}.txt"
        if not file.is_file():
            raise FrozenSplitsError(f"{file} is missing; write it with frozen_splits.py --write {name} --data-dir DIR")
        content = file.read_bytes()
        key = f"{name}/{split}.txt"
        if hashlib.sha256(content).hexdigest() != sums.get(key):
            raise FrozenSplitsError(
                f"{file} was changed: its sha256 is not that of {key} in {folder / SUMS}. Take both from the repository"
            )
        for line in content.decode().splitlines():
            image_id, image, truth = line.split()
            if image_id in frozen:
                raise FrozenSplitsError(f"{image_id} is in {frozen[image_id].split} and in {split} of {folder / name}")
            frozen[image_id] = Line(split, image, truth)
    return frozen


def read_sums(folder: Path = LISTS) -> dict[str, str]:
    """Return the sha256 of each list by its name, `SET/SPLIT.txt`."""
    file = folder / SUMS
    pairs = (line.split() for line in file.read_text(encoding="utf-8").splitlines()) if file.is_file() else ()
    return {key: digest for digest, key in pairs}


def write(name: str, found: Frozen, folder: Path = LISTS) -> None:
    """Write a dataset's lists, and add their checksums to those of the other datasets."""
    sums = read_sums(folder)
    (folder / name).mkdir(parents=True, exist_ok=True)
    for split in SCORED:
        lines = [f"{i} {line.image} {line.truth}\n" for i, line in sorted(found.items()) if line.split == split]
        content = "".join(lines).encode()
        (folder / name / f"{split}.txt").write_bytes(content)
        sums[f"{name}/{split}.txt"] = hashlib.sha256(content).hexdigest()
    text = "".join(f"{digest}  {key}\n" for key, digest in sorted(sums.items()))
    (folder / SUMS).write_text(text, encoding="utf-8")


def load(name: str, data_dir: str | None) -> dict[str, Line]:
    """Return what the current builder makes of a raw tree (None: wherever `load_dataset` finds one)."""
    source, config = SETS[name]
    return of_splits(load_dataset(source, config, data_dir=data_dir))


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    act = parser.add_mutually_exclusive_group(required=True)
    act.add_argument("--check", choices=SETS, metavar="SET", help=f"one of {', '.join(SETS)}")
    act.add_argument("--write", choices=SETS, metavar="SET")
    parser.add_argument("--data-dir", help="the raw tree (default: wherever load_dataset finds one)")
    parser.add_argument("--lists", type=Path, default=LISTS, help="the folder of the lists (default: this project's)")
    parser.add_argument("--most", type=int, default=20, help="print at most this many differences; 0: all")
    options = parser.parse_args(arguments)
    name = options.check or options.write
    try:
        found = load(name, options.data_dir)
        if options.write:
            write(name, found, options.lists)
        frozen = read(name, options.lists)
    except (RadikalError, FrozenSplitsError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    counts = ", ".join(f"{split} {sum(line.split == split for line in frozen.values())}" for split in SCORED)
    if options.write:
        print(f"{name}: wrote {options.lists / name} ({counts})")
        return 0
    differences = compare(frozen, found)
    if not differences:
        print(f"{name}: equal to the frozen splits, images and annotations ({counts})")
        return 0
    lines = differences.lines()
    print(f"{name}: not the frozen splits ({counts}): {differences.summary()}")
    shown = lines if options.most == 0 else lines[: options.most]
    print("\n".join(f"  {line}" for line in shown))
    if len(shown) < len(lines):
        print(f"  and {len(lines) - len(shown)} more (--most 0 prints all)")
    return 1


if __name__ == "__main__":
    sys.exit(main())
