"""Control characters in names have no effect on a terminal, wherever a name is printed."""

from __future__ import annotations

import io
import json
import logging

import pytest
import tqdm
from rich.logging import RichHandler
from rich.table import Table
from rich.text import Text

from radikal_datasets import errors
from radikal_datasets.terminal import Console, progress
from radikal_datasets.text import visible

#: Sets the window's title, clears the screen, goes back over what was printed, and reorders what follows.
HOSTILE = ["a\x1b]0;owned\x07b", "a\x1b[2Jb", "a\rb", "a\x08b", "a\x9b31mb", "a\u202eb", "a\x7fb", "a\u2066b"]


def printed(*things: object) -> str:
    out = io.StringIO()
    console = Console(file=out, width=200, force_terminal=True, color_system="truecolor")
    for thing in things:
        console.print(thing, highlight=False, markup=False)
    return out.getvalue()


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_and_not_obeyed(name: str) -> None:
    shown = visible(name)
    assert shown.isprintable()
    assert shown.startswith("a\\")
    assert shown.endswith("b")


def test_line_breaks_stay_in_a_message_and_not_in_a_name() -> None:
    assert visible("a\nb\tc") == "a\\x0ab\\x09c"
    assert visible("a\nb\tc\x1b", lines=True) == "a\nb\tc\\x1b"


@pytest.mark.parametrize("name", HOSTILE)
def test_the_console_shows_it_as_text_in_tables_and_in_logs(name: str) -> None:
    table = Table("file")
    table.add_row(name)
    out = io.StringIO()
    logger = logging.Logger("test")
    logger.addHandler(RichHandler(console=Console(file=out, width=200)))
    logger.warning("%s", name)
    for text in (printed(name), printed(Text(name)), printed(table), out.getvalue()):
        assert name not in text
        assert "\x07" not in text
        assert "\x1b]" not in text
        assert "\x1b[2J" not in text
        assert not {"\r", "\x08", "\x9b", "\u202e", "\x7f", "\u2066"} & set(text)


def test_the_console_still_colors() -> None:
    assert "\x1b[31m" in printed(Text("red", style="red"))


@pytest.mark.parametrize("name", [*HOSTILE, "a\nb"])
@pytest.mark.parametrize(
    "error",
    [
        lambda name: errors.UnreadableImageError(name, "truncated", "Copy it again."),
        lambda name: errors.MalformedAnnotationError("x.xml", f"names {name}", "Correct it.", 3),
    ],
)
def test_an_error_names_the_file_on_one_line(name: str, error) -> None:
    assert str(error(name)).isprintable()
    assert name not in str(error(name))
    assert json.dumps(str(error(name)))


@pytest.mark.parametrize("name", HOSTILE)
def test_every_error_of_ours_is_safe_to_print(name: str) -> None:
    for kind in (errors.LayoutError, errors.SourceNotFoundError, errors.DownloadError, errors.SettingsError):
        assert name not in str(kind(f"{name}: not here\nThe layout is ..."))
        assert "\n" in str(kind(f"{name}: not here\nThe layout is ..."))


def test_a_quick_step_shows_no_bar_and_a_long_one_does(capsys: pytest.CaptureFixture[str], monkeypatch) -> None:
    assert list(progress(range(5), "counting", unit="file")) == list(range(5))
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("radikal_datasets.terminal._PATIENCE", 0)
    monkeypatch.setattr("datasets.utils.tqdm", tqdm.tqdm)  # the tests switch the bars of `datasets` off
    list(progress(range(5), "counting", unit="file"))
    assert "counting" in capsys.readouterr().err
