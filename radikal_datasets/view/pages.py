"""Self-contained HTML pages in a common style, without other files or network access.

A page is a template that extends `page.html` and fills in its blocks. Templates are in the folder `templates` of the
package that writes the page; those of this package are available to all. Every value is escaped, except what `render`
returned: no module assembles HTML itself.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from ..files import write_atomically
from ..gray_scale import GrayScale
from ..raw.orientation import upright
from .drawing import to_rgb

if TYPE_CHECKING:
    from markupsafe import Markup

_OWN = "radikal_datasets.view"
#: Longer edge in pixels and JPEG quality, from the best to the smallest; see `within`.
_STEPS = ((1280, 88), (1024, 85), (800, 82), (640, 80), (480, 75), (320, 70), (240, 60))


@cache
def _environment(package: str) -> Any:
    # Imported here: a command that writes no page need not wait for it.
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined

    loader = ChoiceLoader([PackageLoader(name) for name in dict.fromkeys((package, _OWN))])
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.globals["facts"] = facts
    environment.filters["thousands"] = "{:,}".format
    return environment


def render(template: str, package: str = _OWN, **context: Any) -> Markup:
    """Fill in a template and return HTML; all text in `context` is escaped, HTML that this function returned is not.

    Args:
        package: its `templates` folder is searched first, then that of this package.
    """
    from markupsafe import Markup

    return Markup(_environment(package).get_template(template).render(**context).rstrip("\n"))


def write_page(file: Path, template: str, package: str = _OWN, *, title: str, **context: Any) -> None:
    """Write one page; an older one stays until this one is complete.

    Args:
        template, package, context: as for `render`. The template extends `page.html`.
        title: plain text, also the page's heading.
    """
    write_atomically(file, render(template, package, title=title, **context) + "\n")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> Markup:
    """Return a table that scrolls sideways on a narrow screen; columns of numbers are right-aligned."""
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]
    shown = [[_shown(value) for value in row] for row in rows]
    return render("table.html", header=header, rows=shown, numeric=numeric)


def facts(numbers: dict[str, str]) -> Markup:
    """Return name and value pairs, with large values."""
    return render("facts.html", numbers=numbers)


def embedded(
    image: Image.Image | bytes, edge: int = 560, quality: int = 82, gray_scale: GrayScale | None = None
) -> str:
    """Return a `data:` address of a reduced image: JPEG with its longer edge at most `edge` pixels.

    Args:
        gray_scale: see `drawing.to_rgb`.
    """
    if isinstance(image, bytes):
        with Image.open(io.BytesIO(image)) as opened:
            small = to_rgb(upright(opened), gray_scale)
    else:
        small = to_rgb(image, gray_scale)
    small.thumbnail((edge, edge))
    out = io.BytesIO()
    small.save(out, "JPEG", quality=quality)
    return "data:image/jpeg;base64," + base64.b64encode(out.getvalue()).decode()


def embedded_within(image: Image.Image | bytes, budget: float, gray_scale: GrayScale | None = None) -> str:
    """Return `embedded` with the largest edge and quality that keep it to `budget` bytes; it is decoded once."""
    if isinstance(image, bytes):
        with Image.open(io.BytesIO(image)) as opened:
            image = to_rgb(upright(opened), gray_scale)
    decoded = image
    return within(budget, lambda edge, quality: (embedded(decoded, edge, quality, gray_scale),))[0]


def within(budget: float, made: Callable[[int, int], Sequence[str]]) -> Sequence[str]:
    """Return `made(edge, quality)` with the largest edge (pixels) and JPEG quality that keep it to `budget` bytes.

    The smallest where none does.
    """
    found: Sequence[str] = ()
    for edge, quality in _STEPS:
        found = made(edge, quality)
        if sum(map(len, found)) <= budget:
            break
    return found


def _shown(value: object) -> object:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    return f"{value:,}" if isinstance(value, int) else value
