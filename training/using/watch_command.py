"""`predict MODEL --watch FOLDER`: one JSON line per image file, as files arrive. Needs no torch for an ONNX file."""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from radikal_datasets.errors import RadikalError, SettingsError
from radikal_datasets.files import refuse_inside
from training.run.arguments import FOUND, PARTLY
from training.using.image_files import is_test, template_names
from training.using.prediction import Prediction
from training.using.predictor import Predictor
from training.using.watching import FolderWatch

#: File of the output folder that gets the JSON lines and is read again after a restart.
LOG = "watched.jsonl"


def watch(known: Any) -> int:
    """Predict the files of a folder as they arrive, until a signal or `--stop-after`; return the exit code."""
    try:
        given = [name for name in ("images", "tile_size", "tile_overlap") if getattr(known, name)]
        if given:
            raise SettingsError(f"--watch does not take {', '.join(given)}: it uses the tiles of the training.")
        predictor = Predictor(known.model, threshold=known.threshold)
        log = None
        if known.output is not None:
            refuse_inside(known.output, [known.watch], what="the folder of images")
            known.output.mkdir(parents=True, exist_ok=True)
            log = known.output / LOG
        predict, accepts = _predict(predictor, known)
        watched = FolderWatch(predict, known.watch, log=log, table=known.csv, accepts=accepts)
        with _stopped_by_signal() as stop:
            for line in watched.lines(stop, known.stop_after):
                print(json.dumps(line), flush=True)
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    counts = watched.counts
    for name in counts.names:
        print(f"Could not be read: {name}", file=sys.stderr)
    decided = f"{counts.good} good, {counts.bad} bad"
    without = f", {counts.undecided} without a verdict" if counts.undecided else ""
    print(f"{decided}{without}, {counts.unreadable} could not be read", file=sys.stderr)
    return FOUND if known.exit_code and counts.bad else PARTLY if counts.unreadable else 0


def _predict(predictor: Predictor, known: Any) -> tuple[Callable[[Path], Prediction], Callable[[Path], bool] | None]:
    """Return the prediction of a file with its template, if the model uses one, and which files are images."""
    if predictor.facts.channels != "pair":
        if known.references is not None:
            raise SettingsError(f"{known.model} does not use templates. Omit --references.")
        return predictor, None
    templates, folder = known.references, known.watch.absolute()
    if templates is not None and not templates.is_dir():
        raise SettingsError(f"--references {templates}: there is no such folder.")

    def predict(file: Path) -> Prediction:
        path = file if templates is None else templates / file.relative_to(folder)
        candidates = template_names(path, beside=templates is None)
        return predictor(file, next((one for one in candidates if one.is_file()), candidates[0]))

    return predict, None if templates is not None else is_test


@contextmanager
def _stopped_by_signal() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether Ctrl-C or SIGTERM came; the image at hand is finished then."""
    came: list[int] = []
    numbers = signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, lambda got, _: came.append(got)) for number in numbers}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
