"""The page of a whole split: which methods deserve trust, how calibrated the scores are, and every image."""

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
    """One image of the index: its page, relative, and its picture with all boxes."""

    explained: Explained
    page: str
    picture: Image.Image


def write_index(
    file: Path, *, title: str, threshold: str, split: str, summary: Summary, calibrations: dict[str, Calibration],
    entries: Sequence[Entry],
) -> None:  # fmt: skip
    """Write it.

    Args:
        threshold: the operating point, and where it comes from.
        calibrations: by what they were measured on.
    """
    numbers = facts(
        {
            "images": str(len(entries)),
            "detections explained": str(summary.right + summary.false_calls),
            "right / false calls": f"{summary.right} / {summary.false_calls}",
            "agreement of the methods": number(summary.agreement),
        }
    )
    body = (
        f"<p>What the detector's calls rest on, for images of the {html.escape(split)} split. {html.escape(threshold)} "
        "No map is shown the true boxes; they only score it afterwards.</p>"
        f"{numbers}<h2>Which methods deserve trust</h2>{_verdicts(summary)}{_methods(summary)}{_reading(summary)}"
        f"<h2>Calibration</h2>{_calibrations(calibrations)}"
        f'<h2>Images</h2>{KEY}<div class="grid">{"".join(_figure(one) for one in entries)}</div>'
    )
    write_page(file, title, body, style=STYLE)


def _verdicts(summary: Summary) -> str:
    """A row a method: what it passes and fails, in words and colours."""
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
        f"<p>{named}</p><p><b>energy</b> passes if the part of the map inside the true box is at least {LEAST_RATIO:g} "
        f"times what a random map has there; <b>curves</b> if in {100 * LEAST_WON:.0f} % of the detections deletion "
        "and insertion are both better than those of noise and of a blob in the centre; <b>redrawn</b> if its "
        "correlation with the maps of the same model with its backbone, and with its decoder, drawn anew is at most "
        f"{HIGHEST_CORRELATION:g}.</p>"
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
        "redrawn decoder", "redrawn backbone", "seconds an image",
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
        else f" The most that any map could reach here is {summary.reachable:.1f} times."
    )
    left_out = summary.right - summary.tested
    skipped = f" ({left_out} with a box over half of the image are left out: no map could reach it)" if left_out else ""
    return (
        f"<p><b>Energy</b> is the part of a map's sum inside the true box, over the {summary.right} right detections; "
        f"times random is over {summary.tested} of them{skipped}.{most} The consensus is a mean of ranks, spread over "
        "the whole image by its making, so that this test says nothing of it. <b>Points into</b>: the highest pixel "
        "lies in the true box.</p><p><b>Deletion</b> takes pixels away in the map's order, <b>insertion</b> brings "
        "them back into a blurred image; the number is the detection's mean score on the way (best IoU times class "
        "probability), so low is good for deletion and high for insertion. On the blurred image "
        f"{number(summary.hidden_score)} is left of the score on average.</p><p><b>Redrawn</b>: Spearman's correlation "
        "with the map of the same model with its decoder, or backbone, drawn anew, over "
        f"{summary.redrawn} detections. Above {HIGHEST_CORRELATION:g} a map shows the image, the box or the "
        "architecture, and not what was learnt.</p><p>The last four maps know nothing of the model. The blob in the "
        "detected box knows only where the detection is: a method that is no better than it at deletion and insertion "
        "adds nothing to the box itself. Cross-attention reads around the box by construction, so that much energy "
        "inside it is no proof.</p>"
    )


def _calibrations(calibrations: dict[str, Calibration]) -> str:
    figures = []
    for name, one in calibrations.items():
        if one.error is None or one.bias is None:
            figures.append(f"<p>{html.escape(name)}: no detection.</p>")
            continue
        side = "too sure" if one.bias > 0 else "not sure enough"
        caption = (
            f"<b>{html.escape(name)}</b>: {one.count:,} detections, expected calibration error (ECE) {one.error:.3f}; "
            f"scores are on average {abs(one.bias):.3f} {'above' if one.bias > 0 else 'below'} what is right ({side})"
        )
        figures.append(f"<figure>{_reliability(one)}<figcaption>{caption}</figcaption></figure>")
    return (
        f'<div class="grid">{"".join(figures)}</div><p>Each bar: of the detections with such a score, the part that is '
        "right (IoU at least 0.5 with a true box of its class that no surer one has taken). On the diagonal a score is "
        "the probability to be right. The number on a bar is how many detections it holds. A DETR's scores are trained "
        "towards the overlap, or towards one, and need not be probabilities.</p>"
    )


def _reliability(one: Calibration) -> str:
    """SVG of 300 x 270; its plot is 220 square, from (50, 15)."""
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
        f'<text transform="translate(14 {y(0.5)}) rotate(-90)" text-anchor="middle">part that is right</text>',
    ]
    return (
        '<svg viewBox="0 0 300 270" role="img" aria-label="reliability diagram" font-size="10" fill="var(--ink)">'
        f"{''.join(parts)}</svg>"
    )


def _figure(one: Entry) -> str:
    case = one.explained.case
    right = sum(partner is not None for partner in case.partners)
    text = f"{len(case.truth)} true, {right} right, {len(case.detections) - right} false calls explained"
    agreements = [e.agreement for e in one.explained.explanations if e.agreement is not None]
    if agreements:
        text += f"; agreement {sum(agreements) / len(agreements):.2f}"
    link = html.escape(one.page)
    return (
        f'<figure><a href="{link}"><img alt="{html.escape(case.name)}" src="{embedded(one.picture, 400)}"></a>'
        f'<figcaption><a href="{link}">{html.escape(case.name)}</a> &middot; {text}</figcaption></figure>'
    )
