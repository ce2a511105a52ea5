"""A few runs through the real command line, each in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from radikal_datasets.sources import source_names


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "radikal_datasets.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=180)


def test_list_names_every_source() -> None:
    done = run("list")
    assert done.returncode == 0, done.stderr
    assert all(name in done.stdout for name in source_names())


def test_info_names_the_download_page_and_the_license() -> None:
    done = run("info", "gdxray")
    assert done.returncode == 0, done.stderr
    assert "License:" in done.stdout
    assert "castings" in done.stdout


@pytest.mark.parametrize("source", source_names())
def test_verify_a_good_sample_exits_0_and_a_broken_one_1(source: str, sample_tree: Callable[..., Path]) -> None:
    for broken, code in ((False, 0), (True, 1)):
        tree = sample_tree(source, broken=broken)
        done = run("verify", source, "--data-dir", tree, "--json")
        assert done.returncode == code, (done.stdout[-2000:], done.stderr)
        result = json.loads(done.stdout)
        planted: Counter[str] = Counter()
        for trap in json.loads(tree.with_name(f"{tree.name}.traps.json").read_text())["traps"]:
            planted[trap["kind"]] += trap["count"]
        # `all` reads the same files as its parts: count each file's problem once.
        distinct = {tuple(sorted(p.items(), key=str)) for c in result["configs"].values() for p in c["problems"]}
        counted: Counter[str] = Counter()
        for problem in map(dict, distinct):
            counted[problem["kind"]] += problem["count"]
        assert counted == planted


def test_verify_prints_tables_and_a_verdict(sample_tree: Callable[..., Path]) -> None:
    done = run("verify", "deeppcb", "--deep", "--data-dir", sample_tree("deeppcb"))
    assert done.returncode == 0, done.stderr
    assert "of 1,500 images" in done.stdout
    assert "Nothing in this tree would be lost." in done.stdout
    assert "images that hold it" in done.stdout


def test_a_tree_that_cannot_be_read_exits_2_without_a_traceback(tmp_path: Path) -> None:
    for arguments in (
        ("verify", "neu_det", "--data-dir", tmp_path / "nothing"),
        ("verify", "neu_det", "--data-dir", tmp_path),
        ("verify", "no_such_source", "--data-dir", tmp_path),
        ("prepare", "neu_det", "--data-dir", tmp_path, "--output-dir", tmp_path / "out"),
        ("download", "neu_det", "--output-dir", tmp_path / "out"),
    ):
        done = run(*arguments)
        assert done.returncode == 2, done
        assert "Traceback" not in done.stderr
        assert done.stderr.startswith("radikal-datasets: ")


def test_sample_then_prepare(tmp_path: Path) -> None:
    assert run("sample", "deeppcb", tmp_path / "raw", "--images", 12, "--seed", 3).returncode == 0
    assert (tmp_path / "raw.traps.json").is_file()
    again = run("sample", "deeppcb", tmp_path / "raw")
    assert again.returncode == 2
    assert "already exists and is not empty" in again.stderr
    done = run("prepare", "deeppcb", "--data-dir", tmp_path / "raw", "--output-dir", tmp_path / "hub")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hub" / "README.md").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hub", "raw", "raw.traps.json"]


def test_strict_prepare_names_the_file_and_leaves_nothing(sample_tree: Callable[..., Path], tmp_path: Path) -> None:
    tree = sample_tree("neu_det", broken=True)
    done = run("prepare", "neu_det", "--data-dir", tree, "--output-dir", tmp_path / "hub", "--strict")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "hub").exists()
