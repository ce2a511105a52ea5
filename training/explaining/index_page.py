"""The index page of a split: which methods can be trusted, how calibrated the scores are, and all images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from radikal_datasets.view import palette
from radikal_datasets.view.pages import embedded, table, write_page
from radikal_datasets.view.svg import shape, svg
from training.explaining.calibration import Calibration
from training.explaining.explained import Explained
from training.explaining.report import PACKAGE, number
from training.explaining.summary import HIGHEST_CORRELATION, LEAST_RATIO, LEAST_WON, Summary
from training.explaining.verdicts import TITLES, MethodSummary, passing, verdict_table


@dataclass(frozen=True)
class Entry:
    """One image of the index: the relative path of its page, and a thumbnail with all boxes."""

    explained: Explained
    page: str
    picture: Image.Image


def write_index(
    file: Path,
    *,
    title: str,
    threshold: str,
    split: str,
    summary: Summary,
    calibrations: dict[str, Calibration],
    entries: Sequence[Entry],
) -> None:
    """Write the index page.

    Args:
        threshold: a sentence on the operating point and its origin.
        calibrations: by description of the detections they were measured on.
    """
    numbers = {
        "images": str(len(entries)),
        "detections explained": str(summary.right + summary.false_calls),
        "true / false positives": f"{summary.right} / {summary.false_calls}",
        "agreement of the methods": number(summary.agreement),
    }
    trusted = ", ".join(TITLES[name] for name in passing(summary.methods))
    write_page(
        file,
        "explanations.html",
        PACKAGE,
        title=title,
        threshold=threshold,
        split=split,
        numbers=numbers,
        palette=palette,
        summary=summary,
        hidden_score=number(summary.hidden_score),
        verdicts=verdict_table(summary.methods),
        passing=f"All three: {trusted}." if trusted else "No method passes all three.",
        least_ratio=f"{LEAST_RATIO:g}",
        least_won=f"{100 * LEAST_WON:.0f}",
        highest_correlation=f"{HIGHEST_CORRELATION:g}",
        methods=table(_HEADER, [_row(one) for one in summary.methods]),
        calibrations=[_calibration(name, one) for name, one in calibrations.items()],
        images=[_figure(one) for one in entries],
    )


_HEADER = [
    "map",
    "energy in true box",
    "times random",
    "points into true box",
    "deletion",
    "insertion",
    "redrawn decoder",
    "redrawn backbone",
    "seconds per image",
]


def _row(one: MethodSummary) -> list[object]:
    return [
        TITLES[one.name],
        number(one.energy),
        number(one.ratio),
        number(one.pointing),
        number(one.deletion),
        number(one.insertion),
        number(one.redrawn.get("decoder")),
        number(one.redrawn.get("backbone")),
        number(one.seconds, 2),
    ]


def _calibration(name: str, one: Calibration) -> dict[str, Any]:
    if one.error is None or one.bias is None:
        return {"name": name, "diagram": None}
    side = "overconfident" if one.bias > 0 else "underconfident"
    text = (
        f"{one.count:,} detections, expected calibration error (ECE) {one.error:.3f}; scores are on average "
        f"{abs(one.bias):.3f} {'above' if one.bias > 0 else 'below'} precision ({side})"
    )
    return {"name": name, "diagram": _reliability(one), "text": text}


def _reliability(one: Calibration) -> str:
    """Return an SVG of 300 x 270 with a square plot of 220 at (50, 15)."""
    left, top, side = 50, 15, 220

    def x(value: float) -> float:
        return left + side * value

    def y(value: float) -> float:
        return top + side * (1 - value)

    parts = [shape("rect", x=left, y=top, width=side, height=side, fill="none", stroke="var(--line)")]
    for b in one.bins:
        size = {"width": x(b.high) - x(b.low) - 2, "height": max(1.0, side * b.right)}
        parts.append(shape("rect", x=x(b.low) + 1, y=y(b.right), **size, fill="var(--accent)", fill_opacity=".75"))
        center = (x(b.low) + x(b.high)) / 2
        parts.append(shape("text", str(b.count), x=center, y=y(b.right) - 3, text_anchor="middle"))
    diagonal = f"M{x(0)} {y(0)}L{x(1)} {y(1)}"
    parts.append(shape("path", d=diagonal, stroke="var(--ink)", stroke_dasharray="4 4"))
    for v in (0, 0.5, 1):
        parts.append(shape("text", f"{v:g}", x=x(v), y=top + side + 14, text_anchor="middle"))
        parts.append(shape("text", f"{v:g}", x=left - 5, y=y(v) + 3, text_anchor="end"))
    parts.append(shape("text", "score", x=x(0.5), y=top + side + 28, text_anchor="middle"))
    turned = f"translate(14 {y(0.5)}) rotate(-90)"
    parts.append(shape("text", "fraction correct", transform=turned, text_anchor="middle"))
    label = {"role": "img", "aria_label": "reliability diagram"}
    return svg(300, 270, parts, **label, font_size=10, fill="var(--ink)")


def _figure(one: Entry) -> dict[str, str]:
    case = one.explained.case
    right = sum(partner is not None for partner in case.partners)
    wrong = len(case.detections) - right
    text = f"{len(case.ground_truth)} true boxes, {right} true and {wrong} false positives explained"
    agreements = [e.agreement for e in one.explained.explanations if e.agreement is not None]
    if agreements:
        text += f"; agreement {sum(agreements) / len(agreements):.2f}"
    return {"page": quote(one.page), "name": case.name, "image": embedded(one.picture, 400), "text": text}
