"""Recognize a prepared folder and read what its card says about it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import huggingface_hub

#: Key of a card's metadata that holds what `prepare` wrote: {"source": ..., "protocol": {config: protocol}}.
CARD_KEY = "radikal_datasets"


def is_hub_folder(path: str | os.PathLike[str]) -> bool:
    """Return whether a folder has the shape that `prepare` writes: a card, and Parquet files by configuration."""
    folder = Path(path)
    return (folder / "README.md").is_file() and any(folder.glob("[!.]*/*.parquet"))


def prepared_source(folder: str | os.PathLike[str]) -> str | None:
    """Return the source that a prepared folder holds, by its card; None if it is no such folder."""
    return (folder_metadata(folder).get(CARD_KEY) or {}).get("source")


def folder_metadata(folder: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the metadata of a folder's card; empty if there is no card."""
    card = Path(folder, "README.md")
    if not card.is_file():
        return {}
    return huggingface_hub.DatasetCard.load(card, ignore_metadata_errors=True).data.to_dict()
