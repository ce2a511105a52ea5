from __future__ import annotations

import functools
import itertools
import re
from collections.abc import Callable
from pathlib import Path

import datasets
import pytest
import yaml
from datasets.info import DatasetInfosDict
from datasets.utils.metadata import MetadataConfigs, known_task_ids
from huggingface_hub import DatasetCard
from hypothesis import given, settings
from hypothesis import strategies as st

from radikal_datasets import build_hub_folder
from radikal_datasets.errors import HubFolderError
from radikal_datasets.prepared.card import ConfigCard, merge_cards, new_card
from radikal_datasets.prepared.card_text import Block, Card, parse_card
from radikal_datasets.sources import source_info, source_names

DAGM = source_info("dagm2007")
NAMES = DAGM.config_names[:4]


def config_card(name: str, rows: int = 600) -> ConfigCard:
    split = {"name": "train", "num_bytes": 1000, "num_examples": rows}
    info = {"features": [{"name": "width", "dtype": "int32"}], "splits": [split], "download_size": 1000}
    return ConfigCard(name, "official", info, f"{rows:016d}", f"## Configuration `{name}`\n\n{rows} images\n")


def local_card(*names: str, rows: int = 600) -> str:
    return new_card(DAGM, [config_card(name, rows) for name in names])


def metadata(text: str) -> dict:
    return DatasetCard(text).data.to_dict()


# ---- merging ----

prose = st.text("ab \n#-`<!>é", max_size=20).map(lambda text: text.strip("\n")).filter(str.strip)
extra = st.dictionaries(
    st.sampled_from(["language", "annotations_creators", "viewer", "zzz"]),
    st.sampled_from(["no", ["en", "no"], True, 3, "x: y", {"a": [1]}, None]),
)


def written_into(text: str, pieces: list[str], more: dict, tags: list[str]) -> str:
    """Edit a card as a person does: prose between the blocks, metadata under other keys, tags."""
    card = parse_card(text, "")
    card.before = pieces[0]
    for block, piece in zip(card.blocks, pieces[1:], strict=False):
        block.after = piece
    card.metadata |= more
    card.metadata["tags"] = [*tags, *card.metadata["tags"]]
    return card.to_text()


@settings(max_examples=40)
@given(
    st.permutations(NAMES),
    st.permutations(NAMES),
    st.lists(prose, min_size=4, max_size=4),
    extra,
    st.lists(st.sampled_from(["x-ray", "mine"]), unique=True),
)
def test_configurations_in_any_order_give_one_card_and_what_people_wrote_stays(
    one: list[str], other: list[str], pieces: list[str], more: dict, tags: list[str]
) -> None:
    on_hub = written_into(local_card("class3"), pieces, more, tags)
    locals_ = {name: local_card(name, rows=10 * number + 1) for number, name in enumerate(NAMES)}
    merged, again = (
        functools.reduce(lambda card, name: merge_cards(card, locals_[name], DAGM, [name]), order, on_hub)
        for order in (one, other)
    )
    assert merged == again
    for name in NAMES:  # what a push does to check whether its commit still applies
        assert merge_cards(merged, locals_[name], DAGM, [name]) == merged
    # A single push of all of them gives the same card.
    everything = new_card(DAGM, [config_card(name, 10 * number + 1) for number, name in enumerate(NAMES)])
    assert merge_cards(on_hub, everything, DAGM, NAMES) == merged
    card = parse_card(merged, "")
    assert [piece for piece in (card.before, *(block.after for block in card.blocks)) if piece] == pieces
    assert {key: card.metadata[key] for key in more} == more
    assert set(tags) <= set(card.metadata["tags"])
    assert [config["config_name"] for config in card.metadata["configs"]] == NAMES
    assert card.metadata["radikal_datasets"]["contents"].keys() == {*NAMES}
    for number, name in enumerate(NAMES):
        assert merged.count(f"Configuration `{name}`") == 1
        assert f"{10 * number + 1} images" in merged


@given(st.permutations(NAMES))
def test_without_a_card_on_the_hub_too(order: list[str]) -> None:
    everything = local_card(*NAMES)
    merged = functools.reduce(lambda card, name: merge_cards(card, everything, DAGM, [name]), order, None)
    assert merged == everything == merge_cards(None, everything, DAGM, NAMES)


@given(st.lists(st.sampled_from(["about", "citation", *(f"config {name}" for name in NAMES)]) | prose))
def test_any_rearranged_card_can_be_merged(parts: list[str]) -> None:
    """Blocks moved, duplicated or without their end: no prose is lost, and merging twice changes nothing."""
    source = {
        block.name: f"<!-- radikal: begin {block.name} -->\n{block.text}"
        for block in parse_card(local_card(*NAMES), "").blocks
    }
    lines = [
        source[p] + f"<!-- radikal: end {p} -->\n" * (n % 3 > 0) if p in source else p for n, p in enumerate(parts)
    ]
    on_hub = "\n\n".join(lines)
    merged = merge_cards(on_hub, local_card("class1", "class2"), DAGM, ["class1", "class2"])
    assert merge_cards(merged, local_card("class1", "class2"), DAGM, ["class1", "class2"]) == merged
    assert all(part in merged for part in parts if part not in source)


def test_a_configuration_that_is_not_pushed_is_not_mentioned() -> None:
    local = written_into(local_card("class1", "class2"), ["of all", "of the set", "of class1", "of class2"], {}, [])
    merged = merge_cards(None, local, DAGM, ["class2"])
    assert "class1" not in merged
    assert "of all" in merged
    assert "of class2" in merged
    assert metadata(merged)["dataset_info"]["config_name"] == "class2"


def test_prose_of_the_hub_wins_and_that_of_the_folder_fills_gaps() -> None:
    on_hub = written_into(local_card("class1"), ["hub: first", "", "hub: class1"], {"language": "en"}, ["mine"])
    local = written_into(
        local_card("class1"), ["local: first", "local: set", "local: class1"], {"language": "de", "x": 1}, ["yours"]
    )
    merged = merge_cards(on_hub, local, DAGM, ["class1"])
    for text in ("hub: first", "local: set", "hub: class1"):
        assert text in merged
    assert "local: first" not in merged
    data = metadata(merged)
    assert (data["language"], data["x"]) == ("en", 1)
    assert data["tags"][-2:] == ["mine", "yours"]


def test_user_additions_to_a_configuration_are_kept() -> None:
    on_hub = local_card("class1", "class2").replace(
        "- config_name: class2\n", "- config_name: class2\n  default: true\n"
    )
    merged = merge_cards(on_hub, local_card("class2", rows=7), DAGM, ["class2"])
    assert MetadataConfigs.from_dataset_card_data(DatasetCard(merged).data).get_default_config_name() == "class2"


def test_a_foreign_card_keeps_its_text() -> None:
    merged = merge_cards("---\nlicense: mit\n---\n# Ours\n\nHand-written.\n", local_card("class1"), DAGM, ["class1"])
    assert parse_card(merged, "").before == "# Ours\n\nHand-written."
    assert metadata(merged)["license"] == "other"  # ours: the publisher's, whatever was there


def test_a_card_of_the_first_version_is_taken_over() -> None:
    old = (
        f"---\nlicense: other\nlanguage: en\n---\n\n# {DAGM.title}\n\n"
        "Converted by radikal-datasets from the publisher's files; image bytes are unchanged.\n\n```python\nx\n```\n\n"
        "Homepage: <h>\n\n## Licence\n\nOld.\n\n## Notes\n\n"
        "- a\n- b\n\nMine.\n\n<!-- config: class1 -->\n## Configuration `class1`\n\nstale\n<!-- /config -->\n\n"
        "Mine too.\n\n## Citation\n\n```bibtex\nx\n```\n"
    )
    merged = merge_cards(old, local_card("class1"), DAGM, ["class1"])
    assert merged.count("# DAGM") == merged.count("Configuration `class1`") == merged.count("## Citation") == 1
    assert merged.count("## License") == 1 and "## Licence" not in merged
    assert "\n\nMine.\n\n" in merged
    assert "\n\nMine too.\n\n" in merged
    assert "stale" not in merged


def test_windows_line_endings_and_a_byte_order_mark() -> None:
    on_hub = "\ufeff" + written_into(local_card("class1"), ["a\n\nb"], {"language": "en"}, []).replace("\n", "\r\n")
    merged = merge_cards(on_hub, local_card("class1"), DAGM, ["class1"])
    assert merged == written_into(local_card("class1"), ["a\n\nb"], {"language": "en"}, [])


@pytest.mark.parametrize(
    ("on_hub", "reported"),
    [
        ("---\nlicense: mit\ntags: [\n---\n# x\n", "the card on the Hub, line 3: cannot parse the YAML"),
        ("---\n- a\n- b\n---\n", "the card on the Hub, line 2: the YAML is not a mapping"),
        ("---\nradikal_datasets: {source: gdxray}\n---\n", "gdxray, not dagm2007"),
        ("---\nradikal_datasets: 3\n---\n", "radikal_datasets"),
        ("---\nconfigs: [1]\n---\n", "`configs`"),
        ("---\ndataset_info: text\n---\n", "`dataset_info`"),
    ],
)
def test_a_card_that_cannot_be_read_is_reported(on_hub: str, reported: str) -> None:
    with pytest.raises(HubFolderError, match=re.escape(reported)):
        merge_cards(on_hub, local_card("class1"), DAGM, ["class1"])
    reported = re.escape(reported.replace("on the Hub", "of the folder"))
    with pytest.raises(HubFolderError, match=f"{reported}|the card of the folder has no `configs`"):
        merge_cards(None, on_hub, DAGM, ["class1"])


def test_a_folder_without_the_configuration_is_reported() -> None:
    with pytest.raises(HubFolderError, match=r"class2.*prepare"):
        merge_cards(None, local_card("class1"), DAGM, ["class2"])


blocks = st.lists(
    st.builds(Block, st.sampled_from(["a", "config b"]), st.just("x\n"), prose | st.just("")),
    max_size=2,
    unique_by=lambda block: block.name,
)


@given(st.builds(Card, extra, prose | st.just(""), blocks))
def test_a_card_is_read_as_it_was_written(card: Card) -> None:
    if card.before.startswith("---") and not card.metadata:
        return  # the dashes would start the YAML
    assert parse_card(card.to_text(), "") == card


# ---- what prepare writes ----


@pytest.fixture(scope="module")
def folders(sample_tree: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("cards")
    return {
        name: build_hub_folder(
            name, source_info(name).config_names[:2], data_dir=sample_tree(name), output_dir=root / name
        )
        for name in source_names()
    }


@pytest.mark.parametrize("name", source_names())
def test_the_card_is_valid_hub_metadata_made_from_the_shards(name: str, folders: dict[str, Path]) -> None:
    folder, source = folders[name], source_info(name)
    card = DatasetCard.load(folder / "README.md")
    data = card.data.to_dict()
    assert yaml.safe_load(card.data.to_yaml()) == data
    if source.license.spdx:
        assert data["license"] == source.license.name.lower()
    else:
        assert (data["license"], data["license_link"]) == ("other", source.homepage)
        assert re.fullmatch(r"[a-z0-9.-]+", data["license_name"])
    assert set(data["task_categories"]) <= known_task_ids.keys()
    assert data["size_categories"] == ["n<1K"]
    assert data["pretty_name"] == source.title
    configs = MetadataConfigs.from_dataset_card_data(card.data)
    infos = DatasetInfosDict.from_dataset_card_data(card.data)
    assert set(configs) == set(infos) == set(datasets.get_dataset_config_names(str(folder)))
    for config, info in infos.items():
        loaded = datasets.load_dataset(str(folder), config)  # compares the numbers of rows with the card's
        assert info.features == next(iter(loaded.values())).features
        assert {s: split.num_examples for s, split in (info.splits or {}).items()} == loaded.num_rows
        for split, there in (info.splits or {}).items():
            assert there.num_bytes == sum(p.stat().st_size for p in folder.glob(f"{config}/{split}-*.parquet"))
    if len(configs) == 1:
        assert datasets.load_dataset(str(folder)).num_rows == loaded.num_rows


@pytest.mark.parametrize("name", source_names())
def test_the_card_counts_what_is_in_the_rows(name: str, folders: dict[str, Path]) -> None:
    text = (folders[name] / "README.md").read_text()
    for config in datasets.get_dataset_config_names(str(folders[name])):
        section = text.partition(f"<!-- radikal: begin config {config} -->")[2].partition("<!-- radikal: end")[0]
        loaded = datasets.load_dataset(str(folders[name]), config)
        for split, rows in loaded.items():
            labels, annotated = rows["labels"], rows["annotated"]
            clean = sum(known and not held for known, held in zip(annotated, labels, strict=True))
            counts = (rows.num_rows, clean, annotated[:].count(False), sum(map(len, labels)))
            assert "| " + " | ".join([split, *(f"{count:,}" for count in counts)]) + " |" in section
        annotated_splits = [split for split in loaded if split != "unlabeled"]
        for number, class_name in enumerate(next(iter(loaded.values())).features["labels"].feature.names):
            cells = [class_name]
            for split in annotated_splits:
                held = [row.count(number) for row in loaded[split]["labels"]]
                cells.append(f"{sum(map(bool, held))} / {sum(held)}")
            assert f"| {' | '.join(cells)} |" in section


@pytest.mark.parametrize("name", source_names())
def test_pictures_only_where_the_license_lets_them_be_shown(name: str, folders: dict[str, Path]) -> None:
    source, text = source_info(name), (folders[name] / "README.md").read_text()
    shown = sorted(path.relative_to(folders[name]).as_posix() for path in folders[name].rglob("*.jpg"))
    assert shown == re.findall(r"!\[[^\]]+\]\((\S+)\)", text)
    assert len(shown) == (len(list(folders[name].glob("*/train-*.parquet"))) if source.license.redistributable else 0)
    assert ("must not be passed on" in text) == (not source.license.redistributable)
    assert source.license.summary in text
    assert source.citation in text


def test_no_configuration_is_named_like_the_preview_folder() -> None:
    names = [*itertools.chain.from_iterable(source_info(name).config_names for name in source_names())]
    assert "previews" not in names
