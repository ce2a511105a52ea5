"""Plots of a detector's scores, as PNG: confusion matrix, precision-recall curves, image-level ROC curve.

Colors are those of `palette`; if there are more classes than colors, lines are dashed, then dotted. Numbers and
labels repeat everything that a color says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score, roc_curve

from radikal_datasets.view.palette import BLUE, GRAY, INK, LINE, ON_PAPER, VERMILION

_LINES = ("-", "--", ":", "-.")
_DPI = 150


def draw_confusion_matrix(counts: np.ndarray, class_names: Sequence[str], file: Path, title: str) -> None:
    """Draw counts (C + 1, C + 1) as returned by `operating_point.confusion_matrix`.

    The shade of a cell is its fraction of the row, so that rare classes show as clearly as frequent ones; its number
    is the count.
    """
    names = [*class_names, "background"]
    sums = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, sums, out=np.zeros(counts.shape), where=sums > 0)
    side = 2.6 + 0.55 * len(names)
    axes = _axes((side + 1, side))
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if row == column == len(class_names):
            continue  # background detected as background cannot be counted
        if count or row == column or len(class_names) in (row, column):
            color = "white" if shares[row, column] > 0.55 else INK if count else GRAY
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("detected (background: missed)")
    axes.set_ylabel("true (background: false positive)")
    axes.set_title(title, fontsize=10)
    axes.set_xticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.set_yticks(np.arange(1, len(names)) - 0.5, minor=True)
    axes.grid(which="minor", color=LINE, linewidth=0.5)
    axes.tick_params(which="minor", length=0)
    _figure(axes).colorbar(image, ax=axes, label="fraction of the row", fraction=0.046, pad=0.04)
    _save(axes, file)


def draw_precision_recall(curves: Mapping[str, np.ndarray], file: Path, title: str) -> None:
    """Draw one curve per class, as returned by `detection_map.precision_at_50`; the legend lists each one's AP50."""
    axes = _axes((7.5, max(4.5, 1.5 + 0.22 * len(curves))))
    for number, (name, precision) in enumerate(curves.items()):
        round_, color = divmod(number, len(ON_PAPER))
        axes.plot(
            np.linspace(0, 1, len(precision)),
            precision,
            label=f"{name}  {precision.mean():.3f}",
            color=ON_PAPER[color],
            linestyle=_LINES[round_ % len(_LINES)],
            linewidth=1.8,
        )
    _unit_square(axes, "recall", "precision", title)
    if curves:
        axes.legend(title="AP50", loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False, fontsize=8)
    _save(axes, file)


def draw_image_roc(
    scores: np.ndarray, defective: np.ndarray, file: Path, title: str, threshold: float | None = None
) -> None:
    """Draw the ROC curve of image scores, as returned by `image_scores.highest_scores`, and mark a threshold on it.

    Raises:
        ValueError: the images are all good or all defective.
    """
    if defective.all() or not defective.any():
        raise ValueError(
            f"Cannot draw a ROC curve: {int(defective.sum())} of {len(defective)} images are defective. Both good and "
            "defective images are needed."
        )
    false_positive_rates, recalls, _ = roc_curve(defective, scores, drop_intermediate=False)
    axes = _axes((5.5, 5))
    axes.plot([0, 1], [0, 1], color=GRAY, linestyle="--", linewidth=1, label="random guess")
    auroc = roc_auc_score(defective, scores)
    axes.plot(false_positive_rates, recalls, color=BLUE, linewidth=1.8, label=f"AUROC {auroc:.3f}")
    if threshold is not None:
        point = [(scores[part] >= threshold).mean() for part in (~defective, defective)]
        axes.plot(*point, "o", color=VERMILION, markersize=8, label=f"threshold {threshold:.2f}", clip_on=False)
    _unit_square(
        axes, "false positive rate (good images predicted defective)", "recall (defective images found)", title
    )
    axes.legend(loc="lower right", fontsize=8)
    _save(axes, file)


def _axes(inches: tuple[float, float]) -> Axes:
    figure = Figure(figsize=inches, layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: no global state, and no display is needed
    return figure.add_subplot()


def _unit_square(axes: Axes, x_label: str, y_label: str, title: str) -> None:
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01), xlabel=x_label, ylabel=y_label, aspect="equal")
    axes.set_title(title, fontsize=10)
    axes.grid(color=LINE, linewidth=0.6)
    axes.set_axisbelow(True)


def _figure(axes: Axes) -> Figure:
    figure = axes.get_figure()
    assert isinstance(figure, Figure)
    return figure


def _save(axes: Axes, file: Path) -> None:
    _figure(axes).savefig(file, dpi=_DPI, bbox_inches="tight")
