"""Answer images over HTTP with a trained detector.

radikal-datasets serve-model neu_det.onnx --port 8000
curl --data-binary @image.png http://127.0.0.1:8000/predict

Needs the extra `hub`, and for an ONNX file no torch. See docs/using-a-model.md. Exit code 0: stopped by Ctrl-C or
SIGTERM, after the requests at hand; 1: an error.
"""

from __future__ import annotations

import ipaddress
import signal
import socket
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py
    from training.run.arguments import exit_early

    exit_early("serve-model")

import uvicorn

from radikal_datasets.errors import RadikalError, SettingsError
from training.run.arguments import serve_parser
from training.using.predictor import Predictor
from training.using.serving import create_app

# Requests at hand have this long after a signal.
_STOP_SECONDS = 30


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    known = serve_parser().parse_args(arguments)
    try:
        token = _token(known)
        predictor = Predictor(known.model, threshold=known.threshold)
        listener = _listener(known.host, known.port)
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    app = create_app(predictor, token=token, max_bytes=known.max_mb << 20, max_requests=known.max_requests)
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=_STOP_SECONDS)
    shown = f"[{known.host}]" if ":" in known.host else known.host
    # uvicorn sends the signal again when it has stopped; without a handler, that would be the exit code.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    print(f"{known.model} is at http://{shown}:{listener.getsockname()[1]}/predict. Ctrl-C stops it.", flush=True)
    try:
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 0


def _token(known: Any) -> str | None:
    """Return the token that clients must send; None: none.

    Raises:
        SettingsError: other machines can reach the address, and there is no token; or its file is not usable.
    """
    if known.token_file is None:
        if not _is_loopback(known.host):
            raise SettingsError(
                f"{known.host} can be reached from other machines, so clients need a token. Write a long random one "
                "into a file and pass --token-file FILE, or listen on 127.0.0.1."
            )
        return None
    try:
        token = known.token_file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"Cannot read --token-file {known.token_file}: {error}") from error
    if len(token) < 16 or not token.isascii() or len(token.split()) != 1:
        raise SettingsError(
            f"--token-file {known.token_file} must hold one word of at least 16 ASCII characters. "
            "`openssl rand -hex 32` prints one."
        )
    return token


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SettingsError(
            f"Cannot listen on {host}, port {port}: {reason}. Choose another --host or --port."
        ) from error
    # Connections inherit it. asyncio does not set it for such a socket, and each answer would wait 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


if __name__ == "__main__":
    sys.exit(main())
