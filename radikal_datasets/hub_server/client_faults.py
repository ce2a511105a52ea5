"""The responses to failed requests: a status, and a reason in the headers that Hub clients read."""

from __future__ import annotations

import errno
import sqlite3

INVALID_TOKEN = "Invalid credentials in Authorization header"


class RequestError(Exception):
    """An unsuccessful response.

    Attributes:
        status: HTTP status.
        message: for people, also in `X-Error-Message`.
        code: `X-Error-Code`, by which clients tell a missing repository from a missing file; '' for none.
        extra: additional keys of the JSON body.
    """

    def __init__(self, status: int, message: str, code: str = "", extra: dict[str, object] | None = None):
        super().__init__(message)
        self.status, self.message, self.code, self.extra = status, message, code, extra or {}

    @property
    def headers(self) -> dict[str, str]:
        """The headers, in latin-1 without line breaks, which is all that a header can hold."""
        text = "".join(c if " " <= c <= "~" else "?" for c in self.message)[:500]
        return {"X-Error-Message": text} | ({"X-Error-Code": self.code} if self.code else {})


def bad_request(message: str) -> RequestError:
    """400."""
    return RequestError(400, message)


def repository_not_found(anonymous: bool) -> RequestError:
    """401 for anonymous requests and 404 for users: no one else learns whether a private repository exists."""
    return RequestError(401 if anonymous else 404, "Repository not found", "RepoNotFound")


def revision_not_found(revision: str) -> RequestError:
    """404."""
    return RequestError(404, f"Invalid rev id: {revision}", "RevisionNotFound")


def entry_not_found(path: str) -> RequestError:
    """404."""
    return RequestError(404, f"Entry not found: {path}", "EntryNotFound")


def of_exception(error: BaseException) -> RequestError:
    """Return the response to an unexpected exception."""
    if disk_full(error):
        return RequestError(507, "The Hub's disk is full; nothing of this request is visible")
    if isinstance(error, sqlite3.IntegrityError):  # a row refers to a repository that was deleted in the meantime
        return repository_not_found(anonymous=False)
    if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
        return RequestError(503, "The Hub's database is busy. Try again")
    return RequestError(500, f"Internal error of this Hub ({type(error).__name__}). Its log has the details")


def disk_full(error: BaseException) -> bool:
    """Return whether the operating system or SQLite reports that there is no space left."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return isinstance(error, sqlite3.OperationalError) and "full" in str(error)
