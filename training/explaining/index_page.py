"""The index page of a split: which methods can be trusted, how calibrated the scores are, and all images."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from radikal_datasets.view.pages import embedded, facts, table, write_page
from training.explaining.baselines import BASELINES
from training.explaining.calibration import Calibration
from training.explaining.explained import TITLES, Explained
from training.explaining.report import KEY, STYLE, number
from training.explaining.summary import HIGHEST_CORRELATION, LEAST_RATIO, LEAST_WON, TESTS, MethodSummary, Summary


@dataclass(frozen=True)
class Entry:
    """One image of the index: the relative path of its page, and a thumbnail with all boxes."""

    explained: Explained
    page: str
    picture: Image.Image


def write_index(
    file: Path, *, title: str, threshold: str, split: str, summary: Summary, calibrations: dict[str, Calibration],
    entries: Sequence[Entry],
) -> None:  # fmt: skip
    """Write the index page.

    Args:
        threshold: a sentence on the operating point and its origin.
        calibrations: by description of the detections they were measured on.
    """
    numbers = facts(
        {
            "images": str(len(entries)),
            "detections explained": str(summary.right + summary.false_calls),
            "true / false positives": f"{summary.right} / {summary.false_calls}",
            "agreement of the methods": number(summary.agreement),
        }
    )
    body = (
        f"<p>What the detections depend on, for images of the {html.escape(split)} split. {html.escape(threshold)} "
        "No map uses the true boxes; they only serve to score it afterwards.</p>"
        f"{numbers}<h2>Which methods can be trusted</h2>{_verdicts(summary)}{_methods(summary)}{_reading(summary)}"
        f"<h2>Calibration</h2>{_calibrations(calibrations)}"
        f'<h2>Images</h2>{KEY}<div class="grid">{"".join(_figure(one) for one in entries)}</div>'
    )
    write_page(file, title, body, style=STYLE)


def _verdicts(summary: Summary) -> str:
    """Return a table with one row per method: the tests it passes and fails, in words and colors."""
    header = "".join(f"<th>{name}</th>" for name in ("method", *TESTS))
    rows = "".join(
        f"<tr><td>{TITLES[one.name]}</td>{''.join(_verdict(one, test) for test in TESTS)}</tr>"
        for one in summary.methods
        if one.name not in BASELINES
    )
    passing = [TITLES[one.name] for one in summary.methods if all(one.passes.get(test) for test in TESTS)]
    named = f"All three: {', '.join(passing)}." if passing else "No method passes all three."
    return (
        f'<div class="wide"><table class="verdicts"><thead><tr>{header}</tr></thead><tbody>{rows}</tbody></table></div>'
        f"<p>{named}</p><p><b>energy</b> passes if the fraction of the map inside the true box is at least "
        f"{LEAST_RATIO:g} times that of a random map; <b>curves</b> if in {100 * LEAST_WON:.0f} % of the detections "
        "deletion and insertion are both better than those of noise and of a blob at the center; <b>redrawn</b> if its "
        "correlation with the maps of the same model with a re-initialized backbone, and with a re-initialized "
        f"decoder, is at most {HIGHEST_CORRELATION:g}.</p>"
    )


def _verdict(one: MethodSummary, test: str) -> str:
    outcome = one.passes.get(test)
    if outcome is None:
        return '<td class="dim">not tested</td>'
    value = {
        "energy": f"{number(one.ratio)} times",
        "curves": f"{100 * (one.curves_won or 0):.0f} % won",
        "redrawn": ", ".join(number(value) for value in one.redrawn.values()),
    }[test]
    word = "passes" if outcome else "fails"
    return f'<td><span class="{word}">{word}</span> <span class="value">{value}</span></td>'


def _methods(summary: Summary) -> str:
    header = [
        "map", "energy in true box", "times random", "points into true box", "deletion", "insertion",
        "redrawn decoder", "redrawn backbone", "seconds per image",
    ]  # fmt: skip
    return table(header, [_row(one) for one in summary.methods])


def _row(one: MethodSummary) -> list[object]:
    return [
        TITLES[one.name], number(one.energy), number(one.ratio), number(one.pointing), number(one.deletion),
        number(one.insertion), number(one.redrawn.get("decoder")), number(one.redrawn.get("backbone")),
        number(one.seconds, 2),
    ]  # fmt: skip


def _reading(summary: Summary) -> str:
    most = (
        ""
        if summary.reachable is None
        else f" The maximum that any map could reach here is {summary.reachable:.1f} times."
    )
    left_out = summary.right - summary.tested
    skipped = f" ({left_out} whose box covers over half of the image are left out)" if left_out else ""
    return (
        f"<p><b>Energy</b> is the fraction of a map's sum inside the true box, over the {summary.right} true "
        f"positives; times random is over {summary.tested} of them{skipped}.{most} The consensus is a mean of ranks, "
        "so by construction it covers the entire image and this test does not apply to it. <b>Points into</b>: the "
        "highest pixel is inside the true box.</p><p><b>Deletion</b> removes pixels in the map's order, "
        "<b>insertion</b> restores them in a blurred image; the number is the detection's mean score along the way "
        "(best IoU times class probability), so low is good for deletion and high for insertion. On the blurred image, "
        f"{number(summary.hidden_score)} of the score remains on average.</p><p><b>Redrawn</b>: Spearman's correlation "
        "with the map of the same model with its decoder, or backbone, re-initialized, over "
        f"{summary.redrawn} detections. Above {HIGHEST_CORRELATION:g}, a map shows the image, the box or the "
        "architecture, and not what was learned.</p><p>The last four maps do not use the model. The blob in the "
        "detected box uses only the position of the detection: a method that is no better at deletion and insertion "
        "adds nothing to the box itself. Cross-attention attends around the box by construction, so high energy "
        "inside it proves nothing.</p>"
    )


def _calibrations(calibrations: dict[str, Calibration]) -> str:
    figures = []
    for name, one in calibrations.items():
        if one.error is None or one.bias is None:
            figures.append(f"<p>{html.escape(name)}: no detection.</p>")
            continue
        side = "overconfident" if one.bias > 0 else "underconfident"
        caption = (
            f"<b>{html.escape(name)}</b>: {one.count:,} detections, expected calibration error (ECE) {one.error:.3f}; "
            f"scores are on average {abs(one.bias):.3f} {'above' if one.bias > 0 else 'below'} precision ({side})"
        )
        figures.append(f"<figure>{_reliability(one)}<figcaption>{caption}</figcaption></figure>")
    return (
        f'<div class="grid">{"".join(figures)}</div><p>Each bar: the fraction of the detections in this score range '
        "that are correct (IoU at least 0.5 with a true box of the class that no detection with a higher score has "
        "taken). On the diagonal, a score equals the probability of being correct. The number on a bar is its count of "
        "detections. A DETR's scores are trained towards the overlap, or towards one, and need not be "
        "probabilities.</p>"
    )


def _reliability(one: Calibration) -> str:
    """Return an SVG of 300 x 270 with a square plot of 220 at (50, 15)."""
    left, top, side = 50, 15, 220

    def x(value: float) -> float:
        return left + side * value

    def y(value: float) -> float:
        return top + side * (1 - value)

    parts = [
        f'<rect x="{left}" y="{top}" width="{side}" height="{side}" fill="none" stroke="var(--line)"/>',
        *(
            f'<rect x="{x(b.low) + 1:.1f}" y="{y(b.right):.1f}" width="{x(b.high) - x(b.low) - 2:.1f}" '
            f'height="{max(1.0, side * b.right):.1f}" fill="var(--accent)" fill-opacity=".75"/>'
            f'<text x="{(x(b.low) + x(b.high)) / 2:.1f}" y="{y(b.right) - 3:.1f}" text-anchor="middle">{b.count}</text>'
            for b in one.bins
        ),
        f'<path d="M{x(0)} {y(0)}L{x(1)} {y(1)}" stroke="var(--ink)" stroke-dasharray="4 4"/>',
        *(
            f'<text x="{x(v)}" y="{top + side + 14}" text-anchor="middle">{v:g}</text>'
            f'<text x="{left - 5}" y="{y(v) + 3}" text-anchor="end">{v:g}</text>'
            for v in (0, 0.5, 1)
        ),
        f'<text x="{x(0.5)}" y="{top + side + 28}" text-anchor="middle">score</text>',
        f'<text transform="translate(14 {y(0.5)}) rotate(-90)" text-anchor="middle">fraction correct</text>',
    ]
    return (
        '<svg viewBox="0 0 300 270" role="img" aria-label="reliability diagram" font-size="10" fill="var(--ink)">'
        f"{''.join(parts)}</svg>"
    )


def _figure(one: Entry) -> str:
    case = one.explained.case
    right = sum(partner is not None for partner in case.partners)
    text = f"{len(case.truth)} true boxes, {right} true and {len(case.detections) - right} false positives explained"
    agreements = [e.agreement for e in one.explained.explanations if e.agreement is not None]
    if agreements:
        text += f"; agreement {sum(agreements) / len(agreements):.2f}"
    link = html.escape(one.page)
    return (
        f'<figure><a href="{link}"><img alt="{html.escape(case.name)}" src="{embedded(one.picture, 400)}"></a>'
        f'<figcaption><a href="{link}">{html.escape(case.name)}</a> &middot; {text}</figcaption></figure>'
    )
