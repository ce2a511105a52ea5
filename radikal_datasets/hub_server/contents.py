"""Responses about files: the tree of a commit, single paths, and their contents."""

from __future__ import annotations

import hashlib
import mimetypes
from typing import Any
from urllib.parse import parse_qs

from starlette.responses import FileResponse, JSONResponse, Response

from .client_faults import RequestError, bad_request, entry_not_found
from .names import check_path
from .repositories import lfs_pointer, when
from .request_context import RequestContext
from .rows import CommitRow, FileRow

_MOST_PATHS = 10_000


def tree(context: RequestContext) -> Response:
    """GET /api/{type}/{repository}/tree/{revision}[/{path}]: files and folders, sorted by path."""
    repository = context.repository()
    commit = context.commit(repository)
    files = context.state.database.files(repository, commit.id)
    folder = context.params.get("path", "").strip("/")
    if folder and (check_path(folder) in files or not any(path.startswith(f"{folder}/") for path in files)):
        raise entry_not_found(folder)
    prefix = f"{folder}/" if folder else ""
    expand = context.flag("expand")
    found: dict[str, dict[str, Any]] = {}
    for path, file in files.items():
        if not path.startswith(prefix):
            continue
        parts = path[len(prefix) :].split("/")
        deepest = len(parts) if context.flag("recursive") else 1
        for depth in range(1, min(deepest, len(parts) - 1) + 1):
            parent = prefix + "/".join(parts[:depth])
            found.setdefault(parent, _folder(parent, commit, expand))
        if len(parts) <= deepest:
            found[path] = _file(file, commit, expand)
    return context.page([found[path] for path in sorted(found)], context.number("limit", 1000, 1000))


def paths_info(context: RequestContext) -> Response:
    """POST /api/{type}/{repository}/paths-info/{revision}: those of the paths that there are."""
    repository = context.repository()
    commit = context.commit(repository)
    paths, expand = _wished_paths(context)
    files = context.state.database.files(repository, commit.id)
    rows = []
    for path in paths:
        if path in files:
            rows.append(_file(files[path], commit, expand))
        elif any(other.startswith(f"{path}/") for other in files):
            rows.append(_folder(path, commit, expand))
    return JSONResponse(rows)


def _wished_paths(context: RequestContext) -> tuple[list[str], bool]:
    """Parse the body: JSON, or a form as huggingface_hub sends it."""
    if context.request.headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
        try:
            form = parse_qs(context.body.decode(), max_num_fields=_MOST_PATHS + 1)
        except ValueError:
            raise bad_request("The form cannot be read.") from None
        paths: object = form.get("paths", [])
        expand = form.get("expand", [""])[0].lower() == "true"
    else:
        data = context.json()
        paths, expand = data.get("paths", []), data.get("expand") is True
    if not isinstance(paths, list) or len(paths) > _MOST_PATHS or not all(isinstance(path, str) for path in paths):
        raise bad_request(f"`paths` must be a list of at most {_MOST_PATHS} strings.")
    return [path.strip("/") for path in paths], expand


def _file(file: FileRow, commit: CommitRow, expand: bool) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": file.path, "size": file.size, "oid": file.oid}
    if file.lfs:
        size = len(lfs_pointer(file.sha256, file.size))
        entry["lfs"] = {"oid": file.sha256, "size": file.size, "pointerSize": size}
    return entry | _last_commit(commit, expand)


def _folder(path: str, commit: CommitRow, expand: bool) -> dict[str, Any]:
    oid = hashlib.sha1(f"{commit.id}/{path}".encode()).hexdigest()
    return {"type": "directory", "path": path, "size": 0, "oid": oid} | _last_commit(commit, expand)


def _last_commit(commit: CommitRow, expand: bool) -> dict[str, Any]:
    # The requested commit, not the one that changed the file: none of our clients needs that.
    last = {"id": commit.id, "title": commit.title, "date": when(commit.created)}
    return {"lastCommit": last, "securityFileStatus": None} if expand else {}


def resolve(context: RequestContext) -> Response:
    """GET and HEAD [/datasets]/{repository}/resolve/{revision}/{path}: the contents, or a range of them."""
    repository = context.repository()
    commit = context.commit(repository)
    path = context.params["path"]
    headers = {"X-Repo-Commit": commit.id}
    file = context.state.database.file(repository, commit.id, path)
    if file is None:
        fault = entry_not_found(path)
        return JSONResponse({"error": fault.message}, 404, headers={**headers, **fault.headers})
    contents = context.state.objects.path(file.sha256)
    if not contents.is_file():
        raise RequestError(
            500, f"The contents of {path} are missing on this Hub's disk. Run `radikal-datasets hub verify`"
        )
    headers["ETag"] = f'"{file.sha256 if file.lfs else file.oid}"'
    # A shared or browser cache must not keep what requires a token, nor display it under this Hub's name.
    headers |= {
        "Cache-Control": "private, no-store",
        "Content-Security-Policy": "sandbox",
        "X-Content-Type-Options": "nosniff",
    }
    if file.lfs:
        headers |= {"X-Linked-Size": str(file.size), "X-Linked-Etag": headers["ETag"]}
    if context.request.headers.get("If-None-Match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    kind = mimetypes.guess_type(path)[0] or "application/octet-stream"
    response = FileResponse(contents, media_type=kind, headers=headers)
    response.chunk_size = 1 << 20
    return response
