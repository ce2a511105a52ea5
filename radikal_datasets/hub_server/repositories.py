"""Responses about users and repositories: who am I, create, settings, info, list, delete; cards."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import yaml
from starlette.responses import JSONResponse, Response

from .client_faults import RequestError, bad_request
from .database import MAIN
from .names import check_name
from .request_context import TYPES, RequestContext
from .rows import CommitRow, FileRow, RepositoryRow, User

_LONGEST_METADATA = 1 << 20  # a parser in Python takes seconds for it, and anyone may ask
_LFS_POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{sha256}\nsize {size}\n"


class _CardLoader(yaml.SafeLoader):
    """Loader that keeps `<<: [*a, *a]` as it is: if merged, a few lines of it grow without limit."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge nothing."""


_CardLoader.add_constructor("tag:yaml.org,2002:merge", yaml.SafeLoader.construct_yaml_str)


def when(seconds: float) -> str:
    """Format a time as ISO 8601 in UTC, as Hub clients parse it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def lfs_pointer(sha256: str, size: int) -> bytes:
    """Return what git itself would hold in place of a large file."""
    return _LFS_POINTER.format(sha256=sha256, size=size).encode()


def who_am_i(context: RequestContext) -> Response:
    """GET /api/whoami-v2."""
    user = context.user()
    if user is None:
        raise RequestError(401, "Log in first: this needs a token")
    token = {"displayName": "token", "role": user.role}
    return JSONResponse(
        {
            "type": "user",
            "id": user.name,
            "name": user.name,
            "fullname": user.name,
            "isPro": False,
            "orgs": [
                {"type": "org", "id": o, "name": o, "fullname": o, "roleInOrg": "write"} for o in user.organizations
            ],
            "auth": {"type": "access_token", "accessToken": token},
        }
    )


def create(context: RequestContext) -> Response:
    """POST /api/repos/create: private unless `visibility` is "public" or, of older clients, `private` is false."""
    user, wish = context.writer(), context.json()
    type_, namespace, name = _wished(wish, user)
    visibility = wish.get("visibility")
    private = visibility != "public" if visibility is not None else wish.get("private") is not False
    database = context.state.database
    made = database.create(type_, namespace, name, private=private, author=user.name)
    address: dict[str, object] = {
        "url": _address(context, type_, f"{namespace}/{name}"),
        "name": f"{namespace}/{name}",
    }
    if made is None:
        raise RequestError(409, "You already created this repository", extra=address)
    return JSONResponse({**address, "id": str(made.id)})


def delete(context: RequestContext) -> Response:
    """DELETE /api/repos/delete."""
    user = context.writer()
    type_, namespace, name = _wished(context.json(), user)
    found = context.state.database.repository(type_, namespace, name)
    if found is None:
        raise RequestError(404, "Repository not found", "RepoNotFound")
    context.state.database.delete(found)
    return JSONResponse({})


def _wished(wish: dict[str, Any], user: User) -> tuple[str, str, str]:
    """Return type, namespace and name from a body, if they belong to the user."""
    type_ = wish.get("type") or "model"
    if type_ not in TYPES.values():
        raise bad_request(f"This Hub has datasets and models, but no {str(type_)[:40]}.")
    name, namespace = wish.get("name"), wish.get("organization") or user.name
    if isinstance(name, str) and "/" in name:
        namespace, _, name = name.partition("/")
    namespace, name = check_name(namespace), check_name(name)
    if not user.owns(namespace):
        raise RequestError(
            403, f"{namespace} is not a namespace of {user.name}: theirs are {[user.name, *user.organizations]}"
        )
    return type_, namespace, name


def settings(context: RequestContext) -> Response:
    """PUT /api/{type}/{repository}/settings."""
    repository, _ = context.own_repository()
    wish = context.json()
    if wish.get("gated") not in (None, False):
        raise bad_request("This Hub does not support gated repositories, only private ones for members.")
    if "visibility" in wish or "private" in wish:
        visibility = wish.get("visibility")
        private = visibility != "public" if visibility is not None else wish.get("private") is not False
        context.state.database.set_private(repository, private)
        return JSONResponse({"private": private})
    return JSONResponse({"private": repository.private})


def info(context: RequestContext) -> Response:
    """GET /api/{type}/{repository}[/revision/{revision}]."""
    repository = context.repository()
    commit = context.state.database.resolve(repository, context.params.get("revision", MAIN))
    files = context.state.database.files(repository, commit.id)
    blobs = context.flag("blobs")
    siblings = [{"rfilename": path, **(_blob(file) if blobs else {})} for path, file in files.items()]
    return JSONResponse({**_facts(repository, commit), "siblings": siblings})


def _facts(repository: RepositoryRow, commit: CommitRow | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "_id": str(repository.id),
        "id": repository.full_name,
        "author": repository.namespace,
        "private": repository.private,
        "gated": False,
        "disabled": False,
        "createdAt": when(repository.created),
        "downloads": 0,
        "likes": 0,
        "tags": [],
    }
    if repository.type == "model":
        facts["modelId"] = repository.full_name
    if commit is not None:
        facts |= {"sha": commit.id, "lastModified": when(commit.created)}
    return facts


def _blob(file: FileRow) -> dict[str, Any]:
    blob: dict[str, Any] = {"size": file.size, "blobId": file.oid}
    if file.lfs:
        size = len(lfs_pointer(file.sha256, file.size))
        blob["lfs"] = {"sha256": file.sha256, "size": file.size, "pointerSize": size}
    return blob


def list_repositories(context: RequestContext) -> Response:
    """GET /api/{type}: the repositories that the user may read."""
    user, query = context.user(), context.request.query_params
    author, search = query.get("author", "").lower(), query.get("search", "").lower()
    rows = [
        _facts(repository, None)
        for repository in context.state.database.repositories(context.type)
        if (not repository.private or (user and user.owns(repository.namespace)))
        and (not author or repository.namespace.lower() == author)
        and search in repository.full_name.lower()
    ]
    return context.page(rows, context.number("limit", 1000, 1000))


def validate_yaml(context: RequestContext) -> Response:
    """POST /api/validate-yaml: whether the metadata of a card can be read at all."""
    content = context.json().get("content")
    if not isinstance(content, str):
        raise bad_request("`content` is missing.")
    text = content.lstrip("\ufeff").replace("\r\n", "\n")
    problem = ""
    if text.startswith("---\n"):
        metadata, end, _ = text[4:].partition("\n---")
        try:
            if len(metadata) > _LONGEST_METADATA:
                raise RequestError(413, f"The metadata exceeds {_LONGEST_METADATA} characters.")
            data = yaml.load(metadata, Loader=_CardLoader) if end else None
            if data is not None and not isinstance(data, dict):
                problem = "The metadata is not a mapping."
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            problem = f"The metadata is not YAML: {' '.join(str(error).split())[:300]}"
    if problem:
        return JSONResponse({"errors": [{"message": problem}], "warnings": []}, status_code=400)
    return JSONResponse({"errors": [], "warnings": []})


def _address(context: RequestContext, type_: str, full_name: str) -> str:
    return f"{context.base_url}/{'datasets/' if type_ == 'dataset' else ''}{full_name}"
