"""The server: routes, bodies with a limit, and errors turned into responses that Hub clients understand."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from . import commits, contents, refs, repositories
from .client_faults import RequestError, of_exception
from .content_store import Receiver
from .request_context import MAX_COMMIT, MAX_JSON, TYPES, Handler, RequestContext, State

logger = logging.getLogger(__name__)

# This many bytes are hashed and written at once, outside the event loop.
_BATCH = 4 << 20
_METHODS = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


@dataclass(frozen=True)
class _Rule:
    """A method, and path segments: literal, `{placeholder}` for one, or `{placeholder*}` for all that follow."""

    method: str
    segments: tuple[str, ...]
    handler: Handler
    most: int = MAX_JSON

    def match(self, method: str, segments: list[str]) -> dict[str, str] | None:
        """Return the placeholders' values; None if the path does not match."""
        if method != self.method and not (method == "HEAD" and self.method == "GET"):
            return None
        rest = self.segments[-1].endswith("*}")
        if len(segments) < len(self.segments) or (len(segments) > len(self.segments) and not rest):
            return None
        values = {}
        for number, wanted in enumerate(self.segments):
            if wanted.endswith("*}"):
                values[wanted[1:-2]] = "/".join(segments[number:])
            elif wanted.startswith("{"):
                values[wanted[1:-1]] = segments[number]
            elif wanted != segments[number]:
                return None
        if values.get("type", "models") not in TYPES:
            return None
        return values


def _rules() -> list[_Rule]:
    def rule(call: str, handler: Handler, most: int = MAX_JSON) -> _Rule:
        method, path = call.split()
        return _Rule(method, tuple(path.strip("/").split("/")), handler, most)

    api = "/api/{type}/{namespace}/{name}"
    rules = [
        rule("GET /api/whoami-v2", repositories.who_am_i),
        rule("POST /api/repos/create", repositories.create),
        rule("DELETE /api/repos/delete", repositories.delete),
        rule("POST /api/validate-yaml", repositories.validate_yaml),
        rule("GET /api/{type}", repositories.list_repositories),
        rule(f"GET {api}", repositories.info),
        rule(f"GET {api}/revision/{{revision}}", repositories.info),
        rule(f"PUT {api}/settings", repositories.settings),
        rule(f"GET {api}/refs", refs.refs),
        rule(f"POST {api}/branch/{{revision}}", refs.create_branch),
        rule(f"DELETE {api}/branch/{{revision}}", refs.delete_branch),
        rule(f"POST {api}/tag/{{revision}}", refs.create_tag),
        rule(f"DELETE {api}/tag/{{revision}}", refs.delete_tag),
        rule(f"GET {api}/commits/{{revision}}", refs.history),
        rule(f"GET {api}/tree/{{revision}}", contents.tree),
        rule(f"GET {api}/tree/{{revision}}/{{path*}}", contents.tree),
        rule(f"POST {api}/paths-info/{{revision}}", contents.paths_info),
        rule(f"POST {api}/preupload/{{revision}}", commits.preupload),
        rule(f"POST {api}/commit/{{revision}}", commits.commit, MAX_COMMIT),
    ]
    for prefix in ("/{type}", ""):  # without a type: a model
        rules += [
            rule(f"GET {prefix}/{{namespace}}/{{name}}/resolve/{{revision}}/{{path*}}", contents.resolve),
            rule(f"POST {prefix}/{{namespace}}/{{name}}/info/lfs/objects/batch", commits.lfs_batch),
        ]
    return rules


def create_app(root: Path) -> Starlette:
    """Return the Hub whose data is below `root`, as an ASGI application."""
    state, rules = State.open(root), _rules()
    state.objects.clean()
    endpoint = _Endpoint(state, rules)
    return Starlette(routes=[Route("/{path:path}", endpoint, methods=_METHODS)])


class _Endpoint:
    """Find the handler by the path as sent: `%2F` in a segment is part of a name (docs/hub-protocol.md)."""

    def __init__(self, state: State, rules: list[_Rule]):
        self._state, self._rules = state, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        response = await _guarded(lambda: self._respond(request), request)
        await response(scope, receive, send)

    async def _respond(self, request: Request) -> Response:
        raw = request.scope.get("raw_path") or request.scope["path"].encode()
        segments = [unquote(segment.decode("latin-1")) for segment in raw.split(b"?")[0].strip(b"/").split(b"/")]
        if request.method == "PUT" and segments[0] == "lfs" and len(segments) == 6:
            keys = ("repository", "sha256", "size", "expires", "signature")
            return await self._receive(request, dict(zip(keys, segments[1:], strict=True)))
        if "info" in segments and segments[segments.index("info") - 1].endswith(".git"):
            place = segments.index("info") - 1
            segments[place] = segments[place].removesuffix(".git")
        for rule in self._rules:
            params = rule.match(request.method, segments)
            if params is not None:
                if rule.most > MAX_JSON:  # such large bodies are only kept in memory for those who may change it
                    await run_in_threadpool(RequestContext(self._state, request, params, b"").own_repository)
                body = await _body(request, rule.most)
                return await run_in_threadpool(rule.handler, RequestContext(self._state, request, params, body))
        raise RequestError(404, f"This Hub has nothing at {request.url.path[:200]}")

    async def _receive(self, request: Request, params: dict[str, str]) -> Response:
        """PUT of an object, to an address that `lfs_batch` signed."""
        repository, sha256, size = await run_in_threadpool(commits.signed_upload, self._state, params)
        with Receiver(self._state.objects, sha256, size) as receiver:
            batch, writing = bytearray(), asyncio.ensure_future(run_in_threadpool(receiver.write, b""))
            try:
                async for chunk in request.stream():
                    batch += chunk
                    if len(batch) >= _BATCH:  # written while the next one arrives
                        await writing
                        writing = asyncio.ensure_future(run_in_threadpool(receiver.write, batch))
                        batch = bytearray()
            finally:
                await writing
            await run_in_threadpool(receiver.write, batch)
            await run_in_threadpool(receiver.finish)
        await run_in_threadpool(self._state.database.note_upload, repository, sha256, size)
        return Response(status_code=200)


async def _body(request: Request, most: int) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > most:
            raise RequestError(413, f"The body exceeds {most} bytes.")
    return bytes(body)


async def _guarded(call: Callable[[], Awaitable[Response]], request: Request) -> Response:
    """Return the response, or the one for an error, a full disk or a client that disconnected."""
    try:
        return await call()
    except RequestError as fault:
        return JSONResponse({"error": fault.message, **fault.extra}, fault.status, headers=fault.headers)
    except ClientDisconnect:
        return Response(status_code=400)
    except Exception as error:
        fault = of_exception(error)
        if fault.status == 500:
            logger.exception("%s %s", request.method, request.url.path)
        else:
            logger.error("%s %s: %s", request.method, request.url.path, fault.message)
        return JSONResponse({"error": fault.message}, fault.status, headers=fault.headers)
