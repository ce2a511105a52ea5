"""Transfer files to a Hub that may be busy, old or far away: bounded retries, xet or LFS, progress in bytes."""

from __future__ import annotations

import importlib.util
import io
import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import BinaryIO, TypeVar
from urllib.parse import urlsplit

import datasets
from huggingface_hub import CommitOperationAdd, constants
from huggingface_hub.utils import (
    are_progress_bars_disabled,
    build_hf_headers,
    disable_progress_bars,
    enable_progress_bars,
    get_session,
)

from .client_errors import connection_failed, status_of
from .endpoint import Hub

logger = logging.getLogger(__name__)

Result = TypeVar("Result")
_bound: ContextVar[float | None] = ContextVar("_bound", default=None)  # seconds, see `bounded_requests`

#: Someone else committed first (412), or is about to (409): worth many short waits.
CONFLICT = frozenset({409, 412})
#: The Hub is overloaded or restarting, or its proxy is.
BUSY = frozenset({408, 429, 500, 502, 503, 504})
CONFLICT_ATTEMPTS = 40
BUSY_ATTEMPTS = 8
_LONGEST_WAIT = 20.0  # seconds
_TIMEOUT = 10.0  # seconds


def retrying(call: Callable[[], Result], *, what: str, sleep: Callable[[float], None] = time.sleep) -> Result:
    """Call until it succeeds, with growing random waits if another attempt may help; a bounded number of times.

    The clients' own retries do not cover a commit (one 503 ends it), and those of datasets 5.2 for 409 and 412 never
    run (docs/hub-protocol.md). `call` must read again whatever a conflict invalidates.

    Args:
        call: what to do.
        what: for the log: "commit", say.
        sleep: takes seconds.

    Raises:
        Exception: the last one, or the first that no other attempt would fix.
    """
    conflicts = troubles = 0
    while True:
        _bound_session()
        try:
            return call()
        except Exception as error:
            status = status_of(error)
            if status in CONFLICT:
                conflicts += 1
                again, wait = conflicts < CONFLICT_ATTEMPTS, random.uniform(0.05, 0.2) * min(conflicts, 10)
            elif status in BUSY or (status is None and connection_failed(error)):
                troubles += 1
                again, wait = troubles < BUSY_ATTEMPTS, random.uniform(0.5, 1.0) * 2**troubles / 2
            else:
                raise
            if not again:
                raise
            wait = min(max(wait, _retry_after(error)), _LONGEST_WAIT)
            logger.info("%s: %s, retrying in %.1f s", what, status or type(error).__name__, wait)
            sleep(wait)


def _retry_after(error: BaseException) -> float:
    response = getattr(error, "response", None)
    seconds = response.headers.get("Retry-After", "") if response is not None else ""
    return float(seconds) if seconds.isdigit() else 0.0


def xet_turned_off() -> bool:
    """Whether the user did so; the constant of huggingface_hub is also set by `endpoint.stay_at_endpoint`."""
    return os.environ.get("HF_HUB_DISABLE_XET", "").upper() in constants.ENV_VARS_TRUE_VALUES


def takes_xet(hub: Hub, repo_id: str, repo_type: str = "dataset") -> bool:
    """Return whether large files go to this Hub by xet; otherwise they must go by LFS.

    huggingface_hub 2.4 never asks and fails at a Hub without xet, and no self-hosted Hub is known to have it
    (docs/hub-protocol.md). A storage server on another host than the Hub's counts as no xet: nothing is sent to a host
    that no one configured.
    """
    if xet_turned_off() or importlib.util.find_spec("hf_xet") is None:
        return False
    url = f"{hub.endpoint}/api/{repo_type}s/{repo_id}/xet-write-token/main"
    headers = build_hf_headers(token=hub.token or False)
    response = get_session().get(url, headers=headers, timeout=_TIMEOUT)
    store = response.headers.get("X-Xet-Cas-Url", "")
    if not response.is_success or not store:
        return False
    return hub.is_public_hub or urlsplit(store).hostname == urlsplit(hub.endpoint).hostname


@contextmanager
def large_files_by(*, xet: bool) -> Iterator[None]:
    """Set the one switch that huggingface_hub has for the transfer of large files, and restore it.

    For LFS, its own progress bars are off in the meantime: they count files, while `CountedUpload` counts bytes.
    """
    before, shown = constants.HF_HUB_DISABLE_XET, not are_progress_bars_disabled()
    constants.HF_HUB_DISABLE_XET = not xet
    if shown and not xet:
        disable_progress_bars()
    try:
        yield
    finally:
        constants.HF_HUB_DISABLE_XET = before
        if shown and not xet:
            enable_progress_bars()


@contextmanager
def bounded_requests(seconds: float) -> Iterator[None]:
    """Give the clients' requests a timeout if they have none; they would wait forever."""
    before, bound = get_session().timeout, _bound.set(seconds)
    _bound_session()
    try:
        yield
    finally:
        _bound.reset(bound)
        get_session().timeout = before


def _bound_session() -> None:
    # huggingface_hub creates a new client after each failed connection: `retrying` sets it again.
    seconds = _bound.get()
    if seconds is not None:
        get_session().timeout = seconds


class CountedUpload(CommitOperationAdd):
    """A file to commit whose sha256 is already known, and whose bytes move a progress bar while they are read.

    Args:
        path_in_repo, path: its path in the repository, and the local file.
        sha256: of the file, in hex: not computed again.
        bar: a tqdm bar in bytes, or None.
    """

    def __init__(self, path_in_repo: str, path: str, sha256: str, bar: datasets.utils.tqdm | None = None):
        super().__init__(path_in_repo, path)
        self.upload_info.sha256 = bytes.fromhex(sha256)
        self._bar = bar
        self._counted = 0

    @contextmanager
    def as_file(self, with_tqdm: bool = False) -> Iterator[BinaryIO]:
        """As in huggingface_hub; one bar for all files instead of one each."""
        with _CountedReader(io.FileIO(str(self.path_or_fileobj)), self._count if with_tqdm else None) as file:
            yield file

    def _count(self, position: int) -> None:
        # Bytes that are read again after a failure do not count again.
        if self._bar is not None and position > self._counted:
            self._bar.update(position - self._counted)
            self._counted = position


class _CountedReader(io.BufferedReader):
    """A binary file that reports how far it has been read."""

    def __init__(self, raw: io.FileIO, count: Callable[[int], None] | None):
        super().__init__(raw)
        self._count, self._position = count, 0  # `tell` would ask the operating system each time

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self._position += len(data)
        if self._count is not None:
            self._count(self._position)
        return data

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        self._position = super().seek(offset, whence)
        return self._position
