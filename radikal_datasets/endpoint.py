"""The Hub this installation talks to, if any: nothing is asked of a Hub that nobody named."""

from __future__ import annotations

import os

DEFAULT_NAMESPACE = "radikal_datasets"


def hub_repo(source: str) -> str | None:
    """The repository a source is looked for in, or None where no Hub was chosen.

    A Hub is chosen by `HF_ENDPOINT` (a private Hub) or `RADIKAL_NAMESPACE` (an organisation of one's own).
    huggingface.co is never asked for a name we don't own.
    """
    namespace = os.environ.get("RADIKAL_NAMESPACE")
    if not namespace and not os.environ.get("HF_ENDPOINT"):
        return None
    return f"{namespace or DEFAULT_NAMESPACE}/{source}"


def hub_name() -> str:
    """The Hub's address, for messages."""
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")
