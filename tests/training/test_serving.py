"""`serve-model`: the JSON of a watch line for an image over HTTP, and a sentence for everything that is not one."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from tests.training.conftest import ROOT
from tests.training.tiny_onnx import THRESHOLD, write_tiny_onnx
from training.serve_model import main
from training.using import serving
from training.using.predictor import Predictor
from training.using.serving import create_app

BYTES = "application/octet-stream"


def png(level: int, size: tuple[int, int] = (30, 50)) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(buffer, "png")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("served")
    return write_tiny_onnx(folder / "model.onnx"), write_tiny_onnx(folder / "pairs.onnx", pair=True)


def client(file: Any, **options: Any) -> TestClient:
    given = {"token": None, "max_bytes": 1 << 20, "max_requests": 8, **options}
    return TestClient(create_app(Predictor(file), **given))


def test_the_answer_is_the_line_of_a_watched_file(files):
    service, predictor = client(files[0]), Predictor(files[0])
    for level, verdict in ((20, "good"), (200, "bad")):
        image = png(level)
        wanted = {"file": "a b.png", **predictor(image).to_dict()}
        assert wanted["verdict"] == verdict
        for kind in (BYTES, "image/png", "application/x-www-form-urlencoded"):
            got = service.post("/predict?file=a%20b.png", content=image, headers={"Content-Type": kind})
            assert (got.status_code, got.json()) == (200, wanted)
        assert service.post("/predict", content=image).json() == {**wanted, "file": None}
        assert service.post("/predict?file=a%20b.png", files={"image": ("x.png", image)}).json() == wanted
    about = service.get("/health").json()
    assert about == {"status": "ok", "classes": ["dent"], "threshold": THRESHOLD, "pairs": False}


def test_pairs_are_a_form_of_two_files(files):
    service, predictor = client(files[1]), Predictor(files[1])
    noise = np.random.default_rng(0).integers(0, 256, (60, 70), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "bmp")  # with all bytes in it, those of line ends, too
    image, template = buffer.getvalue(), png(10, (60, 70))
    got = service.post("/predict", files={"image": ("i.bmp", image), "reference": ("t.png", template)})
    assert got.json() == {"file": None, **predictor(image, template).to_dict()}
    alone = service.post("/predict", files={"image": ("i.bmp", image)})
    assert alone.status_code == 422 and "no file `reference`" in alone.json()["error"]
    raw = service.post("/predict", content=image, headers={"Content-Type": BYTES})
    assert raw.status_code == 415 and "`image` and `reference`" in raw.json()["error"]
    broken = service.post("/predict", files={"image": ("i.bmp", image), "reference": ("t.png", b"nothing")})
    assert broken.status_code == 422 and "its template, 7 bytes" in broken.json()["error"]


def test_what_is_not_an_image_gets_a_sentence(files):
    service = client(files[0])
    cases = [
        ({"content": b"", "headers": {"Content-Type": BYTES}}, 422, "The body is empty"),
        ({"content": b"text", "headers": {"Content-Type": BYTES}}, 422, "Cannot read 4 bytes as an image"),
        ({"content": png(1)[:60], "headers": {"Content-Type": "image/png"}}, 422, "Cannot read 60 bytes"),
        ({"json": {"image": "..."}}, 415, "application/json. Send the bytes"),
        ({"content": png(1), "headers": {"Content-Encoding": "gzip"}}, 415, "compressed"),
        ({"content": png(1), "headers": {"Content-Type": "multipart/form-data"}}, 415, "no boundary"),
        ({"files": {"picture": ("a.png", png(1))}}, 422, "no file `image`"),
        ({"content": bytes((1 << 20) + 1)}, 413, "more than 1 MiB"),
        ({"content": (bytes(1 << 19) for _ in range(3))}, 413, "more than 1 MiB"),  # without Content-Length
    ]
    for options, status, text in cases:
        got = service.post("/predict?file=a.png", **options)
        assert got.status_code == status and text in got.json()["error"] and got.json()["file"] == "a.png", text
    assert service.get("/predict").status_code == 405
    lost = service.get("/elsewhere")
    assert lost.status_code == 404 and "POST /predict" in lost.json()["error"]
    assert service.post("/predict", content=png(200)).json()["verdict"] == "bad"


def test_a_token_is_needed_where_one_is_set(files):
    service = client(files[0], token="secret-of-the-plant")
    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic secret-of-the-plant"}):
        got = service.post("/predict", content=png(9), headers=headers)
        assert got.status_code == 401 and got.headers["WWW-Authenticate"] == "Bearer" and "Bearer TOKEN" in got.text
        assert service.get("/health", headers=headers).json() == {"status": "ok"}
    headers = {"Authorization": "Bearer secret-of-the-plant"}
    assert service.post("/predict", content=png(9), headers=headers).status_code == 200
    assert service.get("/health", headers=headers).json()["classes"] == ["dent"]


def test_more_requests_than_allowed_are_turned_away_and_the_others_answered(files, monkeypatch):
    predictor, started, go = Predictor(files[0]), threading.Event(), threading.Event()
    at_once: list[int] = []
    running: list[int] = []

    def slow(image, reference=None):
        running.append(1)
        at_once.append(len(running))
        started.set()
        assert go.wait(20)
        running.pop()
        return Predictor.__call__(predictor, image, reference)

    held: Any = type("Held", (), {"__call__": lambda _, *given: slow(*given), "facts": predictor.facts})()
    app = create_app(held, token=None, max_bytes=1 << 20, max_requests=2)
    with TestClient(app) as service, ThreadPoolExecutor(8) as pool:
        posts = [pool.submit(service.post, "/predict", content=png(9))]
        assert started.wait(20)
        posts += [pool.submit(service.post, "/predict", content=png(9)) for _ in range(5)]
        refused = [post for post in posts if not wait_for(post, go, posts)]
        assert [post.result().status_code for post in refused] == [503] * 4
        assert all(post.result().headers["Retry-After"] == "1" for post in refused)
        go.set()
        assert sorted(post.result().status_code for post in posts) == [200] * 2 + [503] * 4
        assert service.post("/predict", content=png(9)).status_code == 200
    assert max(at_once) == 1  # a Predictor serves one thread


def wait_for(post: Any, go: threading.Event, posts: list[Any]) -> bool:
    """Return whether a post is still held when four have been answered."""
    for _ in range(400):
        if sum(one.done() for one in posts) >= 4:
            break
        go.wait(0.05)
    return not post.done()


def test_a_body_that_stalls_gives_its_place_back(files, monkeypatch):
    monkeypatch.setattr(serving, "BODY_SECONDS", 0.05)
    service = serving._Service(Predictor(files[0]), None, 1 << 20, 1)

    async def receive():
        await serving.asyncio.sleep(5)

    scope = {"type": "http", "method": "POST", "path": "/predict", "query_string": b"", "headers": []}
    request = serving.Request(scope, receive)
    with pytest.raises(serving.HTTPException) as stalled:
        serving.asyncio.run(service.predict(request))
    assert stalled.value.status_code == 408 and service._active == 0


def test_settings_that_are_refused(files, tmp_path, capsys):
    (tmp_path / "short").write_text("abc")
    cases = [
        (["--host", "0.0.0.0"], "clients need a token"),
        (["--host", "0.0.0.0", "--token-file", str(tmp_path / "short")], "at least 16"),
        (["--token-file", str(tmp_path / "missing")], "Cannot read --token-file"),
        (["--threshold", "2"], "between 0 and 1"),
        (["--host", "192.0.2.1", "--token-file", str(tmp_path / "token")], "Cannot listen on 192.0.2.1"),
    ]
    (tmp_path / "token").write_text("a" * 32 + "\n")
    for options, text in cases:
        assert main([str(files[0]), "--port", "0", *options]) == 1
        assert text in capsys.readouterr().err
    assert main([str(tmp_path / "missing.onnx")]) == 1


def test_from_the_command_line_until_sigterm(files, tmp_path):
    command = [sys.executable, "-m", "radikal_datasets.cli", "serve-model", str(files[0]), "--port", "0"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    pipes: Any = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, cwd=tmp_path, env=environment, **pipes) as process:
        try:
            address = process.stdout.readline().split()[3].removesuffix(".")
            assert address.startswith("http://127.0.0.1:") and address.endswith("/predict")
            request = urllib.request.Request(address, data=png(200))
            with urllib.request.urlopen(request, timeout=60) as answer:
                assert json.load(answer) == {"file": None, **Predictor(files[0])(png(200)).to_dict()}
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(urllib.request.Request(address, data=b"text"), timeout=60)
            assert refused.value.code == 422 and "no image header" in json.load(refused.value)["error"]
            page = (ROOT / "docs" / "using-a-model.md").read_text(encoding="utf-8")
            (code,) = re.findall(r'```python title="ask.py"\n(.*?)```', page, re.DOTALL)
            code = code.replace("http://127.0.0.1:8000/predict", address)
            image = files[0].with_name("bright.png")
            image.write_bytes(png(200))
            asked = subprocess.run([sys.executable, "-c", code, str(image)], capture_output=True, text=True, check=True)
            assert asked.stdout == f"{image} bad dent\n"
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, errors) == (0, "")
    assert list(tmp_path.iterdir()) == []
