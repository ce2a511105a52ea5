"""The dataset card: metadata that Hub clients read, and tables that people read, both made from what was written."""

from __future__ import annotations

import re
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import DatasetInfo, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs
from huggingface_hub import DatasetCard, DatasetCardData

from ..builder import InspectionBuilder
from ..loading import CARD_KEY
from ..report import Report
from ..schema import Example, features
from ..source import Source

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))
_SECTION = re.compile(r"<!-- config: (?P<name>\S+) -->\n.*?<!-- /config -->\n", re.DOTALL)


@dataclass(frozen=True)
class ConfigCard:
    """What the card says of one configuration.

    Attributes:
        name, protocol: of the configuration.
        info: features, splits and sizes as the Hub's `dataset_info` wants them.
        section: its part of the card's text.
    """

    name: str
    protocol: str
    info: DatasetInfo
    section: str

    @classmethod
    def of(cls, builder: InspectionBuilder, file_bytes: dict[str, int]) -> ConfigCard:
        """From a builder whose shards are written; `file_bytes` are the sizes of each split's files."""
        index = builder.index()
        splits = SplitDict(dataset_name=builder.SOURCE.name)
        for split, examples in index.splits.items():
            splits.add(SplitInfo(split, num_bytes=file_bytes[split], num_examples=len(examples)))
        total = sum(file_bytes.values())
        info = DatasetInfo(
            features=features(builder.class_names),
            splits=splits,
            config_name=builder.config.name,
            download_size=total,
            dataset_size=total,
        )
        name, protocol = builder.config.name, builder.config.protocol
        section = _section(name, protocol, builder.class_names, index.splits, index.report)
        return cls(name, protocol, info, section)


def write_card(folder: Path, source: Source, configs: Iterable[ConfigCard]) -> None:
    """Writes ``README.md``; configurations that are in it already and not among `configs` are kept."""
    path = folder / "README.md"
    data, sections = DatasetCardData(), {}
    protocols: dict[str, str] = {}
    infos, metadata_configs = DatasetInfosDict(), MetadataConfigs()
    if path.is_file():
        old = DatasetCard.load(path)
        protocols = dict(old.data.to_dict().get(CARD_KEY, {}).get("protocol", {}))
        old_data = DatasetCardData(**old.data.to_dict())
        infos = DatasetInfosDict.from_dataset_card_data(old_data)
        metadata_configs = MetadataConfigs.from_dataset_card_data(old_data)
        sections = {match["name"]: match[0] for match in _SECTION.finditer(old.text)}
    for config in configs:
        protocols[config.name] = config.protocol
        infos[config.name] = config.info
        sections[config.name] = config.section
        files = [{"split": split, "path": f"{config.name}/{split}-*.parquet"} for split in config.info.splits or ()]
        metadata_configs[config.name] = {"data_files": files}
    rows = sum(split.num_examples for info in infos.values() for split in (info.splits or {}).values())
    for key, value in _metadata(source, rows, protocols).items():
        setattr(data, key, value)
    metadata_configs.to_dataset_card_data(data)
    infos.to_dataset_card_data(data)
    text = _text(source, [sections[name] for name in source.config_names if name in sections], list(sections))
    _replace_file(path, f"---\n{data.to_yaml()}\n---\n\n{text}")


def _metadata(source: Source, rows: int, protocols: dict[str, str]) -> dict[str, Any]:
    licence = source.licence
    metadata: dict[str, Any] = {"license": licence.name.lower() if licence.spdx else "other"}
    if not licence.spdx:
        metadata["license_name"] = re.sub(r"[^a-z0-9]+", "-", licence.name.lower()).strip("-")
        metadata["license_link"] = source.homepage
    return metadata | {
        "pretty_name": source.title,
        "task_categories": ["object-detection"],
        "tags": ["industrial-inspection", "defect-detection", source.name],
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "n>1M")],
        CARD_KEY: {"source": source.name, "protocol": dict(sorted(protocols.items()))},
    }


def _text(source: Source, sections: list[str], names: list[str]) -> str:
    config = f', "{names[0]}"' if len(source.configs) > 1 else ""
    passing_on = "may be passed on under its terms" if source.licence.redistributable else "must not be passed on"
    notes = "".join(f"- {note}\n" for note in source.notes)
    return (
        f"# {source.title}\n\nConverted by radikal-datasets from the publisher's files; image bytes are unchanged.\n\n"
        "```python\nfrom radikal_datasets import load_dataset\n\n"
        f'dataset = load_dataset("radikal_datasets/{source.name}"{config}, data_dir="path/to/this/folder")\n```\n\n'
        f"Homepage: <{source.homepage}>\n\n## Licence\n\n{source.licence.name}. {source.licence.summary} "
        f"This copy {passing_on}.\n\n## Notes\n\n{notes}\n"
        + "\n".join(sections)
        + f"\n## Citation\n\n```bibtex\n{source.citation}\n```\n"
    )


def _section(
    name: str, protocol: str, classes: Iterable[str], by_split: dict[str, list[Example]], report: Report
) -> str:
    """Images, defect-free images and boxes by split, images and boxes by class, and what was found in the raw tree."""
    lines = [f"<!-- config: {name} -->", f"## Configuration `{name}`", "", f"Split protocol: `{protocol}`.", ""]
    lines += ["| split | images | defect-free | boxes |", "|---|---:|---:|---:|"]
    for split, examples in by_split.items():
        clean = sum(example.annotated and not example.instances for example in examples)
        boxes = sum(len(example.instances) for example in examples)
        lines.append(f"| {split} | {len(examples):,} | {clean:,} | {boxes:,} |")
    images, boxes_of = Counter(), Counter()
    for split, examples in by_split.items():
        for example in examples:
            labels = [instance.label for instance in example.instances]
            boxes_of.update((split, label) for label in labels)
            images.update((split, label) for label in set(labels))
    lines += ["", "Images that hold a class / boxes of it:", "", f"| class | {' | '.join(by_split)} |"]
    lines.append(f"|---|{'---:|' * len(by_split)}")
    for label in classes:
        cells = (f"{images[split, label]:,} / {boxes_of[split, label]:,}" for split in by_split)
        lines.append(f"| {label} | {' | '.join(cells)} |")
    counts = report.counts()
    lines += ["", "Found in the raw tree:", ""] if counts else ["", "Nothing in the raw tree had to be repaired."]
    lines += [f"- {kind}: {count:,} ({report.kinds[kind].meaning})" for kind, count in counts.items()]
    return "\n".join([*lines, "<!-- /config -->", ""])


def _replace_file(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
