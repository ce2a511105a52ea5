"""Every file of a public source's tree is read, known, or reported; on the generated samples."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from radikal_datasets import load_dataset
from radikal_datasets.sources import builder_class, source_names
from radikal_datasets.verification import verify

CONFIG = {"gdxray": "castings", "mvtec_ad": "bottle", "dagm2007": "class8", "visa": "candle"}


@pytest.fixture
def tree(sample_tree: Callable[..., Path], tmp_path: Path) -> Callable[[str], Path]:
    def copy(source: str) -> Path:
        return Path(shutil.copytree(sample_tree(source), tmp_path / "tree" / source))

    return copy


def found(source: str, root: Path, **options):
    return verify(source, CONFIG.get(source), data_dir=root, **options)


def ids(source: str, root: Path, tmp_path: Path, **options) -> dict[str, tuple[str, list]]:
    builder = builder_class(source)(config_name=CONFIG.get(source), data_dir=root, cache_dir=tmp_path, **options)
    return {e.image_id: (s, e.instances) for s, rows in builder.index().splits.items() for e in rows}


def boxes(rows: dict[str, tuple[str, list]]) -> dict[str, tuple[str, list]]:
    return {name: (split, [one.box for one in instances]) for name, (split, instances) in rows.items()}


@pytest.mark.parametrize("source", source_names())
def test_a_clean_tree_is_accounted_for(source: str, tree) -> None:
    result = found(source, tree(source))
    assert result.exit_code == 0
    assert sum(result.account.layouts.values()) == result.found(result.source.config(CONFIG.get(source)).name)[0]
    assert sum(result.account.annotation_files.values()) > 0
    assert not [one for one in result.account.unexplained if one.suspicious]
    assert result.to_dict()["taken_for"]["layout"] == dict(result.account.layouts)


SUSPICIOUS = ["boxes.JSON", "more/labels.csv", "annotations.xml.zip", "extra/truth.MAT", "holdout/x.webp", "old.TXT.gz"]


@pytest.mark.parametrize("source", source_names())
@pytest.mark.parametrize("name", SUSPICIOUS)
def test_a_file_that_may_hold_data_is_reported(source: str, name: str, tree) -> None:
    root = tree(source)
    (root / name).parent.mkdir(exist_ok=True, parents=True)
    (root / name).write_text("x")
    result = found(source, root)
    assert result.exit_code == 1
    assert name in str(result.to_dict())


@pytest.mark.parametrize("source", source_names())
@pytest.mark.parametrize("name", ["README.TXT", "LICENSE.txt", "notes.md", "convert.py", "@eaDir/a.jpg", "md5sums.txt"])
def test_litter_is_listed_and_costs_nothing(source: str, name: str, tree) -> None:
    root = tree(source)
    (root / name).parent.mkdir(exist_ok=True)
    (root / name).write_text("x")
    result = found(source, root)
    assert result.exit_code == 0
    assert result.account.not_read or result.account.unexplained


@pytest.mark.parametrize(
    ("source", "folder"),
    [
        ("mvtec_ad", "bottle/valid"),
        ("dagm2007", "Class8/Val"),
        ("severstal", "val_images"),
        ("mvtec_ad", "bottle/holdout"),
    ],
)
def test_a_folder_beside_a_split_is_reported(source: str, folder: str, tree) -> None:
    root = tree(source)
    (root / folder).mkdir(parents=True)
    (root / folder / "data.bin").write_text("x")
    assert found(source, root).exit_code == 1


@pytest.mark.parametrize("other", ["valid", "Val", "test", "validation"])
def test_neu_det_with_other_split_folders_has_the_same_rows(other: str, tree, tmp_path: Path) -> None:
    root = tree("neu_det")
    before = ids("neu_det", root, tmp_path)
    for image in sorted((root / "IMAGES").glob("*.jpg")):
        kind, _, number = image.stem.rpartition("_")
        split = other if number == "1" else "Train"
        for path, folder in ((image, f"Images/{kind}"), (root / f"ANNOTATIONS/{image.stem}.xml", "annotations")):
            (root / "new" / split / folder).mkdir(parents=True, exist_ok=True)
            path.rename(root / "new" / split / folder / path.name)
    result = found("neu_det", root / "new")
    assert result.exit_code == 0
    assert set(result.account.split_folders) == {other, "Train"}
    assert ids("neu_det", root / "new", tmp_path) == before


@pytest.mark.parametrize("source", source_names())
def test_letter_case_of_folders_changes_nothing(source: str, tree, tmp_path: Path) -> None:
    root = tree(source)
    before = ids(source, root, tmp_path)
    for folder in sorted((p for p in root.rglob("*") if p.is_dir()), key=lambda p: -len(p.parts)):
        folder.rename(folder.with_name(folder.name.swapcase()))
    assert boxes(ids(source, root, tmp_path)) == boxes(before)


@pytest.mark.parametrize(
    ("source", "folder"), [("gdxray", "Castings"), ("mvtec_ad", "bottle"), ("dagm2007", "Class8"), ("visa", "candle")]
)
def test_a_part_alone_and_parts_apart(source: str, folder: str, tree, tmp_path: Path) -> None:
    root = tree(source)
    before = ids(source, root, tmp_path)
    assert ids(source, root / folder, tmp_path) == before
    apart = tmp_path / "apart"
    for part in [path for path in root.iterdir() if path.is_dir()]:
        shutil.copytree(part, apart / part.name / part.name)
    assert ids(source, apart, tmp_path) == before
    assert len(load_dataset(f"radikal_datasets/{source}", CONFIG[source], data_dir=apart, cache_dir=tmp_path)) >= 3


def test_train_csv_zip_is_read(tree, tmp_path: Path) -> None:
    root = tree("severstal")
    before = {i: (s, len(b)) for i, (s, b) in ids("severstal", root, tmp_path).items()}
    with zipfile.ZipFile(root / "train.csv.zip", "w") as archive:
        archive.write(root / "train.csv", "train.csv")
    assert found("severstal", root).exit_code == 0  # a copy of what was read
    (root / "train.csv").unlink()
    assert {i: (s, len(b)) for i, (s, b) in ids("severstal", root, tmp_path).items()} == before
    (root / "train.csv.zip").write_bytes(b"PK broken")
    assert found("severstal", root).exit_code == 1
    (root / "train.csv.zip").unlink()
    assert found("severstal", root).exit_code == 1


def test_official_leaves_out_what_no_list_names(tree, tmp_path: Path) -> None:
    root = tree("deeppcb")
    lines = (root / "test.txt").read_text().splitlines()
    (root / "test.txt").write_text("\n".join(lines[1:]))
    lost = f"deeppcb/{lines[0].split('.')[0]}"
    rows = ids("deeppcb", root, tmp_path, protocol="official")
    assert lost not in rows
    result = found("deeppcb", root, protocol="official")
    assert result.exit_code == 1
    assert result.reports["default"].counts()["unlisted_image"] == 1


@pytest.mark.parametrize("source", ["neu_det", "deeppcb", "severstal"])
@pytest.mark.parametrize("spoil", ["cut", "zero", "info", "remove"])
def test_a_damaged_cache_is_built_again(source: str, spoil: str, tree, tmp_path: Path) -> None:
    options = {"data_dir": tree(source), "cache_dir": tmp_path / "cache"}
    before = load_dataset(f"radikal_datasets/{source}", **options)["train"]["image_id"][:]
    file = next((tmp_path / "cache").rglob("*train.arrow"))
    if spoil == "info":
        file.with_name("dataset_info.json").write_text("{")
    elif spoil == "remove":
        file.unlink()
    else:
        data = file.read_bytes()
        file.unlink()
        file.write_bytes(data[: len(data) // 2] if spoil == "cut" else bytes(len(data)))
    assert load_dataset(f"radikal_datasets/{source}", **options)["train"]["image_id"][:] == before


@pytest.mark.parametrize(("folder", "exit_code"), [("steel", 1), ("steel2", 0)])
def test_what_lies_beside_a_root_named_after_a_split(folder: str, exit_code: int, tree, tmp_path: Path) -> None:
    """The other splits may lie beside it, but not in a folder whose name only begins like its parent's."""
    root = tmp_path / "given" / "steel" / "train"
    shutil.copytree(tree("neu_det"), root)
    other = tmp_path / "given" / folder / "validation.csv"
    other.parent.mkdir(exist_ok=True)
    other.write_text("x")
    assert found("neu_det", tmp_path / "given").exit_code == exit_code
