"""Responses that change contents: which files are large, where to send them, and the commit that publishes them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Iterator
from typing import Any

from starlette.responses import JSONResponse, Response

from .client_faults import RequestError, bad_request, entry_not_found
from .database import insert_commit
from .names import check_path, check_sha256, check_size, short_ref
from .repositories import lfs_pointer
from .request_context import RequestContext, State, parse_json
from .rows import FileRow, RepositoryRow

# Clients rely on Parquet being large at any size (docs/hub-protocol.md); the rest as in git.
_LARGE_SUFFIXES = (".parquet", ".arrow", ".safetensors", ".bin", ".pt", ".onnx", ".zip", ".tar", ".gz", ".npz", ".npy")
_LARGE_BYTES = 1 << 20
_LINK_SECONDS = 6 * 3600
_MOST_FILES = 10_000
_MOST_LINES = 200_000


def preupload(context: RequestContext) -> Response:
    """POST /api/{type}/{repository}/preupload/{revision}: which files go by LFS, and which already exist."""
    repository, _ = context.own_repository()
    commit = context.commit(repository)
    rows = []
    for wish in _list(context.json(), "files"):
        path, size = check_path(wish.get("path")), check_size(wish.get("size"))
        large = size > 0 and (
            path.lower().endswith(_LARGE_SUFFIXES) or size > _LARGE_BYTES or _is_binary(wish.get("sample"))
        )
        there = context.state.database.file(repository, commit.id, path)
        if there is None or context.state.sent_size(repository, there.sha256) is None:
            oid = None
        else:
            oid = there.sha256 if there.lfs else there.oid
        mode = "lfs" if large else "regular"
        rows.append({"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid})
    return JSONResponse({"files": rows, "commitOid": commit.id})


def _is_binary(sample: object) -> bool:
    """Return whether the first 512 bytes do not look like text."""
    try:
        data = base64.b64decode(sample or "", validate=False) if isinstance(sample, str) else b""
        data.decode()
    except UnicodeDecodeError as error:
        return error.end < len(data)  # a character may be cut at the end of the sample
    except (binascii.Error, ValueError):
        return True
    return b"\0" in data


def lfs_batch(context: RequestContext) -> Response:
    """POST [/datasets]/{repository}.git/info/lfs/objects/batch: an address for each object that is to be sent."""
    repository, _ = context.own_repository()
    wish = context.json()
    if wish.get("operation") != "upload":
        raise bad_request("Only uploads use LFS here. Read files from /resolve/.")
    rows: list[dict[str, Any]] = []
    for item in _list(wish, "objects"):
        sha256, size = check_sha256(item.get("oid")), check_size(item.get("size"))
        row: dict[str, Any] = {"oid": sha256, "size": size}
        if context.state.sent_size(repository, sha256) is None:
            expires = int(time.time()) + _LINK_SECONDS
            signature = sign(context.state, repository.id, sha256, size, expires)
            address = f"{context.base_url}/lfs/{repository.id}/{sha256}/{size}/{expires}/{signature}"
            row["actions"] = {"upload": {"href": address, "header": {}}}
        rows.append(row)
    return JSONResponse({"transfer": "basic", "objects": rows, "hash_algo": "sha256"})


def sign(state: State, repository: int, sha256: str, size: int, expires: int) -> str:
    """Return the signature of an upload address: clients send no token there (docs/hub-protocol.md)."""
    text = f"{repository}/{sha256}/{size}/{expires}"
    return hmac.new(state.database.secret, text.encode(), "sha256").hexdigest()


def signed_upload(state: State, params: dict[str, str]) -> tuple[RepositoryRow, str, int]:
    """Return the repository, sha256 and size for which an upload address was signed.

    Raises:
        RequestError: 403, not signed by us or expired; 404, the repository no longer exists.
    """
    sha256, size, expires = params["sha256"], params["size"], params["expires"]
    numbers = (params["repository"], size, expires)
    if not all(number.isascii() and number.isdecimal() and len(number) < 18 for number in numbers):
        raise RequestError(403, "This is not an upload address of this Hub.")
    wanted = sign(state, int(params["repository"]), sha256, int(size), int(expires))
    if not hmac.compare_digest(wanted.encode(), params["signature"].encode()) or int(expires) < time.time():
        raise RequestError(403, "This is not an upload address of this Hub, or it has expired. Request a new one.")
    repository = state.database.repository_by_id(int(params["repository"]))
    if repository is None:
        raise RequestError(404, "Repository not found", "RepoNotFound")
    return repository, check_sha256(sha256), int(size)


def commit(context: RequestContext) -> Response:
    """POST /api/{type}/{repository}/commit/{revision}: all of it becomes visible at once, or nothing does."""
    repository, user = context.own_repository()
    if context.flag("create_pr"):
        raise bad_request("This Hub does not support pull requests. Push to a branch.")
    header, changes = _read(context.body)
    state, branch = context.state, short_ref(context.params["revision"])
    added = [_stored(state, repository, change) for change in changes if change["key"] in ("file", "lfsFile")]
    title, message = str(header.get("summary") or "commit")[:500], str(header.get("description") or "")[:10_000]
    with state.database.writing() as connection:
        if branch not in {name for name, _ in state.database.refs(repository, "branch")}:
            raise RequestError(404, f"Invalid rev id: {branch}", "RevisionNotFound")
        tip = state.database.resolve(repository, f"refs/heads/{branch}")
        parent = header.get("parentCommit")
        if parent is not None and parent != tip.id:
            raise RequestError(
                412, f"A commit has happened since. The tip of {branch} is {tip.id}, not {str(parent)[:40]}."
            )
        files = dict(state.database.files(repository, tip.id))
        for change in changes:
            _remove(change, files)
        files |= {file.path: file for file in added}
        _check_tree(files)
        made = insert_commit(
            connection, repository, tip, branch, title, message, user.name, dict(sorted(files.items()))
        )
        connection.executemany(
            "INSERT OR IGNORE INTO uploads VALUES (?, ?, ?)", [(repository.id, f.sha256, f.size) for f in added]
        )
    prefix = "datasets/" if repository.type == "dataset" else ""
    address = f"{context.base_url}/{prefix}{repository.full_name}/commit/{made.id}"
    return JSONResponse({"success": True, "commitOid": made.id, "commitUrl": address, "hookOutput": ""})


def _read(body: bytes) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Parse header and changes from a body of JSON lines."""
    header: dict[str, Any] = {}
    changes: list[dict[str, Any]] = []
    lines = body.split(b"\n")
    if len(lines) > _MOST_LINES:
        raise RequestError(413, f"One commit may contain at most {_MOST_LINES} changes.")
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = parse_json(line)
            key, value = data["key"], data["value"]
        except (ValueError, KeyError, TypeError, RecursionError):
            raise bad_request(f"Line {number} of the commit is not an object with `key` and `value`.") from None
        if key not in ("header", "file", "lfsFile", "deletedFile", "deletedFolder") or not isinstance(value, dict):
            raise bad_request(f"Line {number} of the commit has the unknown key {str(key)[:40]!r}.")
        if key == "header":
            header = value
        else:
            path = value.get("path")
            changes.append(
                {**value, "key": key, "path": check_path(path.rstrip("/") if isinstance(path, str) else path)}
            )
    return header, changes


def _stored(state: State, repository: RepositoryRow, change: dict[str, Any]) -> FileRow:
    """Store an added file: its contents are on disk before the commit is."""
    path = change["path"]
    if change["key"] == "lfsFile":
        sha256 = check_sha256(change.get("oid"))
        size = state.sent_size(repository, sha256)
        if size is None:
            raise bad_request(f"{path} names the object {sha256}, which was never sent to {repository.full_name}.")
        return FileRow(path, sha256, size, True, _git_oid(lfs_pointer(sha256, size)))
    content = change.get("content")
    if not isinstance(content, str):
        raise bad_request(f"{path} has no content.")
    if change.get("encoding", "utf-8") == "base64":
        try:
            data = base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError):
            raise bad_request(f"The content of {path} is not base64.") from None
    else:
        data = content.encode("utf-8", "surrogatepass")
    return FileRow(path, state.objects.add(data), len(data), False, _git_oid(data))


def _remove(change: dict[str, Any], files: dict[str, FileRow]) -> None:
    path = change["path"]
    if change["key"] == "deletedFile" and files.pop(path, None) is None:
        raise entry_not_found(path)
    if change["key"] == "deletedFolder":
        below = [other for other in files if other.startswith(f"{path}/")]
        if not below:
            raise entry_not_found(path)
        for other in below:
            del files[other]


def _check_tree(files: dict[str, FileRow]) -> None:
    for path in files:
        for folder in _parents(path):
            if folder in files:
                raise bad_request(f"{folder} would be both a file and a folder.")


def _parents(path: str) -> Iterator[str]:
    parts = path.split("/")
    return ("/".join(parts[:depth]) for depth in range(1, len(parts)))


def _list(data: dict[str, Any], key: str) -> list[dict[str, Any]]:
    rows = data.get(key)
    if not isinstance(rows, list) or len(rows) > _MOST_FILES or not all(isinstance(row, dict) for row in rows):
        raise bad_request(f"`{key}` must be a list of at most {_MOST_FILES} objects.")
    return rows


def _git_oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
