"""Atomic writes, and outputs that lie among the inputs."""

from __future__ import annotations

from pathlib import Path

import pytest

from radikal_datasets.errors import OutputError
from radikal_datasets.files import atomic_file, refuse_inside, write_atomically


def test_a_file_is_replaced_and_nothing_else_stays(tmp_path: Path) -> None:
    file = tmp_path / "new" / "folder" / "a.json"
    write_atomically(file, "größer\n")
    assert file.read_bytes() == "größer\n".encode()
    write_atomically(file, b"\0")
    assert file.read_bytes() == b"\0"
    assert list(file.parent.iterdir()) == [file]


def test_an_error_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("old")
    with pytest.raises(KeyboardInterrupt), atomic_file(file) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_concurrent_writers_of_one_file_do_not_interfere(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    with atomic_file(file) as first, atomic_file(file) as second:
        assert first.name.startswith(".a.json.") and first.suffix == second.suffix == ".part"
        first.write_text("first")
        second.write_text("second")
    assert file.read_text() == "first"  # the outer block ends last
    assert list(tmp_path.iterdir()) == [file]


def test_an_output_among_the_inputs_is_refused(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    (tmp_path / "link").symlink_to(raw, target_is_directory=True)
    (tmp_path / "raw.zip").write_bytes(b"")
    for output in (raw, raw / "out", raw / "a" / "b.html", tmp_path / "link" / "out"):
        with pytest.raises(OutputError, match=r"is inside the raw tree .*raw\. Choose a path outside it"):
            refuse_inside(output, [None, raw], what="the raw tree")
    for output in (tmp_path, tmp_path / "raw.html", tmp_path / "raw2" / "out"):
        refuse_inside(output, [None, raw, str(tmp_path / "raw.zip"), tmp_path / "missing"], what="the raw tree")
