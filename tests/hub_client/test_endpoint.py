from __future__ import annotations

import logging
import os
import pickle
import shutil
import socket
import ssl
import subprocess
import sys
import traceback
import types
from collections.abc import Iterator
from pathlib import Path

import datasets
import huggingface_hub
import pytest
from huggingface_hub import constants
from huggingface_hub.errors import HfHubHTTPError

from radikal_datasets.errors import HubAccessError, HubError, HubUnavailableError
from radikal_datasets.hub_client import endpoint
from radikal_datasets.hub_client.client_errors import status_of
from radikal_datasets.hub_client.endpoint import Hub, hub_name, hub_repo, stay_at_endpoint
from tests.hub.fake import Answer, fake_hub, front, make_authority, offline, use_hub

TOKEN = "hf_averysecrettoken"
REPO = "plant/castings"


@pytest.fixture(autouse=True)
def _fresh_client() -> Iterator[None]:
    """The client reads certificates and proxies once, when it is created."""
    huggingface_hub.close_session()
    yield
    huggingface_hub.close_session()


# ---- which Hub, which user ----


@pytest.mark.parametrize("written", ["http://hub.plant", "http://hub.plant/", "http://hub.plant// "])
def test_a_trailing_slash_is_harmless_in_every_library(written: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, written)
    stay_at_endpoint()
    assert os.environ["HF_ENDPOINT"] == hub_name() == Hub.current().endpoint == "http://hub.plant"
    assert constants.ENDPOINT == datasets.config.HF_ENDPOINT == huggingface_hub.hf_api.api.endpoint == hub_name()
    resolved = datasets.config.HUB_DATASETS_URL.format(repo_id=REPO, revision="main", path="x")
    assert resolved == "http://hub.plant/datasets/plant/castings/resolve/main/x"
    assert huggingface_hub.hf_hub_url(REPO, "x", repo_type="dataset") == resolved
    assert not datasets.config.USE_PARQUET_EXPORT
    assert not datasets.config.HF_UPDATE_DOWNLOAD_COUNTS


def test_evaluate_is_kept_there_too_if_it_was_imported_first(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, "http://hub.plant/")
    config = types.ModuleType("evaluate.config")  # the real one imports torch
    vars(config).update(HF_ENDPOINT="x", HUB_EVALUATE_URL="x", HF_UPDATE_DOWNLOAD_COUNTS=True)
    monkeypatch.setitem(sys.modules, "evaluate.config", config)
    stay_at_endpoint()
    assert config.HF_ENDPOINT == "http://hub.plant"
    assert config.HUB_EVALUATE_URL.startswith("http://hub.plant/spaces/")
    assert not config.HF_UPDATE_DOWNLOAD_COUNTS


def test_a_card_is_validated_by_this_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """huggingface_hub 1.33 sends it to huggingface.co, whatever HF_ENDPOINT says."""
    answers = [(200, {}, {"warnings": [], "errors": []}), (400, {}, {"errors": [{"message": "no such license"}]})]
    with fake_hub(lambda *_: answers.pop(0)) as hub:
        use_hub(monkeypatch, hub.url)
        stay_at_endpoint()
        card = huggingface_hub.DatasetCard("---\nlicense: mit\n---\n")
        card.validate()
        with pytest.raises(ValueError, match="no such license"):
            card.validate()
        assert [(method, path) for method, path, _ in hub.asked] == [("POST", "/api/validate-yaml")] * 2


def test_the_public_hub_keeps_its_counters(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, "https://huggingface.co/")
    stay_at_endpoint()
    assert datasets.config.HF_ENDPOINT == "https://huggingface.co"
    assert datasets.config.USE_PARQUET_EXPORT
    assert Hub.current().is_public_hub


def test_without_an_endpoint_nothing_is_changed(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, "http://x")
    monkeypatch.delenv("HF_ENDPOINT")
    before = (dict(os.environ), dict(vars(datasets.config)))
    stay_at_endpoint()
    assert (dict(os.environ), dict(vars(datasets.config))) == before
    assert hub_repo("gdxray") is None


def test_where_the_token_comes_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://hub.plant")
    stored = tmp_path / "token"
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(stored))
    assert (Hub.current().token, Hub.current().token_origin) == (None, "nowhere (anonymous)")
    with pytest.raises(HubAccessError, match="a token is required"):
        Hub.current(True)
    stored.write_text("hf_stored\n")
    assert (Hub.current().token, Hub.current().token_origin) == ("hf_stored", f"the file {stored}")
    monkeypatch.setenv("HF_TOKEN", " hf_env\n")
    assert (Hub.current(True).token, Hub.current(True).token_origin) == ("hf_env", "HF_TOKEN")
    assert (Hub.current("hf_x").token, Hub.current("hf_x").token_origin) == ("hf_x", "the token argument")
    assert Hub.current(False).token is None
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_IMPLICIT_TOKEN", True)
    assert Hub.current().token is None
    assert Hub.current(True).token == "hf_env"


def test_the_token_is_not_shown() -> None:
    hub = Hub("http://hub.plant", TOKEN, "HF_TOKEN")
    assert hub.api.token == TOKEN
    for text in (repr(hub), str(hub), f"{hub}", repr([hub])):
        assert TOKEN not in text
    assert pickle.loads(pickle.dumps(hub)) == hub


@pytest.mark.parametrize("token", ["hf_a b", "hf_a\nb", "hf_ü", "hf_\x00"])
def test_a_token_that_cannot_be_one_is_refused_unquoted(token: str) -> None:
    with pytest.raises(HubAccessError, match="contains characters") as caught:
        Hub("http://hub.plant", token, "HF_TOKEN")
    assert "hf_" not in str(caught.value).replace("HF_", "")


# ---- what a Hub answers ----


def asked(hub: Hub) -> HubError:
    """Return what a user sees when `dataset_info` fails."""
    with pytest.raises((HfHubHTTPError, OSError, huggingface_hub.utils.httpx.HTTPError)) as caught:
        hub.api.dataset_info(REPO, timeout=0.5)
    error = hub.error(caught.value, REPO)
    try:
        raise error from hub.cause(caught.value)
    except HubError as raised:
        assert TOKEN not in "".join(traceback.format_exception(raised))
    assert str(error).startswith(f"{hub.endpoint}, repository {REPO}")
    assert str(error).count("\n") == 0
    return error


CASES = {
    "wrong token": (401, {"X-Error-Message": "Invalid credentials in Authorization header"}, "token is not valid"),
    "wrong token, bare 401": (401, {}, "the token is not valid there"),
    "not there, or not for us": (404, {"X-Error-Code": "RepoNotFound"}, "does not say which"),
    "a bare 404": (404, {}, "does not say which"),
    "gated": (403, {"X-Error-Code": "GatedRepo"}, "gated"),
    "no such revision": (404, {"X-Error-Code": "RevisionNotFound"}, "no such branch, tag or commit"),
    "read-only token": (403, {"X-Error-Message": "this token may only read"}, 'says: "this token may only read"'),
    "conflict": (409, {}, "at the same time"),
    "precondition": (412, {}, "in the meantime"),
    "too large": (413, {}, "request body is too large"),
    "too many": (429, {}, "too many requests"),
    "teapot": (418, {}, "the Hub refused"),
    "fault": (500, {}, "the Hub has an internal error"),
    "unavailable": (503, {}, "the Hub has an internal error"),
    "full": (507, {}, "disk is full"),
}


@pytest.mark.parametrize("case", CASES)
def test_one_sentence_for_each_response(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    status, headers, text = CASES[case]

    def behave(method: str, path: str, *_: object) -> Answer:
        if path == "/api/whoami-v2":
            return (401, {}, {}) if status == 401 else (200, {}, {"name": "anna"})
        return status, headers, {}

    with fake_hub(behave) as server:
        use_hub(monkeypatch, server.url)
        error = asked(Hub(hub_name(), TOKEN, "HF_TOKEN"))
    assert text in str(error)
    assert f"HTTP {status}" in str(error)
    expected = HubUnavailableError if status in (429, 500, 503) else HubAccessError if status < 405 else HubError
    assert type(error) is expected
    if expected is not HubUnavailableError:
        who = "an unknown user" if status == 401 else "user anna"
        assert f"asked as {who} (token from HF_TOKEN)" in str(error)


def test_a_missing_token_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub(lambda *_: (401, {"X-Error-Code": "RepoNotFound"}, {})) as server:
        use_hub(monkeypatch, server.url)
        error = asked(Hub(hub_name()))
    assert "asked as anonymous (no token)" in str(error)
    assert "set HF_TOKEN" in str(error)


def test_a_token_that_the_hub_echoes_is_scrubbed_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub(lambda *_: (403, {}, {"error": f"Bearer {TOKEN}\n is not welcome"})) as server:
        use_hub(monkeypatch, server.url)
        error = asked(Hub(hub_name(), TOKEN, "HF_TOKEN"))  # looks through the traceback, too
    assert 'says: "Bearer <token> is not welcome"' in str(error)


def test_a_connection_that_is_refused_or_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:1")
    error = asked(Hub(hub_name(), TOKEN, "HF_TOKEN"))
    assert isinstance(error, HubUnavailableError)
    assert isinstance(error, ConnectionError)
    assert "refused" in str(error)
    with fake_hub(lambda *_: None) as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        assert isinstance(asked(Hub(hub_name())), HubUnavailableError)


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    use_hub(monkeypatch, "http://hub.plant")
    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = asked(Hub(hub_name()))
    assert isinstance(error, HubUnavailableError)
    assert "The host name is unknown: check HF_ENDPOINT" in str(error)


def test_a_hub_that_takes_too_long(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as silent:  # accepts connections, never answers
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        use_hub(monkeypatch, f"http://127.0.0.1:{silent.getsockname()[1]}")
        error = asked(Hub(hub_name()))
        monkeypatch.setattr(endpoint, "TIMEOUT", 0.1)
        assert Hub(hub_name(), TOKEN).user() is None
    assert isinstance(error, HubUnavailableError)
    assert "timed out" in str(error)


def test_offline_mode_is_reported_as_such(monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, "http://hub.plant")
    offline(monkeypatch)
    error = asked(Hub(hub_name(), TOKEN))
    assert isinstance(error, HubUnavailableError)
    assert "HF_HUB_OFFLINE" in str(error)


def test_circular_error_chains_are_read() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__context__, second.__context__ = second, first
    assert status_of(first) is None
    assert "ValueError: a" in str(Hub("http://hub.plant").error(first, REPO))


# ---- certificate authorities and proxies ----


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl command to make a certificate authority with")
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def good_hub() -> Iterator[int]:
    with fake_hub(lambda *_: (200, {}, {"id": REPO, "sha": "0" * 40, "private": True})) as server:
        yield server.server.server_address[1]


def test_a_certificate_of_an_unknown_authority_is_reported(
    authority: tuple[Path, Path], good_hub: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with front(good_hub, authority[1]) as (url, _):
        use_hub(monkeypatch, url)
        error = asked(Hub(hub_name()))
    assert isinstance(error, HubUnavailableError)
    assert "set SSL_CERT_FILE" in str(error)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_a_configured_certificate_authority_is_trusted(
    variable: str, authority: tuple[Path, Path], good_hub: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with front(good_hub, authority[1]) as (url, _):
        use_hub(monkeypatch, url)
        huggingface_hub.utils.get_session()  # a client created before has read the old settings
        if variable == "SSL_CERT_FILE":
            huggingface_hub.close_session()
        monkeypatch.setenv(variable, str(authority[0]))
        assert Hub.current().api.dataset_info(REPO, timeout=5).private
    assert os.environ["SSL_CERT_FILE"] == str(authority[0])  # for spawned processes, and for aiohttp
    assert ssl.create_default_context().get_ca_certs()[0]["subject"] == ((("commonName", "Plant CA"),),)


def test_https_where_the_hub_speaks_http(good_hub: int, monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, f"https://127.0.0.1:{good_hub}")
    assert "HF_ENDPOINT starts with https" in str(asked(Hub(hub_name())))


def test_a_proxy_is_used_and_no_proxy_is_respected(good_hub: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with front(good_hub) as (proxy, hosts):
        use_hub(monkeypatch, "http://hub.plant")  # the proxy alone knows this name
        monkeypatch.setenv("http_proxy", proxy)
        monkeypatch.setenv("no_proxy", "")
        assert Hub.current().api.dataset_info(REPO, timeout=5).private
        assert hosts == ["hub.plant"]
        huggingface_hub.close_session()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{good_hub}")
        assert Hub.current().api.dataset_info(REPO, timeout=5).private
        assert hosts == ["hub.plant"]


# ---- what is read at import, in a process of its own ----

PRINT_SETTINGS = """
import datasets, huggingface_hub, os, subprocess, sys
from huggingface_hub import hf_api, constants, whoami
import radikal_datasets
print(constants.ENDPOINT, datasets.config.HF_ENDPOINT, whoami.__self__.endpoint)
print(datasets.config.HF_UPDATE_DOWNLOAD_COUNTS, datasets.config.USE_PARQUET_EXPORT)
print(constants.HF_HUB_DISABLE_TELEMETRY, constants.HF_HUB_DISABLE_UPDATE_CHECK)
print(*(os.environ.get(name) for name in
        ("HF_ENDPOINT", "HF_UPDATE_DOWNLOAD_COUNTS", "HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK")))
"""


@pytest.mark.parametrize("late", [False, True])
def test_libraries_that_were_imported_first_are_corrected(late: bool) -> None:
    """`late`: HF_ENDPOINT is set in the program, between the imports."""
    left_out = ("HF_UPDATE_DOWNLOAD_COUNTS", "HF_HUB_DISABLE_TELEMETRY")
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    code = PRINT_SETTINGS
    if late:
        code = code.replace("import radikal", "os.environ['HF_ENDPOINT'] = 'http://127.0.0.1:9/'\nimport radikal")
    else:
        environment["HF_ENDPOINT"] = "http://127.0.0.1:9/"
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    addresses, tellers, silencers, inherited = done.stdout.splitlines()
    assert set(addresses.split()) == {"http://127.0.0.1:9"}
    assert (tellers, silencers) == ("False False", "True True")
    assert inherited == "http://127.0.0.1:9 0 1 1"


def test_our_own_logs_do_not_show_the_token(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with fake_hub(lambda *_: (503, {}, {})) as server, caplog.at_level(logging.DEBUG):
        use_hub(monkeypatch, server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        asked(Hub.current())
        assert server.asked[0][2] == f"Bearer {TOKEN}"  # it was sent, so it could have been shown
    assert caplog.records
    assert TOKEN not in caplog.text + "".join(capfd.readouterr())
