"""`new-source` writes a source whose test passes as it is, in a checkout and as a package of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from radikal_datasets.cli import app
from radikal_datasets.errors import OutputError
from radikal_datasets.new_source.writing import write_source

ROOT = Path(__file__).parents[2]
LIKE = ("masks", "voc", "table")


def run(*arguments: str, cwd: Path, path: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(path), str(ROOT)]), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, text=True, capture_output=True, check=False, timeout=300
    )


def assert_in_style(*paths: Path) -> None:
    # What is first party and which files are tests depends on the folder of the project.
    for check in (("check", "--ignore", "D103,I001"), ("format", "--check")):
        config = ("--config", str(ROOT / "pyproject.toml"))
        done = run("-m", "ruff", *check, "--no-cache", *config, *map(str, paths), cwd=ROOT, path=ROOT)
        assert done.returncode == 0, done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("like", LIKE)
def test_the_written_test_of_a_package_passes(like: str, tmp_path: Path) -> None:
    folder = tmp_path / "package"
    done = CliRunner().invoke(app, ["new-source", "acme_valves", "--like", like, "--output-dir", str(folder)])
    assert done.exit_code == 0, done.output
    tests = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=folder, path=folder)
    assert tests.returncode == 0 and "3 passed" in tests.stdout, tests.stdout
    assert_in_style(folder)


def test_a_package_works_in_the_commands_once_it_is_installed(tmp_path: Path) -> None:
    folder = tmp_path / "package"
    write_source("acme_valves", "masks", output_dir=folder)
    # What pip would write beside the package, from its pyproject.toml.
    points = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    info = folder / "acme_valves_source-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-valves-source\nVersion: 0.1\n", encoding="utf-8")
    lines = [f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in one.items()) for group, one in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
    program = ("-m", "radikal_datasets.cli")
    done = run(*program, "sample", "acme_valves", "tree", cwd=tmp_path, path=folder)
    assert done.returncode == 0, done.stderr
    done = run(*program, "verify", "acme_valves", "--data-dir", "tree", cwd=tmp_path, path=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    done = run(*program, "verify", "acme_valves", "--data-dir", "nothing", cwd=tmp_path, path=folder)
    assert done.returncode == 2


@pytest.mark.slow
def test_the_written_test_in_a_checkout_passes(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "radikal_datasets", root / "radikal_datasets", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("tests/sources", "docs/sources"):
        (root / name).mkdir(parents=True)
    written = write_source("acme_valves", "voc", root=root)
    assert [path.relative_to(root).as_posix() for path in written] == [
        "radikal_datasets/sources/acme_valves.py",
        "radikal_datasets/samples/acme_valves.py",
        "tests/sources/test_acme_valves.py",
        "docs/sources/acme_valves.md",
    ]
    tests = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "tests", cwd=root, path=root)
    assert tests.returncode == 0 and "3 passed" in tests.stdout, tests.stdout
    assert_in_style(*(path for path in written if path.suffix == ".py"))


@pytest.mark.parametrize("name", ["Valves", "9valves", "class", "val ves", "../valves", "", "neu_det", "folder"])
def test_names_that_cannot_be_used(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"cannot name a source|There is a source named"):
        write_source(name, "voc", output_dir=tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match="not empty"):
        write_source("acme_valves", "voc", output_dir=tmp_path)
    page = tmp_path / "docs" / "sources" / "acme_valves.md"
    page.parent.mkdir(parents=True)
    page.write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"acme_valves\.md already exists"):
        write_source("acme_valves", "voc", root=tmp_path)
    assert page.read_text(encoding="utf-8") == "mine" and not (tmp_path / "radikal_datasets").exists()
    with pytest.raises(OutputError, match="Pass --output-dir"):
        write_source("acme_valves", "voc")
