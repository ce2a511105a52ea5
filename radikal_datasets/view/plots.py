"""Plots as inline SVG, 360 units wide so that their text is legible on a phone.

Each takes a `summary`, which screen readers read out instead. Colors are those of `palette`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from .pages import render
from .palette import ON_PAPER, SHADES
from .svg import Shape, shape, svg

if TYPE_CHECKING:
    from markupsafe import Markup

_WIDE = 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 14, 38  # around a plot with axes
_DASHES = (None, "6 3", "2 2", "8 3 2 3")


def key(names: Iterable[str]) -> Markup:
    """Return a key to the colors, in their order."""
    return render("key.html", entries=[(_color(i), name) for i, name in enumerate(names)])


def bars(rows: Mapping[str, Sequence[float]], texts: Sequence[str], summary: str) -> Markup:
    """Return stacked horizontal bars on one scale, each with its name and its text above.

    Args:
        rows: name -> lengths, one per color.
    """
    longest = max((sum(lengths) for lengths in rows.values()), default=0) or 1
    parts = []
    for row, ((name, lengths), text) in enumerate(zip(rows.items(), texts, strict=True)):
        y, x = 8 + 36 * row, 12.0
        parts.append(shape("text", name, x=12, y=y + 12))
        parts.append(shape("text", text, x=_WIDE - 12, y=y + 12, text_anchor="end", class_="dim"))
        for i, length in enumerate(lengths):
            wide = length / longest * (_WIDE - 24)
            parts.append(shape("rect", x=x, y=y + 17, width=wide, height=11, fill=_color(i)))
            x += wide
    return _plot(14 + 36 * len(rows), parts, summary)


def columns(heights: Sequence[int], labels: Sequence[str], axis: str, summary: str) -> Markup:
    """Return a histogram: one column per height, with as many labels below as have room."""
    high, top = 190, max([*heights, 1])
    step = (_WIDE - _LEFT - _RIGHT) / max(1, len(heights))
    scale = (high - _TOP - _BOTTOM) / top
    parts = [*_y_axis([tick for tick in _ticks(top) if tick.is_integer()], top, high), _x_title(axis, high)]
    every = -(-len(labels) * max(map(len, labels), default=1) * 8 // (_WIDE - _LEFT - _RIGHT))
    for i, (count, label) in enumerate(zip(heights, labels, strict=True)):
        x = _LEFT + i * step
        y = high - _BOTTOM - count * scale
        title = shape("title", f"{label}: {count:,}")
        size = {"width": step * 0.84, "height": float(count * scale)}
        parts.append(shape("rect", "", title, x=x + step * 0.08, y=float(y), **size, fill=ON_PAPER[0]))
        if i % max(1, every) == 0:
            parts.append(_middle(x + step / 2, high - _BOTTOM + 15, label))
    return _plot(high, parts, summary)


def lines(series: Mapping[str, np.ndarray], ends: tuple[str, str], axis: str, summary: str) -> Markup:
    """Return one line per series, in the order of `key`; shares in percent, the first value at the left end."""
    high = 200
    top = max([float(values.max()) for values in series.values()] + [1e-9])
    parts = [*_y_axis(_ticks(top * 100), top * 100, high, " %"), _x_title(axis, high)]
    for i, values in enumerate(series.values()):
        x = np.linspace(_LEFT, _WIDE - _RIGHT, len(values))
        y = high - _BOTTOM - values / top * (high - _TOP - _BOTTOM)
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True))
        stroke = {"stroke": _color(i), "stroke_width": 2, "stroke_dasharray": _DASHES[i % len(_DASHES)]}
        parts.append(shape("polyline", points=path, fill="none", **stroke))
    parts.append(shape("text", ends[0], x=_LEFT, y=high - _BOTTOM + 15))
    parts.append(shape("text", ends[1], x=_WIDE - _RIGHT, y=high - _BOTTOM + 15, text_anchor="end"))
    return _plot(high, parts, summary)


def scatter(groups: Sequence[tuple[np.ndarray, np.ndarray]], areas: Sequence[float], summary: str) -> Markup:
    """Return a scatter plot of box widths and heights in pixels on logarithmic axes, one color per group.

    Args:
        groups: widths and heights of each; some may be empty, but not all.
        areas: the areas for which to draw lines of equal area, square pixels.
    """
    high, values = 340, np.concatenate([np.concatenate(pair) for pair in groups])
    low, top = np.log10(values.min() * 0.8), np.log10(values.max() * 1.25)
    ticks = [t for p in range(-1, 6) for t in (10.0**p, 2 * 10.0**p, 5 * 10.0**p) if low <= np.log10(t) <= top]

    def place(value: np.ndarray | float, start: float, end: float) -> np.ndarray:
        return start + (np.log10(value) - low) / (top - low) * (end - start)

    left, right, bottom = _LEFT, _WIDE - _RIGHT, high - _BOTTOM
    parts = []
    for tick in ticks:
        x, y = place(tick, left, right), place(tick, bottom, _TOP)
        parts.append(shape("path", class_="rule", d=f"M{x:.1f} {_TOP}V{bottom}M{left} {y:.1f}H{right}"))
        parts += [_middle(float(x), bottom + 15, f"{tick:g}"), _end(left - 6, float(y) + 4, f"{tick:g}")]
    for area in areas:
        ends = [(a, area / a) for a in (max(10**low, area / 10**top), min(10**top, area / 10**low))]
        if ends[0][0] < ends[1][0]:
            path = "L".join(f"{place(w, left, right):.1f} {place(h, bottom, _TOP):.1f}" for w, h in ends)
            parts.append(shape("path", class_="rule edge", d=f"M{path}"))
    for i, (widths, heights) in enumerate(groups):
        points = zip(place(widths, left, right), place(heights, bottom, _TOP), strict=True)
        path = "".join(dict.fromkeys(f"M{x:.1f} {y:.1f}h0" for x, y in points))
        dots = {"stroke": _color(i), "stroke_width": "4.5", "stroke_linecap": "round", "opacity": ".6"}
        parts.append(shape("path", d=path, **dots))
    middle = (bottom + _TOP) / 2
    turned = {"transform": f"rotate(-90 14 {middle})", "class_": "dim"}
    parts.append(shape("text", "height, pixels", x=14, y=middle, text_anchor="middle", **turned))
    return _plot(high, [*parts, _x_title("width, pixels", high)], summary)


def heat(values: np.ndarray, top: float, aspect: float, summary: str) -> Markup:
    """Return a map (rows, columns) as shades from 0 to `top`; `aspect` is width over height of what it maps."""
    rows, across = values.shape
    high = round(_WIDE / min(4, max(0.4, aspect)))
    shades = np.clip((values / (top or 1) * len(SHADES)).astype(int), 0, len(SHADES) - 1)
    parts = [shape("path", class_="s0", d=f"M0 0H{across}V{rows}H0Z")]
    for shade in range(1, len(SHADES)):
        path = ""
        for y in range(rows):
            # Ends of the runs of this shade in the row: one rectangle per run keeps the page small.
            changes = np.flatnonzero(np.diff(np.pad(shades[y] == shade, 1).astype(int)))
            path += "".join(f"M{a} {y}H{b}v1H{a}Z" for a, b in zip(changes[::2], changes[1::2], strict=True))
        if path:
            parts.append(shape("path", class_=f"s{shade}", d=path))
    scaled = f"scale({_WIDE / across:.4f} {high / rows:.4f})"
    return _plot(high, [shape("g", "", *parts, transform=scaled, shape_rendering="crispEdges")], summary)


def scale(top: str) -> Markup:
    """Return a key to the shades of `heat`: 0 at the left, `top` at the right."""
    steps = [shape("rect", x=i, width="1.02", height=1, class_=f"s{i}") for i in range(len(SHADES))]
    bar = svg(len(SHADES), 1, steps, preserve_aspect_ratio="none", aria_hidden="true")
    return render("scale.html", bar=bar, top=top)


def matrix(names: Sequence[str], counts: np.ndarray, summary: str) -> Markup:
    """Return counts (C, C) as shades with their numbers, one row and column per name; the diagonal is not shaded."""
    label = min(150, 7 * max(map(len, names)) + 8)
    cell = (_WIDE - label - 8) / len(names)
    off = counts * (1 - np.eye(len(names), dtype=int))
    top = max(1, int(off.max()))
    parts = []
    for i, name in enumerate(names):
        y, x = 8 + i * cell, label + i * cell
        short = name if len(name) <= 20 else f"{name[:19]}…"
        parts.append(_end(label - 6, y + cell / 2 + 4, short))
        turned = f"translate({x + cell / 2 + 4:.1f} {len(names) * cell + 14:.1f}) rotate(-90)"
        parts.append(shape("text", short, transform=turned, text_anchor="end"))
        for j, count in enumerate(counts[i]):
            x, shade = label + j * cell, min(len(SHADES) - 1, int(off[i, j] / top * len(SHADES)))
            look = {"fill": "none"} if i == j else {"class_": f"s{shade}"}
            parts.append(shape("rect", x=x, y=y, width=cell - 1, height=cell - 1, **look))
            if cell > 22:
                ink = None if i == j else f"fill:{'#000' if shade > 5 else '#fff'}"
                center = {"x": x + cell / 2, "y": y + cell / 2 + 4, "text_anchor": "middle"}
                parts.append(shape("text", str(count), **center, style=ink, font_size=11))
    return _plot(round(len(names) * cell + label + 16), parts, summary)


def _plot(high: int, parts: Iterable[Shape], summary: str) -> Markup:
    return svg(_WIDE, high, parts, role="img", aria_label=summary)


def _color(number: int) -> str:
    return ON_PAPER[number % len(ON_PAPER)]


def _y_axis(ticks: Sequence[float], top: float, high: int, unit: str = "") -> list[Shape]:
    parts = []
    for tick in ticks:
        y = high - _BOTTOM - tick / top * (high - _TOP - _BOTTOM)
        parts.append(shape("path", class_="rule", d=f"M{_LEFT} {y:.1f}H{_WIDE - _RIGHT}"))
        parts.append(_end(_LEFT - 6, y + 4, f"{tick:,.6g}{unit}"))
    return parts


def _x_title(text: str, high: int) -> Shape:
    return shape("text", text, x=(_LEFT + _WIDE - _RIGHT) / 2, y=high - 6, text_anchor="middle", class_="dim")


def _middle(x: float, y: float, text: str) -> Shape:
    return shape("text", text, x=x, y=y, text_anchor="middle")


def _end(x: float, y: float, text: str) -> Shape:
    return shape("text", text, x=x, y=y, text_anchor="end")


def _ticks(top: float) -> list[float]:
    """Return round values from 0 to `top`, at most six."""
    raw = max(top, 1e-9) / 5
    power = 10.0 ** np.floor(np.log10(raw))
    step = next(step for factor in (1, 2, 5, 10) if (step := factor * power) >= raw)
    return [float(tick) for tick in np.arange(0, top * 1.0001, step)]
