"""How the packages are laid out: short modules, and nothing but scripts at the top of training/."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS = {"demo", "explain", "export", "predict", "push_model", "score", "train"}
MOST_LINES = 400


def test_no_module_is_longer_than_400_lines():
    modules = [
        path for package in ("radikal_datasets", "loaders", "training") for path in (ROOT / package).rglob("*.py")
    ]
    assert len(modules) > 100
    lengths = {str(path.relative_to(ROOT)): len(path.read_text(encoding="utf-8").splitlines()) for path in modules}
    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_the_top_level_of_training_holds_scripts_only():
    assert {path.stem for path in (ROOT / "training").glob("*.py")} == SCRIPTS | {"__init__"}
