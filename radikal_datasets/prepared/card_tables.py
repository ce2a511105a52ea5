"""Generate the human-readable parts of a card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from .. import splits
from ..building.builder import InspectionBuilder
from ..schema import Example
from ..source import DEFAULT_CONFIG, Source

_BY_SHARE = "70 % train, 15 % validation, 15 % test of every class; groups are kept together"


def about(source: Source, configs: Sequence[str]) -> str:
    """Return title, how to load, license, notes."""
    name = "" if configs[0] == DEFAULT_CONFIG else f', "{configs[0]}"'
    license = source.license
    passing_on = (
        "This copy may be passed on under these terms."
        if license.redistributable
        else "This copy **must not be passed on**: keep it in a private repository."
    )
    images = "Images" if source.real else "Images, drawn by a program"
    notes = "".join(f"- {note}\n" for note in source.notes)
    return (
        f"# {source.title}\n\n"
        f"{images}: {source.modality}. Ground truth: {source.annotations}. Converted by radikal-datasets from the "
        f"{'owner' if source.decided else 'publisher'}'s files; the bytes of the images are unchanged.\n\n"
        "```python\n"
        "from datasets import load_dataset\n\n"
        f'dataset = load_dataset("path/to/this/folder"{name})  # a copy on disk\n'
        f'dataset = load_dataset("NAMESPACE/NAME"{name}, revision="main")  # a repository of the Hub at HF_ENDPOINT\n'
        "```\n\n"
        "Boxes are `x_min, y_min, x_max, y_max` in pixels, 0-based and half-open. `annotated` is false for unannotated "
        "images: such an image is not a negative. Images of the same `group` are in the same split, unless the "
        "publisher separated them.\n\n"
        + (f"Homepage: <{source.homepage}>\n\n" if source.homepage else "")
        + f"## License\n\n{license.name}. {license.summary} {passing_on}\n"
        + (f"\n## Notes\n\n{notes}" if notes else "")
    )


def citation(source: Source) -> str:
    """Return the publisher's BibTeX."""
    return f"## Citation\n\n```bibtex\n{source.citation}\n```\n"


def config_section(builder: InspectionBuilder, preview: str | None) -> str:
    """Return the preview, images and boxes by split and by class, the protocol, and the problems in the raw tree."""
    by_split, name = builder.index().splits, builder.config.name
    lines = [f"## Configuration `{name}`", ""]
    if preview:
        lines += [f"![Some images of {name} with their boxes]({preview})", ""]
    protocol = builder.config.protocol
    lines += [f"Split protocol `{protocol}`: {protocol_in_words(protocol, builder.facts)}.", ""]
    if (scale := builder.index().gray_scale) is not None:
        shown = f"from {scale.low:,g} (black) to {scale.high:,g} (white)"
        lines += [f"Images of more than 8 bits are shown {shown}, here and to models.", ""]
    lines += ["| split | images | defect-free | not annotated | boxes |", "|---|---:|---:|---:|---:|"]
    for split, examples in by_split.items():
        clean = sum(example.annotated and not example.instances for example in examples)
        unknown = sum(not example.annotated for example in examples)
        boxes = sum(len(example.instances) for example in examples)
        lines.append(f"| {split} | {len(examples):,} | {clean:,} | {unknown:,} | {boxes:,} |")
    lines += ["", *_by_class(builder.class_names, by_split), "", *_found(builder), ""]
    return "\n".join(lines)


def protocol_in_words(protocol: str, source: Source) -> str:
    """Return how a protocol splits a source."""
    if protocol == splits.OFFICIAL and source.decided:
        return "the folder's own splits, as they are"
    if protocol == splits.OFFICIAL:
        return "the publisher's split unchanged; there is no validation set"
    if protocol == splits.RECOMMENDED and source.keeps_publisher_test:
        return "the publisher's test set; 15 % of its training set form the validation set"
    return _BY_SHARE


def _by_class(classes: Sequence[str], by_split: dict[str, list[Example]]) -> list[str]:
    images, boxes = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    for split, examples in by_split.items():
        for example in examples:
            labels = [instance.label for instance in example.instances]
            boxes.update((split, label) for label in labels)
            images.update((split, label) for label in set(labels))
    annotated = [split for split in by_split if split != splits.UNLABELED]
    lines = ["Images that hold a class / boxes of it:", ""]
    lines += [f"| class | {' | '.join(annotated)} |", f"|---|{'---:|' * len(annotated)}"]
    for label in classes:
        cells = (f"{images[split, label]:,} / {boxes[split, label]:,}" for split in annotated)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return lines if annotated else ["These images are unannotated."]


def _found(builder: InspectionBuilder) -> list[str]:
    report = builder.index().report
    counts = report.counts()
    if not counts:
        return ["Nothing in the raw tree had to be repaired or left out."]
    lines = ["Found in the raw tree:", "", "| what | times | effect | meaning |", "|---|---:|---|---|"]
    for kind, count in counts.items():
        lines.append(f"| {kind} | {count:,} | {report.kinds[kind].effect} | {report.kinds[kind].meaning} |")
    return lines
