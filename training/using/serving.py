"""Answer images over HTTP with a `Predictor`: the application behind `serve-model`. Images are never stored."""

from __future__ import annotations

import asyncio
import hmac
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from radikal_datasets.errors import ImageFileError
from training.using.prediction import Prediction
from training.using.predictor import Predictor

#: Seconds in which a body must arrive: a client that stalls would keep its place among the `max_requests`.
BODY_SECONDS = 30.0
# What `curl --data-binary` says of any file is the last of these.
_RAW = ("", "application/octet-stream", "application/x-www-form-urlencoded")
_HOW = "Send the bytes of an image file as the body, with Content-Type: application/octet-stream"
_HOW_PAIRS = "Send multipart/form-data with the files `image` and `reference`, its defect-free template"
_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.I)
_NAME = re.compile(rb'name="?([^";\r\n]+)"?', re.I)


def create_app(predictor: Predictor, *, token: str | None, max_bytes: int, max_requests: int) -> Starlette:
    """Return the ASGI application.

    Args:
        token: what clients send as `Authorization: Bearer TOKEN`; None: nothing is asked for.
        max_bytes: of a body.
        max_requests: requests that are received, wait or are predicted at a time; more get status 503.
    """
    service = _Service(predictor, token, max_bytes, max_requests)
    routes = [
        Route("/predict", service.predict, methods=["POST"]),
        Route("/health", service.health, methods=["GET"]),
    ]
    handlers: Any = {HTTPException: _refused}
    return Starlette(routes=routes, exception_handlers=handlers)


class _Service:
    def __init__(self, predictor: Predictor, token: str | None, max_bytes: int, max_requests: int) -> None:
        self._predictor, self._token = predictor, token
        self._max_bytes, self._max_requests, self._active = max_bytes, max_requests, 0
        self._pair = predictor.facts.channels == "pair"
        self._thread = ThreadPoolExecutor(1)  # a Predictor serves one thread

    async def health(self, request: Request) -> Response:
        """GET /health: the server runs; with the token, what the model finds."""
        about = {"classes": self._predictor.class_names, "threshold": self._predictor.threshold, "pairs": self._pair}
        return JSONResponse({"status": "ok", **(about if self._allowed(request) else {})})

    async def predict(self, request: Request) -> Response:
        """POST /predict: the line that `predict --watch` writes, for the image in the body."""
        if not self._allowed(request):
            message = "This server needs its token. Send it as Authorization: Bearer TOKEN."
            raise HTTPException(401, message, {"WWW-Authenticate": "Bearer"})
        self._check_type(request)
        if self._active >= self._max_requests:
            message = f"{self._active} images are being processed, which is the most. Try again in a second."
            raise HTTPException(503, message, {"Retry-After": "1"})
        self._active += 1
        try:
            image, reference = self._files(request, await self._body(request))
            loop = asyncio.get_running_loop()
            found: Prediction = await loop.run_in_executor(self._thread, self._predictor, image, reference)
        except ImageFileError as error:
            raise HTTPException(422, str(error)) from error
        finally:
            self._active -= 1
        return JSONResponse({"file": request.query_params.get("file"), **found.to_dict()})

    def _allowed(self, request: Request) -> bool:
        if self._token is None:
            return True
        kind, _, given = request.headers.get("authorization", "").partition(" ")
        return kind.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), self._token.encode())

    def _check_type(self, request: Request) -> None:
        how = _HOW_PAIRS if self._pair else _HOW
        if request.headers.get("content-encoding", "identity") != "identity":
            raise HTTPException(415, f"The body is compressed (Content-Encoding), which is not supported. {how}.")
        kind = _kind(request)
        if kind == "multipart/form-data":
            if _BOUNDARY.search(request.headers["content-type"]) is None:
                raise HTTPException(415, f"The Content-Type of the form has no boundary. {how}.")
        elif self._pair or not (kind in _RAW or kind.startswith("image/")):
            raise HTTPException(415, f"The Content-Type is {kind[:80] or 'missing'}. {how}.")

    async def _body(self, request: Request) -> bytes:
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()
        body = bytearray()
        try:
            async with asyncio.timeout(BODY_SECONDS):
                async for chunk in request.stream():
                    body += chunk
                    if len(body) > self._max_bytes:
                        raise self._too_large()
        except TimeoutError as error:
            raise HTTPException(408, f"The body did not arrive within {BODY_SECONDS:g} seconds.") from error
        except ClientDisconnect as error:
            raise HTTPException(400, "The connection was closed before the body was complete.") from error
        return bytes(body)

    def _too_large(self) -> HTTPException:
        message = f"The body has more than {self._max_bytes / 2**20:g} MiB. Send a smaller image, or raise --max-mb."
        return HTTPException(413, message, {"Connection": "close"})  # the rest of the body is not read

    def _files(self, request: Request, body: bytes) -> tuple[bytes, bytes | None]:
        """Return the image and its template."""
        if _kind(request) != "multipart/form-data":
            if not body:
                raise HTTPException(422, f"The body is empty. {_HOW}.")
            return body, None
        found = _BOUNDARY.search(request.headers["content-type"])
        files = _parts(body, found[1].encode("latin-1") if found else b"")
        names = ("image", "reference") if self._pair else ("image",)
        missing = [name for name in names if name not in files]
        if missing:
            raise HTTPException(422, f"The form has no file `{missing[0]}`. {_HOW_PAIRS if self._pair else _HOW}.")
        return files["image"], files.get("reference")


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _parts(body: bytes, boundary: bytes) -> dict[str, bytes]:
    """Return the contents of a form by name (RFC 7578), as they are."""
    files = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + boundary)[1:]:
        headers, blank, content = part.partition(b"\r\n\r\n")
        for line in headers.split(b"\r\n"):
            name = _NAME.search(line.partition(b";")[2])
            if blank and name and line.lower().startswith(b"content-disposition"):
                files[name[1].decode("latin-1")] = content
    return files


def _refused(request: Request, error: HTTPException) -> Response:
    message = error.detail
    if error.status_code in (404, 405):
        message = f"There is no {request.method} {request.url.path[:80]} here, but POST /predict and GET /health."
    line = {"file": request.query_params.get("file"), "error": message}
    return JSONResponse(line, error.status_code, headers=error.headers)
