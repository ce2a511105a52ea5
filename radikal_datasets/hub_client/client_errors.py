"""Interpret the errors of Hub clients: the HTTP status and the Hub's own words, or no answer; and what to do."""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass, replace

from huggingface_hub.errors import GatedRepoError, OfflineModeIsEnabled, RevisionNotFoundError

from ..errors import HubAccessError, HubError, HubUnavailableError

_CUT_CONNECTIONS = (ConnectionResetError, ConnectionRefusedError, ConnectionAbortedError, BrokenPipeError)


def chain_of(error: BaseException) -> list[BaseException]:
    """Return an error and its causes, the root cause last; bounded, since chains can be cyclic."""
    chain: list[BaseException] = []
    seen: BaseException | None = error
    while seen is not None and len(chain) < 10:
        chain.append(seen)
        seen = seen.__cause__ or seen.__context__
    return chain


def status_of(error: BaseException) -> int | None:
    """Return the HTTP status of an error, which clients wrap in others; None if there was no answer at all."""
    for link in chain_of(error):
        response = getattr(link, "response", None)
        if response is not None and isinstance(getattr(response, "status_code", None), int):
            return response.status_code
        if _is_cut(link):  # beyond it is what was being handled: an earlier answer, to another request
            return None
    return None


def connection_failed(error: BaseException) -> bool:
    """Return whether the connection was cut or refused or timed out, however deeply the client has wrapped it."""
    if status_of(error) is not None:
        return False
    for link in chain_of(error):
        if isinstance(link, OfflineModeIsEnabled):
            return False
        if isinstance(link, ConnectionError) or _is_cut(link):
            return True
    return False


def _is_cut(link: BaseException) -> bool:
    """Return whether the network raised it, or another thread's cut connection ended the request.

    huggingface_hub closes the one client of all threads when a connection fails.
    """
    if isinstance(link, OfflineModeIsEnabled):
        return False
    if isinstance(link, (TimeoutError, socket.gaierror, ssl.SSLError)) or type(link) in _CUT_CONNECTIONS:
        return True
    if isinstance(link, RuntimeError) and "client has been closed" in str(link):
        return True
    return type(link).__module__.partition(".")[0] in ("httpx2", "httpcore2", "httpx", "httpcore", "aiohttp")


@dataclass(frozen=True)
class Reading:
    """The interpretation of a client error.

    Attributes:
        kind: our class for it.
        found: what the Hub answered, in its own words, or that it did not answer.
        remedy: what to do; a sentence without its period.
    """

    kind: type[HubError]
    found: str
    remedy: str


_NOT_THERE = Reading(
    HubAccessError,
    "there is no such repository, or this user may not access it (a Hub does not say which)",
    "Check the name, or ask its owner for access",
)
_NO_TOKEN = Reading(
    HubAccessError,
    "there is no such repository, or it requires a login (a Hub does not say which)",
    "Log in (hf auth login) or set HF_TOKEN",
)
_WRONG_TOKEN = Reading(HubAccessError, "the token is not valid there", "Create a new one and set it")
_NO_REVISION = Reading(
    HubAccessError,
    "there is no such branch, tag or commit",
    "Check its name; if none is given, the main branch is used",
)
_GATED = Reading(HubAccessError, "the repository is gated: its owner must grant access", "Request access on its page")
_OFFLINE = Reading(
    HubUnavailableError, "offline mode is on (HF_HUB_OFFLINE or HF_DATASETS_OFFLINE)", "Unset it to ask the Hub"
)
_BY_STATUS = {
    403: Reading(
        HubAccessError,
        "this user or token lacks the permission (a token with the role `read`, or a namespace that is not theirs)",
        "Use a token with the role `write`, of a member of the namespace",
    ),
    404: _NOT_THERE,
    409: Reading(HubError, "someone else is changing it at the same time", "Try again"),
    412: Reading(HubError, "someone else changed it in the meantime", "Try again"),
    413: Reading(HubError, "the request body is too large", "Raise the limit of the Hub or of its proxy"),
    429: Reading(HubUnavailableError, "too many requests", "Wait a while and try again"),
    507: Reading(HubError, "the Hub's disk is full", "Free some space there; what has arrived is not sent again"),
}


def read_error(cause: BaseException, token_sent: bool) -> Reading:
    """Interpret a client error.

    Args:
        cause: the error.
        token_sent: a 401 to a request with a token is about the token; to one without, about its absence.
    """
    chain = chain_of(cause)
    status = status_of(cause)
    reading = _read(chain, status, token_sent)
    found = reading.found if status is None else f"{reading.found} (HTTP {status})"
    said = _said(chain)
    return replace(reading, found=f'{found}; the Hub says: "{said}"' if said else found)


def _read(chain: list[BaseException], status: int | None, token_sent: bool) -> Reading:
    if any(isinstance(link, OfflineModeIsEnabled) for link in chain):
        return _OFFLINE
    if any(isinstance(link, RevisionNotFoundError) for link in chain):
        return _NO_REVISION
    if any(isinstance(link, GatedRepoError) for link in chain):
        return _GATED
    if status is None:
        if connection_failed(chain[0]):
            return Reading(HubUnavailableError, f"no answer ({_first_cause(chain)})", _remedy_of_silence(chain))
        # By its name: importing `datasets` here would be a circle while `datasets` itself is being imported.
        if any(type(link).__name__ == "DatasetNotFoundError" for link in chain):
            return _NOT_THERE
        return Reading(HubError, _first_line(chain[0]), "Run `radikal-datasets doctor` to check the Hub")
    if status == 401:
        return _WRONG_TOKEN if token_sent else _NO_TOKEN
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if status >= 500:
        return Reading(HubUnavailableError, "the Hub has an internal error", "Try again; its log has the details")
    return Reading(HubError, "the Hub refused the request", "Run `radikal-datasets doctor` to check it")


def _said(chain: list[BaseException]) -> str:
    """Return the Hub's own words, from the header `X-Error-Message` or the body, in one line."""
    for link in chain:
        if words := getattr(link, "server_message", None):
            return " ".join(str(words).split())[:300]
    return ""


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}".rstrip(".")[:300]


def _first_cause(chain: list[BaseException]) -> str:
    return next((_first_line(link) for link in reversed(chain) if str(link)), type(chain[-1]).__name__)


def _remedy_of_silence(chain: list[BaseException]) -> str:
    text = " ".join(str(link) for link in chain).lower()
    if "certificate" in text:
        return "Its certificate is not trusted: set SSL_CERT_FILE to the file of your certificate authority"
    if "ssl" in text:
        return "HF_ENDPOINT starts with https://: check that the Hub supports TLS on this port"
    if any(isinstance(link, socket.gaierror) for link in chain):
        return "The host name is unknown: check HF_ENDPOINT"
    if any(isinstance(link, TimeoutError) or "Timeout" in type(link).__name__ for link in chain):
        return "The request timed out: check the network, the Hub's load, and the proxy (HTTPS_PROXY, NO_PROXY)"
    return "Check that the Hub is running, HF_ENDPOINT, and the proxy (HTTPS_PROXY, NO_PROXY)"
