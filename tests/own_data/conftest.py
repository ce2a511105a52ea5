"""The user's own data in each format: the 66 images, written once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from radikal_datasets.sources.folder import Folder
from tests.own_data.trees import IMAGES, truths, write_tree


@pytest.fixture(scope="session")
def own_tree(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """`own_tree("coco")`: the images with annotations in that format, written once. Do not change it: copy it."""
    made: dict[tuple[str, int], Path] = {}

    def get(format_: str, images: int = IMAGES) -> Path:
        if (format_, images) not in made:
            root = tmp_path_factory.mktemp("own") / f"meine Bilder {format_}"
            made[format_, images] = write_tree(root, format_, truths(images))
        return made[format_, images]

    return get


@pytest.fixture
def index(tmp_path: Path) -> Callable[..., object]:
    """`index(folder, config)`: the builder's index."""

    def get(folder: Path, config: str | None = None, **settings: object):
        return Folder(data_dir=folder, config_name=config, cache_dir=tmp_path / "cache", **settings).index()

    return get
