"""The hierarchy of errors."""

from __future__ import annotations

import ast
import pickle
from pathlib import Path

import pytest

import radikal_datasets.errors as errors
from radikal_datasets.errors import BadFileError, RadikalError

ROOT = Path(__file__).resolve().parents[1]


def _drawn(error: type[Exception], depth: int = 0) -> list[str]:
    """The class and its subclasses, as the docstring of the module draws them."""
    below = [one for one in vars(errors).values() if isinstance(one, type) and error is one.__bases__[0]]
    others = [base.__name__ for base in error.__bases__[1:]]
    line = "  " * depth + ("* " if below else "· ") + error.__name__ + (f" ({', '.join(others)})" if others else "")
    return [line, *(line for one in below for line in _drawn(one, depth + 1))]


def test_the_docstring_draws_the_tree() -> None:
    drawn = [line for line in (errors.__doc__ or "").split("\n") if line.lstrip().startswith(("* ", "· "))]
    assert drawn == _drawn(RadikalError)


def test_no_error_is_defined_elsewhere() -> None:
    # A KeyboardInterrupt, and what becomes an HTTP answer: see the docstring of the module.
    outside = {"StoppedError", "RequestError"}
    found = {
        node.name
        for folder in ("radikal_datasets", "loaders", "training")
        for file in (ROOT / folder).rglob("*.py")
        if file != Path(errors.__file__)
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name.endswith("Error")
    }
    assert found == outside


@pytest.mark.parametrize(
    "error",
    [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, RadikalError)],
    ids=lambda one: one.__name__,
)
def test_every_error_keeps_its_message_through_a_pickle(error: type[RadikalError]) -> None:
    one = error("a.png", "cut short", "Copy it again.") if issubclass(error, BadFileError) else error("what was found")
    back = pickle.loads(pickle.dumps(one))
    assert type(back) is error
    assert str(back) == str(one)


def test_old_import_paths_and_except_clauses_work() -> None:
    from radikal_datasets.preview.chosen_images import ChoiceError
    from training.export import ExportError
    from training.models import ModelError
    from training.run.settings import SettingsError

    assert issubclass(SettingsError, ValueError)
    assert issubclass(ModelError, ValueError)
    assert issubclass(ExportError, RuntimeError)
    assert issubclass(ChoiceError, ValueError)
