"""A source of another package, `tests/plug_in`, works in every command; broken ones say what is wrong with them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import pytest
from typer.testing import CliRunner

import radikal_datasets
from radikal_datasets.cli import app
from radikal_datasets.errors import HubFolderError, PlugInError, UnknownSourceError
from radikal_datasets.export import FORMATS
from radikal_datasets.prepared.manifest import MANIFEST_FILENAME, Manifest
from radikal_datasets.samples import make_sample
from radikal_datasets.sources import builder_class, is_source, list_sources, source_info, source_names
from tests.hub.embedded import running_hub
from tests.training.conftest import TINY

PLUG_IN = Path(__file__).parent / "plug_in"
IMAGES = 24
SPLITS = {"train": 14, "validation": 3, "test": 5, "unlabeled": 2}


@pytest.fixture(autouse=True)
def installed(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if `pip install acme-sources` had been run, for this process and those that it starts."""
    if "without_plug_in" not in request.fixturenames:
        monkeypatch.syspath_prepend(str(PLUG_IN))
        monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(PLUG_IN), os.environ.get("PYTHONPATH", "")]))


@pytest.fixture
def without_plug_in() -> None:
    """For a test on a machine where the package is not installed."""


@pytest.fixture(scope="module")
def gears(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample tree of the plug-in's source."""
    folder = tmp_path_factory.mktemp("gears") / "gears"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUG_IN))
        make_sample("gears", folder, images=IMAGES)
    return folder


@pytest.fixture(scope="module")
def prepared(gears: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, prepared."""
    folder = tmp_path_factory.mktemp("prepared") / "hub"
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(PLUG_IN))
        run("prepare", "gears", "--data-dir", gears, "--output-dir", folder)
    return folder


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(argument) for argument in arguments], env={"COLUMNS": "200"})
    assert done.exit_code == code, (done.output, done.exception)
    return done.output


def rows_of(splits: datasets.DatasetDict) -> dict[str, int]:
    return {str(name): split.num_rows for name, split in splits.items()}


# ---- every command ----


def test_it_is_listed_beside_ours() -> None:
    assert "gears" in source_names() and is_source("radikal_datasets/gears")
    assert "gears" in run("list") and "gears" in run("list", "--compare")
    said = run("info", "gears")
    assert "Acme Gears: chips and cracks" in said and "From:      acme-sources 1.0" in said


def test_the_sample_has_the_faults_that_verify_counts(tmp_path: Path) -> None:
    run("sample", "gears", tmp_path / "broken", "--images", "12", "--broken")
    said = run("verify", "gears", "--data-dir", tmp_path / "broken", code=1)
    assert "5 images would be lost" in said and "verdicts.csv, line" in said


COMMANDS = {
    "verify": [],
    "prepare": ["--output-dir", "{out}"],
    "stats": [],
    "preview": ["--output", "{out}.html"],
    **{f"export {name}": ["--format", name, "--output", "{out}"] for name in FORMATS},
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_on_the_raw_tree(command: str, gears: Path, tmp_path: Path) -> None:
    options = [option.format(out=tmp_path / "out") for option in COMMANDS[command]]
    run(command.partition(" ")[0], "gears", "--data-dir", gears, *options)


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "prepare"])
def test_commands_on_the_prepared_folder(command: str, prepared: Path, tmp_path: Path) -> None:
    options = [option.format(out=tmp_path / "out") for option in COMMANDS[command]]
    run(command.partition(" ")[0], prepared, *(["--deep"] if command == "verify" else options))


def test_exports_keep_the_license(gears: Path, prepared: Path, tmp_path: Path) -> None:
    run("export", "gears", "--data-dir", gears, "--format", "coco", "--output", tmp_path / "a")
    run("export", prepared, "--format", "coco", "--output", tmp_path / "b")
    for name in "ab":
        assert "Acme terms" in (tmp_path / name / "LICENSE.txt").read_text(encoding="utf-8")


def test_both_load_functions_and_two_processes_give_the_same_rows(gears: Path, tmp_path: Path) -> None:
    ours = radikal_datasets.load_dataset("radikal_datasets/gears", data_dir=gears, cache_dir=tmp_path / "a")
    theirs = datasets.load_dataset("radikal_datasets/gears", data_dir=str(gears), cache_dir=str(tmp_path / "b"))
    both = datasets.load_dataset(
        "radikal_datasets/gears", data_dir=str(gears), cache_dir=str(tmp_path / "c"), num_proc=2
    )
    assert rows_of(ours) == SPLITS
    for name in ours:
        assert ours[name].to_list() == theirs[name].to_list() == both[name].to_list()
    streamed = datasets.load_dataset("radikal_datasets/gears", data_dir=str(gears), streaming=True)
    assert {name: sum(1 for _ in split) for name, split in streamed.items()} == SPLITS


def test_it_combines_with_one_of_ours(gears: Path, sample_tree: Callable[..., Path]) -> None:
    items = {
        "gears": {"path": "radikal_datasets/gears", "data_dir": str(gears)},
        "steel": {"path": "radikal_datasets/neu_det", "data_dir": str(sample_tree("neu_det"))},
    }
    combined = radikal_datasets.combine(items, labels="source")
    assert any(image_id.startswith("gears/") for image_id in combined["train"]["image_id"])


@pytest.mark.slow
def test_it_is_trained_on(gears: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.yaml"
    recipe.write_text(f"output_dir: {tmp_path / 'run'}\n{TINY}", encoding="utf-8")
    options = ["--data_dir", str(gears), "--max_train_steps", "2"]
    train = ("-m", "radikal_datasets.cli", "train")
    environment = os.environ | {"ACCELERATE_USE_CPU": "true"}
    done = command(environment, *train, recipe, "--dataset_name", "radikal_datasets/gears", *options)
    assert done.returncode == 0, done.stderr
    classes = json.loads((tmp_path / "run" / "best" / "config.json").read_text(encoding="utf-8"))["id2label"]
    assert sorted(classes.values()) == ["chip", "crack"]


def test_its_name_stands_for_a_recipe() -> None:
    from training.run.settings import parse, with_config

    settings = parse(with_config(["gears", "--seed", "1"]))
    assert (settings.dataset_name, settings.dataset_config_name) == ("radikal_datasets/gears", None)
    assert (settings.output_dir, settings.seed) == ("outputs/gears", 1)
    assert with_config(["neu_det", "--seed", "1"]) == ["neu_det", "--seed", "1"]


# ---- a prepared folder, where the package is installed and where it is not ----


@pytest.fixture(scope="module")
def hub_environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """The environment of a user of a running Hub, with our code and without the plug-in."""
    with running_hub(tmp_path_factory.mktemp("embedded") / "hub") as hub:
        hub.add_user("ann", ["plant"])
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "RADIKAL"))}
        yield kept | {
            "HF_ENDPOINT": hub.url,
            "HF_TOKEN": hub.token("ann"),
            "HF_HOME": str(tmp_path_factory.mktemp("home")),
            "PYTHONPATH": str(PLUG_IN.parents[1]),
            "COLUMNS": "200",
        }


def command(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)], env=environment, capture_output=True, text=True, check=False
    )


PUSH = ("-m", "radikal_datasets.cli", "push")


def test_it_is_pushed_from_the_raw_tree(gears: Path, hub_environment: dict[str, str]) -> None:
    with_it = hub_environment | {"PYTHONPATH": os.pathsep.join([str(PLUG_IN), hub_environment["PYTHONPATH"]])}
    done = command(with_it, *PUSH, "gears", "--data-dir", gears, "--repo-id", "plant/raw")
    assert done.returncode == 0 and "(private)" in done.stdout, done.stderr


def test_a_prepared_folder_is_pushed_where_the_package_is_missing(
    prepared: Path, hub_environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "copy"
    shutil.copytree(prepared, folder)
    unknown = command(hub_environment, "-m", "radikal_datasets.cli", "info", "gears")
    assert unknown.returncode == 2 and "There is no source named 'gears'" in unknown.stderr
    for _ in range(2):  # the second merges the card on the Hub with the folder's
        done = command(hub_environment, *PUSH, folder, "--repo-id", "plant/gears")
        assert done.returncode == 0 and "(private)" in done.stdout, done.stderr
    public = command(hub_environment, *PUSH, folder, "--repo-id", "plant/open_gears", "--public")
    assert public.returncode == 2 and "gears must not be made public: Acme terms." in public.stderr
    code = "import radikal_datasets, huggingface_hub\nsplits = radikal_datasets.load_dataset('plant/gears')"
    code += "\nprint({str(name): split.num_rows for name, split in splits.items()})"
    code += "\nprint(huggingface_hub.DatasetCard.load('plant/gears').text)"
    loaded = command(hub_environment, "-c", code)
    assert loaded.stdout.startswith(str(SPLITS)), loaded.stderr
    assert "Acme terms" in loaded.stdout and "@misc{acme2024gears" in loaded.stdout
    for options in (
        ("stats", folder),
        ("verify", folder, "--deep"),
        ("preview", folder, "--output", tmp_path / "x.png"),
    ):
        done = command(hub_environment, "-m", "radikal_datasets.cli", *options)
        assert done.returncode == 0, done.stderr


def test_the_manifest_records_the_facts_of_a_source_that_is_not_ours(
    prepared: Path, without_plug_in: None, tmp_path: Path
) -> None:
    facts = Manifest.load(prepared).facts
    assert facts.license.name == "Acme terms" and not facts.license.redistributable
    assert facts.config("default").classes == ("chip", "crack")
    data = json.loads((prepared / MANIFEST_FILENAME).read_text(encoding="utf-8"))
    for wrong in ({}, data["source_facts"] | {"license": "MIT"}, data["source_facts"] | {"notes": [1]}):
        manifest = Manifest.parse(json.dumps(data | {"source_facts": wrong}))
        with pytest.raises(HubFolderError, match="un prepare again"):
            _ = manifest.facts
    # The license of one of ours is ours to state.
    forged = Manifest.parse(json.dumps(data | {"source": "neu_det"}))
    assert forged.facts == source_info("neu_det")


def test_ours_record_no_facts(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    run("prepare", "neu_det", "--data-dir", sample_tree("neu_det"), "--output-dir", tmp_path / "hub")
    assert "source_facts" not in json.loads((tmp_path / "hub" / MANIFEST_FILENAME).read_text(encoding="utf-8"))


# ---- the cache follows the code ----

EDITS = {
    "gears.py": ('f"gears/{stem}"', 'f"gears/edited-{stem}"'),
    "verdicts.py": ('row["verdict"]', '"good"'),  # a module that the source imports
}


@pytest.mark.parametrize("module", EDITS)
def test_an_edited_source_is_read_again(module: str, gears: Path, tmp_path: Path) -> None:
    """In a new process each time, as between two runs of a notebook or after an upgrade of the package."""
    shutil.copytree(PLUG_IN, tmp_path / "plug_in")
    roots = [tmp_path / "plug_in", PLUG_IN.parents[1]]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, roots)), "HF_HOME": str(tmp_path / "home")}
    code = "import sys\nfrom radikal_datasets import load_dataset"
    code += "\nd = load_dataset('radikal_datasets/gears', data_dir=sys.argv[1])"
    code += "\nprint([(r['image_id'], len(r['boxes'])) for s in d.values() for r in s.remove_columns('image')])"
    before, again = (command(environment, "-c", code, gears) for _ in range(2))
    assert before.returncode == 0, before.stderr
    assert before.stdout == again.stdout
    path = tmp_path / "plug_in" / "acme_sources" / module
    text = path.read_text(encoding="utf-8")
    assert EDITS[module][0] in text
    path.write_text(text.replace(*EDITS[module]), encoding="utf-8")
    after = command(environment, "-c", code, gears)
    assert after.returncode == 0 and after.stdout != before.stdout


def test_an_edited_source_of_ours_has_another_fingerprint(tmp_path: Path) -> None:
    shutil.copytree(PLUG_IN.parents[1] / "radikal_datasets", tmp_path / "radikal_datasets")
    code = (
        "from radikal_datasets.sources import builder_class as b; print(b('neu_det').CODE_HASH, b('deeppcb').CODE_HASH)"
    )
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}

    def hashes() -> list[str]:
        done = command(environment, "-P", "-c", code)
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    def edit(name: str) -> None:
        with (tmp_path / "radikal_datasets" / name).open("a", encoding="utf-8") as file:
            file.write("# edited\n")

    before = hashes()
    assert before == hashes()
    edit("sources/neu_det.py")
    one = hashes()
    assert one[0] != before[0] and one[1] == before[1]
    edit("annotations/voc.py")
    assert not set(hashes()) & {*one, *before}


# ---- what a broken plug-in gets ----


def offer(folder: Path, name: str, target: str, code: str = "", group: str = "radikal_datasets.sources") -> None:
    """Write a package `other-NAME 2.0` that offers one entry point."""
    info = folder / f"other_{name}-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: other-{name}\nVersion: 2.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[{group}]\n{target}\n", encoding="utf-8")
    (folder / f"other_{name}.py").write_text(code, encoding="utf-8")


BUILDER = """
from acme_sources.gears import SOURCE, InspectionBuilder
import dataclasses
class Other(InspectionBuilder):
    SOURCE = dataclasses.replace(SOURCE, name="other")
class Second(InspectionBuilder):
    SOURCE = dataclasses.replace(SOURCE, name="second")
"""


@pytest.mark.parametrize(
    ("target", "code", "said"),
    [
        ("other = other_a:Other", "import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("other = other_a:Other", "class Other(", "SyntaxError"),
        ("other = other_a:Missing", BUILDER, "Missing"),
        ("other = other_a", "", "it is not a subclass of radikal_datasets.building.builder.InspectionBuilder"),
        ("other = other_a:Bare", BUILDER + "class Bare(InspectionBuilder): pass", "SOURCE is not a"),
        ("other2 = other_a:Other", BUILDER, "its SOURCE is named 'other'"),
        ("second = other_a:Second", BUILDER, "defines the builder Other before it"),
        ("Other-1 = other_a:Other", BUILDER, "lowercase letters, digits and underscores"),
        ("neu_det = other_a:Other", BUILDER, "radikal-datasets has a source of this name itself"),
        ("folder = other_a:Other", BUILDER, "radikal-datasets has a source of this name itself"),
    ],
)
def test_a_broken_plug_in_says_so_and_breaks_nothing_else(
    target: str, code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    offer(tmp_path, "a", target, code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "other_a", raising=False)
    name = target.partition(" ")[0]
    with pytest.raises(PlugInError) as error:
        builder_class(name)
    assert "other-a 2.0 offers" in str(error.value) and said in str(error.value)
    left = {source.name for source in list_sources()}
    assert {"deeppcb", "gears"} <= left and name not in left
    assert name == "folder" or said in caplog.text
    done = CliRunner().invoke(app, ["info", name])
    assert isinstance(done.exception, PlugInError)


def test_two_packages_with_the_same_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "b", "gears = other_b:Other", BUILDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(PlugInError, match=r"Both acme-sources 1\.0 and other-b 2\.0 offer a source named 'gears'"):
        builder_class("gears")


def test_a_source_without_a_sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "c", "other = other_c:Other", BUILDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "other_c", raising=False)
    with pytest.raises(PlugInError, match=r"other-c 2\.0 draws no sample of other"):
        make_sample("other", tmp_path / "out")
    with pytest.raises(UnknownSourceError, match="your own images, of which no sample is drawn"):
        make_sample("folder", tmp_path / "out")


def test_a_sample_that_is_no_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "d", "other = other_d:Other\n[radikal_datasets.samples]\nother = other_d", BUILDER)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "other_d", raising=False)
    with pytest.raises(PlugInError, match=r"not a function write\(root, images, rng, broken\)"):
        make_sample("other", tmp_path / "out")


def test_an_unknown_name_stays_unknown(without_plug_in: None) -> None:
    with pytest.raises(UnknownSourceError, match="There is no source named 'gears'"):
        builder_class("gears")
