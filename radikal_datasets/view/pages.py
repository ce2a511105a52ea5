"""Self-contained HTML pages: one look, no other file, nothing from a network."""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..files import write_atomically

_STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #f6f7f9; --card: #fff; --line: #d5dae1; --dim: #5c6878;
--accent: #0072b2 }
@media (prefers-color-scheme: dark) { :root { --ink: #e6eaf0; --paper: #12161c; --card: #1b212a; --line: #323b48;
--dim: #97a3b4; --accent: #56b4e9 } }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
main { max-width: 1180px; margin: 0 auto; padding: 2rem 1.25rem 4rem }
h1 { font-size: 1.6rem; margin: 0 0 .5rem } h2 { font-size: 1.2rem; margin: 2.5rem 0 .5rem }
h1, h2, h3, figcaption { overflow-wrap: anywhere }
p { max-width: 70ch; margin: .5rem 0 } a { color: var(--accent) }
.note { border-left: 4px solid #d97706; padding: .25rem .75rem; background: var(--card) }
.dim { color: var(--dim) }
dl { display: flex; flex-wrap: wrap; gap: 1rem 2.5rem; margin: 1.5rem 0 }
dt { color: var(--dim); font-size: .85rem } dd { margin: 0; font-size: 1.5rem; font-variant-numeric: tabular-nums }
.wide { overflow-x: auto }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
td { white-space: nowrap } th { min-width: 5em }
th, td { text-align: left; padding: .3rem .75rem; border-bottom: 1px solid var(--line) }
td.number, th.number { text-align: right }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); gap: 1.25rem }
figure { margin: 0; background: var(--card); border: 1px solid var(--line); border-radius: 6px; overflow: hidden }
figcaption { padding: .5rem .75rem; font-size: .85rem; color: var(--dim) }
svg { display: block; width: 100%; height: auto } img { display: block; max-width: 100%; height: auto }
"""


def write_page(file: Path, title: str, body: str, *, style: str = "", script: str = "", width: int = 1180) -> None:
    """Write one page; an older one stays until this one is whole.

    Args:
        title: plain text, also the page's heading.
        body: HTML that follows the heading; the caller has escaped what is text (`html.escape`).
        style, script: more CSS, and JavaScript that runs when the page is there. They may not load anything.
        width: greatest width of the text, in pixels.
    """
    heading = html.escape(title)
    text = (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{heading}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{_STYLE}main {{ max-width: {width}px }}{style}</style><main><h1>{heading}</h1>{body}</main>"
        + (f"<script>{script}</script>" if script else "")
        + "\n"
    )
    write_atomically(file, text)


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A table that scrolls sideways on a narrow screen; columns whose every value is a number are set right."""
    numeric = [bool(rows) and all(isinstance(row[i], int | float) for row in rows) for i in range(len(header))]

    def cells(tag: str, row: Sequence[object]) -> str:
        return "".join(
            f"<{tag}{' class=number' if right else ''}>{html.escape(_shown(value))}</{tag}>"
            for value, right in zip(row, numeric, strict=True)
        )

    lines = "".join(f"<tr>{cells('td', row)}</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{cells("th", header)}</tr></thead><tbody>{lines}</tbody></table></div>'


def facts(numbers: dict[str, str]) -> str:
    """Name and value pairs, the values set large."""
    pairs = (f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in numbers.items())
    return f"<dl>{''.join(pairs)}</dl>"


def embedded(image: Image.Image | bytes, edge: int = 560, quality: int = 82) -> str:
    """A `data:` address of an image made small: JPEG with its longer edge at most `edge` pixels."""
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
