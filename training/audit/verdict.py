"""The verdict of the page in plain sentences, and the limits of its validity."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from training.audit.facts import RunFacts
from training.audit.rates import INTERVAL, Rate
from training.run.arguments import FIXED_THRESHOLD
from training.using.card_sections import NOT_CERTIFIED, ONLY_THESE_CLASSES, SAME_CONDITIONS

#: An interval wider than this, in parts per 100, is called wide.
WIDE = 10.0
_WEAK = 0.1


@dataclass(frozen=True)
class Answer:
    """A question of a quality manager, and the answer: `number` in large type, `text` below it."""

    question: str
    number: str
    text: str


def judged_split(facts: RunFacts) -> str | None:
    """Return the split that the verdict is about: test, else validation; None if neither was scored."""
    return facts.scored[-1] if facts.scored else None


def trained_on(facts: RunFacts) -> str:
    """Return one sentence: which kind of model was trained on what."""
    kind = "detector" if facts.task == "detection" else "classifier"
    names = facts.class_names
    of = f" of {len(names)} classes" if len(names) > 8 else f" for {_listed(names)}" if names else ""
    sets = facts.data.get("sets") or []
    titles = [(one.get("source") or {}).get("title") or one["name"] for one in sets]
    titles = titles or [str(facts.settings.get("dataset_name", "an unknown dataset"))]
    train = facts.splits.get("train")
    images = f"{train['annotated']:,} annotated images of " if train else ""
    return f"A {kind}{of}, trained on {images}{_listed(titles)}."


def answers(facts: RunFacts) -> list[Answer]:
    """Return how many of 100 defective parts escape, and how many of 100 good ones are rejected."""
    split = judged_split(facts)
    if split is None or facts.escapes(split) is None:
        return []
    escapes, alarms = facts.escapes(split), facts.false_alarms(split)
    passed = "no detection" if facts.task == "detection" else "no defect found"
    return [
        Answer(
            "Of 100 defective parts, how many pass as good?",
            escapes.number if escapes else "unknown",
            _counted(escapes, f"{split} images with a defect", passed),
        ),
        Answer(
            "Of 100 good parts, how many are rejected?",
            alarms.number if alarms else "unknown",
            _counted(alarms, f"{split} images without a defect", "a false alarm"),
        ),
    ]


def _counted(rate: Rate | None, images: str, what: str) -> str:
    if rate is None or not rate.known:
        return f"Not known: there are no {images}."
    return f"{INTERVAL} {rate.between}. {rate.counts} {images} had {what}."


def qualifications(facts: RunFacts) -> list[str]:
    """Return what a reader must know before they take the answers for what a machine will do."""
    split = judged_split(facts)
    if split is None:
        return ["Nothing was scored: no image of a validation or test split is annotated. How good it is, is unknown."]
    point, lines = facts.point(split), []
    if facts.synthetic:
        lines.append("The images are synthetic, drawn by a program. The figures say nothing about real parts.")
    incomplete = facts.incomplete(split)
    if incomplete is not None and incomplete.known:
        anyway = incomplete.count - facts.point(split)["bad_parts_passed"]
        lines.append(
            f"On {incomplete.counts} defective parts at least one defect was not found ({incomplete.number} of 100; "
            f"{INTERVAL} {incomplete.between}); {anyway:,} of them are rejected anyway, because something else was "
            "detected on them."
        )
    if not point:
        lines.append(f"Parts that pass or are rejected were not counted on {split}.")
    elif facts.threshold is None:
        lines.append(
            f"No operating point was chosen, because no validation split was scored. The figures are for a score "
            f"threshold of {point.get('threshold', 0):.2f}, which was fixed before the run and fits no particular part."
        )
    elif split == "validation":
        lines.append(
            "There is no test split. The figures are of the validation images, on which weights and threshold were "
            "chosen, so they are better than what new images will show."
        )
    else:
        lines.append(
            f"The score threshold, {facts.threshold:.3f}, was chosen on the validation images for the highest "
            "F1, which gives neither escapes nor false alarms more weight. The test images played no part in any "
            "choice, and were scored once, at the end of training."
        )
    return lines


def limits(facts: RunFacts) -> list[str]:
    """Return in plain words where the figures do not hold, or are not known."""
    split = judged_split(facts)
    lines = [SAME_CONDITIONS, ONLY_THESE_CLASSES]
    if split is not None:
        lines += [*_of_counts(facts, split), *_of_leaks(facts)]
        lines += _of_groups(facts.splits.get(split) or {}, split) + _weak(facts, split)
    lines += _of_splits(facts)
    train = facts.splits.get("train") or {}
    if absent := [name for name, count in (train.get("images_per_class") or {}).items() if not count]:
        lines.append(f"No training image contains {_listed(absent)}: the model cannot find these.")
    lines.append(NOT_CERTIFIED)
    return lines


def _of_counts(facts: RunFacts, split: str) -> list[str]:
    lines = []
    for rate, parts in ((facts.escapes(split), "defective"), (facts.false_alarms(split), "good")):
        if rate is None:
            continue
        if not rate.known:
            what = "rejected" if parts == "good" else "passed"
            lines.append(f"No {split} image shows a {parts} part: how many would be {what} is not known.")
        elif rate.width > WIDE:
            lines.append(
                f"{rate.total:,} images of {parts} parts are few: the true rate may be anywhere from "
                f"{rate.between} of 100."
            )
    if lines or facts.point(split):
        lines.append(
            "A part is one image here. A part that is inspected in several images has more chances to be rejected, "
            "and its defects more chances to be found."
        )
    return lines


def _of_leaks(facts: RunFacts) -> list[str]:
    held_out = facts.data_check.get("held_out") or {}
    lines = []
    for name in ("validation", "test"):
        if count := held_out.get(name):
            images = (facts.splits.get(name) or {}).get("images")
            of = f"{count:,} of {images:,}" if images else f"{count:,}"
            lines.append(
                f"{of} {name} images show what an image of another split also shows, so the figures of {name} are "
                "better than for new parts."
            )
    return lines


def _of_groups(split: Mapping[str, Any], name: str) -> list[str]:
    groups, images = split.get("groups"), split.get("images")
    if not groups or groups == images:
        return []
    return [
        f"The {images:,} {name} images are from {groups:,} groups (series, boards, parts). Images of a group resemble "
        "each other, and the intervals assume that they don't: the true uncertainty is larger."
    ]


def _weak(facts: RunFacts, split: str) -> list[str]:
    per_class = (facts.metrics.get(split) or {}).get("map_per_class") or {}
    weak = [name for name, value in per_class.items() if 0 <= value < _WEAK]
    return [f"It finds almost no {_listed(weak)} (average precision below {_WEAK})."] if weak else []


def _of_splits(facts: RunFacts) -> list[str]:
    lines = []
    if "validation" not in facts.scored:
        lines.append(
            "Without a scored validation split, the weights are those of the last step, and no operating point exists. "
            "predict uses a fixed threshold: choose one on images of your own."
        )
    if "test" not in facts.scored:
        lines.append("No test split was scored: there is no figure that nothing was chosen on.")
    elif facts.point("test").get("threshold_chosen_on") == FIXED_THRESHOLD and "validation" in facts.scored:
        lines.append("The figures of test are at a fixed threshold, not at the operating point.")
    return lines


def _listed(names: list[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else "".join(names)
