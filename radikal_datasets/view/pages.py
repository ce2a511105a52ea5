"""Self-contained HTML pages in a common style, without other files or network access."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from PIL import Image

from ..files import write_atomically


@cache
def _environment() -> Any:
    # Imported here: a command that writes no page need not wait for it.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("radikal_datasets.view"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )


def render(template: str, **context: Any) -> str:
    """Fill in a template of `templates/`; all text is escaped unless the template marks it safe."""
    return _environment().get_template(template).render(**context)


def write_page(file: Path, title: str, body: str, *, style: str = "", script: str = "", width: int = 1180) -> None:
    """Write one page; an older one stays until this one is complete.

    Args:
        title: plain text, also the page's heading.
        body: HTML that follows the heading; the caller must have escaped text.
        style, script: additional CSS, and JavaScript that runs once the page is loaded. They must not load anything.
        width: maximum width of the text, in pixels.
    """
    text = render("base.html", title=title, body=body, style=style, script=script, width=width)
    write_atomically(file, text)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table that scrolls sideways on a narrow screen; columns of numbers are right-aligned."""
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    shown = [[_shown(value) for value in row] for row in rows]
    return render("table.html", header=header, rows=shown, numeric=numeric)


def facts(numbers: dict[str, str]) -> str:
    """Return name and value pairs, with large values."""
    return render("facts.html", numbers=numbers)


def embedded(image: Image.Image | bytes, edge: int = 560, quality: int = 82) -> str:
    """Return a `data:` address of a reduced image: JPEG with its longer edge at most `edge` pixels."""
    if isinstance(image, bytes):
        with Image.open(io.BytesIO(image)) as opened:
            small = opened.convert("RGB")
    else:
        small = image.convert("RGB")
    small.thumbnail((edge, edge))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else str(value)
