"""The checks of `doctor` that concern this machine; each returns ok, found, remedy as `Check` has them."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import datasets.config
import huggingface_hub.constants

from ..hub_client.endpoint import Hub

_LITTLE_DISK = 5e9  # bytes


def disk() -> tuple[bool | None, str, str]:
    """Check the free space of the caches and of the temporary folder."""
    places = {
        "HF_HUB_CACHE": Path(huggingface_hub.constants.HF_HUB_CACHE),
        "HF_DATASETS_CACHE": Path(datasets.config.HF_DATASETS_CACHE),
        "TMPDIR": Path(tempfile.gettempdir()),
    }
    free = {name: shutil.disk_usage(_existing(path)).free for name, path in places.items()}
    found = ", ".join(f"{name} ({places[name]}) {size / 1e9:.1f} GB free" for name, size in free.items())
    little = [name for name, size in free.items() if size < _LITTLE_DISK]
    remedy = f"Free some space, or move {', '.join(little)} to a larger disk." if little else ""
    return not little, found, remedy


def other_hosts(hub: Hub) -> tuple[bool | None, str, str]:
    """Check that no host but the Hub learns what is loaded, and name the proxy."""
    config, constants = datasets.config, huggingface_hub.constants
    contacted = {
        "download counter (s3.amazonaws.com)": config.HF_UPDATE_DOWNLOAD_COUNTS,
        "Parquet export (datasets-server)": config.USE_PARQUET_EXPORT,
        "telemetry": not constants.HF_HUB_DISABLE_TELEMETRY,
    }
    on = [name for name, is_on in contacted.items() if is_on]
    if on:
        remedy = "" if hub.is_public_hub else "Import radikal_datasets after HF_ENDPOINT is set."
        found = f"notified of what is loaded: {', '.join(on)}"
        return (None if hub.is_public_hub else False), found, remedy
    parts = urlsplit(hub.endpoint)
    proxy = None if proxy_bypass(parts.netloc) else getproxies().get(parts.scheme)
    by = f"; the Hub is reached through the proxy {urlsplit(proxy).hostname}" if proxy else ""
    return True, f"none: counter, Parquet export and telemetry are off{by}", ""


def _existing(path: Path) -> Path:
    """Return the closest existing parent folder."""
    return next(folder for folder in (path, *path.absolute().parents) if folder.exists())
