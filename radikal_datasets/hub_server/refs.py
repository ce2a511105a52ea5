"""Responses about the branches, tags and history of a repository."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response

from .client_faults import RequestError, bad_request
from .database import MAIN
from .names import check_new_ref
from .repositories import when
from .request_context import RequestContext
from .rows import RepositoryRow


def refs(context: RequestContext) -> Response:
    """GET /api/{type}/{repository}/refs."""
    repository = context.repository()

    def rows(kind: str, folder: str) -> list[dict[str, str]]:
        found = context.state.database.refs(repository, kind)
        return [{"name": name, "ref": f"refs/{folder}/{name}", "targetCommit": commit} for name, commit in found]

    return JSONResponse({"branches": rows("branch", "heads"), "tags": rows("tag", "tags"), "converts": []})


def create_branch(context: RequestContext) -> Response:
    """POST /api/{type}/{repository}/branch/{revision}."""
    repository, _ = context.own_repository()
    start = context.json().get("startingPoint") or MAIN
    return _create_ref(context, repository, "branch", context.params["revision"], start, "")


def create_tag(context: RequestContext) -> Response:
    """POST /api/{type}/{repository}/tag/{revision}."""
    repository, _ = context.own_repository()
    wish = context.json()
    message = str(wish.get("message") or "")
    return _create_ref(context, repository, "tag", wish.get("tag"), context.params["revision"], message)


def _create_ref(
    context: RequestContext, repository: RepositoryRow, kind: str, name: object, start: object, message: str
) -> Response:
    name = check_new_ref(name)
    commit = context.state.database.resolve(repository, str(start))
    if not context.state.database.set_ref(repository, kind, name, commit.id, message[:1000]):
        raise RequestError(409, f"Reference already exists: {name}")
    return JSONResponse({"name": name, "targetCommit": commit.id})


def delete_branch(context: RequestContext) -> Response:
    """DELETE /api/{type}/{repository}/branch/{revision}."""
    if context.params["revision"] == MAIN:
        raise bad_request(f"The branch {MAIN} cannot be deleted.")
    return _delete_ref(context, "branch")


def delete_tag(context: RequestContext) -> Response:
    """DELETE /api/{type}/{repository}/tag/{revision}."""
    return _delete_ref(context, "tag")


def _delete_ref(context: RequestContext, kind: str) -> Response:
    repository, _ = context.own_repository()
    if not context.state.database.delete_ref(repository, kind, context.params["revision"]):
        raise RequestError(404, f"There is no {kind} {context.params['revision']}", "RevisionNotFound")
    return JSONResponse({})


def history(context: RequestContext) -> Response:
    """GET /api/{type}/{repository}/commits/{revision}."""
    repository = context.repository()
    rows = [
        {
            "id": commit.id,
            "title": commit.title,
            "message": commit.message,
            "authors": [{"user": commit.author}],
            "date": when(commit.created),
        }
        for commit in context.state.database.history(repository, context.commit(repository))
    ]
    return context.page(rows, context.number("limit", 50, 1000))
