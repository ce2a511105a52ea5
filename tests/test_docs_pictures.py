"""Pictures in the docs: small, described, used, and on every page about something visual."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "pictures"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
WITH_PICTURE = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/index.md",
    "docs/preview.md",
    "docs/statistics.md",
    "docs/leaks.md",
    "docs/training.md",
    "docs/scores.md",
    "docs/audit.md",
    "docs/using-a-model.md",
    "docs/explaining.md",
    "docs/how-loading-works.md",
    "docs/tutorials/first-detector.md",
]


def pictures_of(page: Path) -> dict[Path, str]:
    """Map each picture of a page to its description."""
    found = re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    return {(page.parent / target).resolve(): text for text, target in found}


def test_pictures_are_small() -> None:
    files = list(PICTURES.iterdir())
    assert len(files) >= 8
    for file in files:
        assert file.suffix in {".webp", ".png", ".svg"}, file
        assert file.stat().st_size < 200_000, file
        if file.suffix != ".svg":
            with Image.open(file) as image:
                image.load()
                assert min(image.size) >= 300, file


@pytest.mark.parametrize("page", WITH_PICTURE)
def test_a_page_about_pictures_has_one(page: str) -> None:
    assert pictures_of(ROOT / page)


def test_pictures_are_described_and_used() -> None:
    used = {}
    for page in PAGES:
        for file, text in pictures_of(page).items():
            assert file.is_file(), (page, file)
            assert len(text) > 20, (page, file)
            used[file] = page
    assert {file.resolve() for file in PICTURES.iterdir()} == set(used)
