"""The part of the page about the data: source, license, splits, classes, repairs and losses, leaks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from radikal_datasets.leaks.finding import PAIRS
from radikal_datasets.view.pages import table
from training.audit.facts import RunFacts

UNKNOWN = "not recorded"
_USES = {
    "train": "training",
    "validation": "choosing the weights and the operating point",
    "test": "the final scores; nothing was chosen on it",
    "unlabeled": "nothing: these images are not annotated",
}
_MANY_CLASSES = 30


def data_section(facts: RunFacts) -> dict[str, Any]:
    """Return what the template shows of the data."""
    sets = facts.data.get("sets") or []
    return {
        "sets": [_set(one) for one in sets],
        "images_read": _images_read(facts) if len(sets) == 1 else "",
        "dataset_name": str(facts.settings.get("dataset_name", UNKNOWN)),
        "splits": _splits(facts),
        "classes": _classes(facts.splits),
        "digest": facts.data.get("digest"),
        "images_sha256": facts.data_check.get("sha256"),
        "leaks": leak_sentences(facts),
        "examples": [
            f"{one['images'][0]} ({one['splits'][0]}) and {one['images'][1]} ({one['splits'][1]})"
            for one in facts.data_check.get("examples") or []
        ],
    }


def _set(one: Mapping[str, Any]) -> dict[str, Any]:
    source = one.get("source") or {}
    license = source.get("license") or {}
    rows = {
        "dataset": one["name"] + (f", configuration {one['config']}" if one.get("config") else ""),
        "title": source.get("title") or "unknown to radikal-datasets",
        "images, by the source": source.get("modality") or "",
        "homepage": source.get("homepage") or "",
        "read from": one["read_from"] + (f" ({one['data_dir']})" if one.get("data_dir") else ""),
        "version": one.get("version") or ("" if one["read_from"] == "raw files" else UNKNOWN),
        "split protocol": f"{one['protocol']}: {one['protocol_in_words']}" if one.get("protocol") else UNKNOWN,
        "license of the images": f"{license['name']}. {license['summary']}" if license else "unknown: ask their owner",
        "may be passed on": _passing_on(license),
    }
    return {
        "rows": {name: text for name, text in rows.items() if text},
        "notes": source.get("notes") or [],
        "counters": _counters(one.get("counters")),
        "none_counted": one.get("counters") == [],
    }


def _passing_on(license: Mapping[str, Any]) -> str:
    if not license:
        return "not known"
    return "yes, under these terms" if license["redistributable"] else "no"


def _images_read(facts: RunFacts) -> str:
    """Return how many images were read, and how many the published set has: another set in its layout has others."""
    (one,) = facts.data["sets"]
    published = (one.get("source") or {}).get("published_images")
    read = sum(split["images"] for split in facts.splits.values())
    if published is None:
        return f"{read:,} images were read."
    return (
        f"{read:,} images were read; the complete set has {published:,}. Whether they are the publisher's own files "
        "was not verified: the checksums below say which they are."
    )


def may_show_images(facts: RunFacts) -> str:
    """Return a warning where a license forbids, or may forbid, to pass on the images that the page shows."""
    sets = facts.data.get("sets") or []
    licenses: list[Mapping[str, Any]] = [(one.get("source") or {}).get("license") or {} for one in sets]
    if not licenses or not all(licenses):
        return "Whether the images of this page may be passed on is not known."
    if all(one["redistributable"] for one in licenses):
        return ""
    return "The license of the images forbids to pass them on. This page shows some of them, so it applies to the page."


def _counters(counters: list[Mapping[str, Any]] | None) -> Any:
    if not counters:
        return None
    rows = [[one["kind"], one["count"], one["effect"] or "see the card", one["meaning"]] for one in counters]
    return table(["what", "times", "effect", "meaning"], rows)


def _splits(facts: RunFacts) -> Any:
    if not facts.splits:
        return None
    rows = []
    for name, one in facts.splits.items():
        use = _USES.get(name, "")
        if name in ("validation", "test") and name not in facts.scored:
            use = "nothing: no image is annotated"
        elif name == "test" and "validation" not in facts.scored:
            use = "the final scores, at a fixed threshold"
        groups = UNKNOWN if one.get("groups") is None else one["groups"]
        rows.append([name, one["images"], one["annotated"], one["defect_free"], one["boxes"], groups, use])
    return table(["split", "images", "annotated", "defect-free", "boxes", "groups", "used for"], rows)


def _classes(splits: Mapping[str, Mapping[str, Any]]) -> Any:
    shown = {name: one for name, one in splits.items() if one["annotated"]}
    names = list(next(iter(shown.values()))["images_per_class"]) if shown else []
    if not names:
        return None
    rows = [
        [name, *(one[kind][name] for one in shown.values() for kind in ("images_per_class", "boxes_per_class"))]
        for name in names[:_MANY_CLASSES]
    ]
    header = ["class", *(f"{split}: {kind}" for split in shown for kind in ("images", "boxes"))]
    return {"table": table(header, rows), "left_out": max(0, len(names) - _MANY_CLASSES)}


def leak_sentences(facts: RunFacts) -> list[str]:
    """Return what is known about images and groups that are in two splits."""
    check = facts.data_check
    lines = []
    if (groups := facts.data.get("groups_in_two_splits")) is not None:
        lines.append(
            f"{groups:,} groups (series, boards, parts) are in more than one split: the protocol separates them."
            if groups
            else "No group (series, board, part; an image without one is its own) is in two splits."
        )
    if facts.data:
        lines.append("No image id is in two splits; training would have been refused.")
    if not check:
        lines.append(
            "Copies and near-identical images in two splits were not searched for. To do it: radikal-datasets verify "
            "FOLDER --deep."
        )
        return lines
    if reason := check.get("not_checked"):
        lines.append(
            f"Copies and near-identical images in two splits were not searched for, because {reason}. To do it: "
            "radikal-datasets verify FOLDER --deep."
        )
        return lines
    pairs: Mapping[str, int] = check["pairs"]
    if not pairs:
        lines.append(
            f"All {check['images']:,} images were compared with each other: no image, exact or nearly the same, is in "
            "two splits."
        )
    else:
        kinds = "; ".join(f"{_of(count, 'pair')}: {PAIRS[kind].partition(':')[0]}" for kind, count in pairs.items())
        others = {"validation": "train", "test": "train or validation"}
        held = " ".join(
            f"{count:,} images of {name} show what an image of {others.get(name, 'another split')} also shows."
            for name, count in check["held_out"].items()
        )
        lines.append(
            f"All {check['images']:,} images were compared with each other. Pairs across splits: {kinds}. {held}"
        )
    if check["lookalike_sets"]:
        lines.append(
            f"In {_of(check['lookalike_sets'], 'set')} of images, all look so much alike that it cannot be decided "
            "whether two of them are the same."
        )
    if check["conflicts"]:
        lines.append(f"Identical images with different annotations: {_of(check['conflicts'], 'pair')}.")
    if check["boxes_to_check"]:
        lines.append(
            f"Boxes that deserve a look, because they are very large, tiny, doubled, or of another class than the "
            f"file's name says: {check['boxes_to_check']:,}."
        )
    return lines


def _of(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
