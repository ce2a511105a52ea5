"""The dataset card: metadata for Hub clients and tables for people, both generated from what was written."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from datasets import DatasetInfo, Features, SplitDict, SplitInfo
from datasets.info import DatasetInfosDict
from huggingface_hub import DatasetCardData

from ..building.builder import InspectionBuilder
from ..errors import HubFolderError
from ..source import Source
from .card_tables import about, citation, config_section
from .card_text import Block, Card, parse_card
from .manifest import ConfigEntry
from .reading import CARD_KEY

logger = logging.getLogger(__name__)

_SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"), (10**7, "1M<n<10M"))
_ABOUT, _CITATION = "about", "citation"
# Ours whether we write them or not; all other keys are the user's.
_OUR_KEYS = {
    *("license", "license_name", "license_link", "pretty_name", "task_categories", "size_categories", "tags"),
    *("configs", "dataset_info", CARD_KEY),
}


@dataclass(frozen=True)
class ConfigCard:
    """The part of the card about one configuration.

    Attributes:
        name, protocol: of the configuration.
        info: the Hub's `dataset_info`: features, splits and sizes, from the shards themselves.
        digest: of its entry in the manifest.
        section: its part of the card's text.
    """

    name: str
    protocol: str
    info: dict[str, Any]
    digest: str
    section: str

    @classmethod
    def of(cls, builder: InspectionBuilder, entry: ConfigEntry, folder: Path) -> ConfigCard:
        """Create it from a builder and its shards, which are in `folder` at the paths of `entry`."""
        shards = {path: file for path, file in entry.files.items() if file.rows is not None}
        splits = SplitDict(dataset_name=builder.facts.name)
        for split in builder.index().splits:
            of_split = [file for path, file in shards.items() if Path(path).name.startswith(f"{split}-")]
            size, rows = sum(file.bytes for file in of_split), sum(file.rows or 0 for file in of_split)
            splits.add(SplitInfo(split, num_bytes=size, num_examples=rows))
        total = sum(file.bytes for file in shards.values())
        info = DatasetInfo(
            features=Features.from_arrow_schema(pq.read_schema(folder / next(iter(shards)))),
            splits=splits,
            config_name=builder.config.name,
            download_size=total,
            dataset_size=total,
        )
        data = DatasetCardData()
        DatasetInfosDict({builder.config.name: info}).to_dataset_card_data(data)
        preview = next((path for path, file in entry.files.items() if file.rows is None), None)
        return cls(
            builder.config.name, entry.protocol, data["dataset_info"], entry.digest, config_section(builder, preview)
        )

    @property
    def data_files(self) -> list[dict[str, str]]:
        """The `data_files` of the Hub's `configs`."""
        return [{"split": s["name"], "path": f"{self.name}/{s['name']}-*.parquet"} for s in self.info["splits"]]


def new_card(source: Source, configs: Iterable[ConfigCard]) -> str:
    """Return the text of a card about these configurations alone."""
    configs = list(configs)
    card = Card()
    for config in configs:
        card.blocks.append(Block(_block_name(config.name), config.section))
    metadata = {
        "configs": [{"config_name": config.name, "data_files": config.data_files} for config in configs],
        "dataset_info": [{"config_name": config.name, **config.info} for config in configs],
        CARD_KEY: {
            "source": source.name,
            "protocol": {config.name: config.protocol for config in configs},
            "contents": {config.name: config.digest for config in configs},
        },
    }
    return _merge(Card(), Card(metadata, "", card.blocks), source, [config.name for config in configs]).to_text()


def merge_cards(
    on_hub: str | None,
    local: str,
    source: Source,
    configs: Iterable[str],
    *,
    where: tuple[str | Path, str | Path] = ("the card on the Hub", "the card of the folder"),
) -> str:
    """Return the text of a card about what is on the Hub and what is added or replaced.

    Configurations can be merged in any order with the same result, and merging twice changes nothing. Text between
    generated blocks is the user's: that on the Hub stays; that of the folder is used where the Hub's card has none in
    the same position. The same holds for metadata under keys that are not ours, and for additional tags. Prose right
    after the block of a configuration belongs to that configuration.

    Args:
        on_hub: the existing card; None if there is none.
        local: the card of a prepared folder.
        source: the source that both describe.
        configs: names of the configurations that come from `local`; all others come from `on_hub`.
        where: how to call the two in an error.

    Raises:
        HubFolderError: a card's YAML cannot be parsed, it describes another source, or `local` lacks one of `configs`.
    """
    newer = parse_card(local, where[1])
    older = None if on_hub is None else parse_card(on_hub, where[0])
    for card, name in ((newer, where[1]), (older, where[0])):
        described = _ours(card.metadata if card else {}, name).get("source", source.name)
        if described != source.name:
            raise HubFolderError(
                f"{name} describes {described}, not {source.name}. Choose another folder or repository."
            )
    names = list(configs)
    if older is None:
        others = {_block_name(n) for n in _by_name(newer.metadata, "configs", where[1])} - {*map(_block_name, names)}
        older = Card({}, newer.before, [block for block in newer.blocks if block.name not in others])
    return _merge(older, newer, source, names, where).to_text()


def _block_name(config: str) -> str:
    return f"config {config}"


def _merge(
    older: Card, newer: Card, source: Source, names: list[str], where: tuple[str | Path, str | Path] = ("", "")
) -> Card:
    metadata = _merged_metadata(older.metadata, newer.metadata, source, names, where)
    there = [config["config_name"] for config in metadata["configs"]]
    fresh = {_ABOUT: about(source, there)} | ({_CITATION: citation(source)} if source.citation else {})
    for name in names:
        if (block := newer.block(_block_name(name))) is None:
            raise HubFolderError(f"{where[1]} has no section about {name}. Run prepare again.")
        fresh[block.name] = block.text
    card = Card(metadata, older.before or newer.before, [Block(b.name, b.text, b.after) for b in older.blocks])
    order = [_ABOUT, *(_block_name(name) for name in there), _CITATION]
    for name in sorted(fresh, key=order.index):
        block = card.block(name)
        if block is None:
            card.insert(block := Block(name, ""), order)
        block.text = fresh[name]
        prose = written.after if (written := newer.block(name)) else ""
        if block.after and prose and block.after != prose:
            logger.info("%s has different prose after %r than %s: it keeps its own", where[0], name, where[1])
        block.after = block.after or prose
    return card


def _merged_metadata(
    older: dict[str, Any], newer: dict[str, Any], source: Source, names: list[str], where: tuple[str | Path, str | Path]
) -> dict[str, Any]:
    def merged(key: str, join: Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]) -> list[dict[str, Any]]:
        there, added = (_by_name(data, key, place) for data, place in ((older, where[0]), (newer, where[1])))
        if missing := [name for name in names if name not in added]:
            raise HubFolderError(f"{where[1]} has no `{key}` for {', '.join(missing)}. Run prepare again.")
        there |= {name: join(there.get(name, {}), added[name]) for name in names}
        listed = [name for name in source.config_names if name in there]
        return [there[name] for name in [*listed, *sorted(there.keys() - {*listed})]]

    # Users may have added to an entry of `configs` (`default: true`); `dataset_info` describes only the shards.
    configs = merged("configs", lambda old, new: old | new)
    infos = merged("dataset_info", lambda _, new: new)
    ours = [_ours(older, where[0]), _ours(newer, where[1])]
    about_us: dict[str, Any] = {"source": source.name}
    for key in ("protocol", "contents"):
        there, added = (our.get(key) or {} for our in ours)
        about_us[key] = dict(sorted((there | {name: added[name] for name in names if name in added}).items()))
    license = source.license
    metadata: dict[str, Any] = {"license": license.name.lower() if license.spdx else "other"}
    if not license.spdx:
        metadata["license_name"] = re.sub(r"[^a-z0-9]+", "-", license.name.lower()).strip("-")
        if source.homepage:
            metadata["license_link"] = source.homepage
    tasks = ["object-detection"] + ["image-segmentation"] * ("masks" in source.annotations)
    tags = ["industrial-inspection", "defect-detection", source.name]
    rows = sum(split.get("num_examples", 0) for info in infos for split in info.get("splits") or ())
    metadata |= {
        "pretty_name": source.title,
        "task_categories": _with_others(tasks, older, newer, "task_categories"),
        "size_categories": [next((name for limit, name in _SIZES if rows < limit), "10M<n<100M")],
        "tags": _with_others(tags, older, newer, "tags"),
        "configs": configs,
        # As `datasets` writes it: a mapping for a single configuration, otherwise a list.
        "dataset_info": infos if len(infos) > 1 else infos[0],
        CARD_KEY: about_us,
    }
    extra = {key: value for key, value in (newer | older).items() if key not in _OUR_KEYS}
    return metadata | dict(sorted(extra.items(), key=lambda item: str(item[0])))


def _ours(metadata: dict[str, Any], where: str | Path) -> dict[str, Any]:
    found = metadata.get(CARD_KEY) or {}
    if not isinstance(found, dict) or not all(isinstance(found.get(k) or {}, dict) for k in ("protocol", "contents")):
        raise HubFolderError(f"{where}: `{CARD_KEY}` in the YAML is not in the form that prepare writes. Remove it.")
    return found


def _by_name(metadata: dict[str, Any], key: str, where: str | Path) -> dict[str, dict[str, Any]]:
    """Return the entries of `configs` or `dataset_info` by the names of their configurations."""
    found = metadata.get(key) or []
    entries = found if isinstance(found, list) else [found]
    if not all(isinstance(entry, dict) for entry in entries):
        raise HubFolderError(f"{where}: `{key}` in the YAML is not a list of mappings. Correct or remove it.")
    return {name: {"config_name": name} | entry for entry in entries if (name := entry.get("config_name", "default"))}


def _with_others(ours: list[str], older: dict[str, Any], newer: dict[str, Any], key: str) -> list[str]:
    """Return our own values, followed by the user's."""
    theirs: set[str] = set()
    for metadata in (older, newer):
        value = metadata.get(key) or []
        theirs.update(str(item) for item in (value if isinstance(value, list) else [value]))
    return ours + sorted(theirs.difference(ours))
