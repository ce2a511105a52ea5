"""Find out which source a dataset comes from, wherever it is loaded from."""

from __future__ import annotations

import logging
from pathlib import Path

import yaml

from ..errors import RadikalError
from ..hub_client.endpoint import Hub
from ..prepared.manifest import source_in
from ..prepared.reading import CARD_KEY
from ..source import Source
from ..sources import is_source, source_info
from .from_hub import card_metadata, find_commit, is_on_private_hub
from .locations import source_of

logger = logging.getLogger(__name__)


def source_of_set(path: str) -> Source | None:
    """Return the facts about the source of a dataset that `load_dataset(path)` has loaded.

    A prepared folder and a repository say in manifest and card what they were prepared from; a name says nothing.

    Returns:
        None for own images, for a dataset that `prepare` did not write, and where the Hub no longer answers.
    """
    if (source := source_of(path)) is not None:
        return source
    try:
        if Path(path).is_dir():
            return source_in(path)
        if not is_on_private_hub(path):
            return None
        card = card_metadata(find_commit(Hub.current(None), path, None))
    except (RadikalError, ValueError, yaml.YAMLError) as error:
        logger.warning("%s: its source is unknown, because its card or manifest cannot be read: %s", path, error)
        return None
    about = card.get(CARD_KEY)
    name = about.get("source") if isinstance(about, dict) else None
    return source_info(name) if isinstance(name, str) and is_source(name) else None
