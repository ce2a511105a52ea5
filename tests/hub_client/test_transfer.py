from __future__ import annotations

from pathlib import Path

import pytest
from huggingface_hub import close_session, constants
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.utils import get_session, httpx

from radikal_datasets.hub_client import transfer


def http_error(status: int, headers: dict[str, str] | None = None) -> HfHubHTTPError:
    request = httpx.Request("POST", "http://127.0.0.1/api")
    return HfHubHTTPError("no", response=httpx.Response(status, headers=headers, request=request))


def wrapped(error: Exception) -> RuntimeError:
    """Wrap an error during a file transfer as huggingface_hub does."""
    outer = RuntimeError("Error while uploading 'x' to the Hub.")
    outer.__cause__ = error
    return outer


class Failing:
    def __init__(self, *errors: Exception):
        self.errors, self.calls = list(errors), 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


@pytest.mark.parametrize("status", [408, 409, 412, 429, 500, 502, 503, 504])
def test_transient_errors_are_retried(status: int) -> None:
    waits: list[float] = []
    call = Failing(http_error(status), wrapped(http_error(status)))
    assert transfer.retrying(call, what="test", sleep=waits.append) == "done"
    assert call.calls == 3
    assert all(0 < wait <= 20 for wait in waits)


@pytest.mark.parametrize(
    "error",
    [
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        ConnectionResetError(),
        wrapped(TimeoutError()),
        wrapped(RuntimeError("Cannot send a request, as the client has been closed.")),
    ],
)
def test_a_cut_connection_is_retried(error: Exception) -> None:
    assert transfer.retrying(Failing(error), what="test", sleep=lambda _: None) == "done"


@pytest.mark.parametrize(
    "error",
    [
        *(http_error(status) for status in (400, 401, 403, 404, 413, 507)),
        ValueError("a fault of ours"),
        OfflineModeIsEnabled("offline"),
    ],
)
def test_permanent_errors_are_not_retried(error: Exception) -> None:
    call = Failing(error)
    with pytest.raises(type(error)):
        transfer.retrying(call, what="test", sleep=lambda _: None)
    assert call.calls == 1


def test_a_connection_cut_while_a_response_was_handled_is_retried() -> None:
    """The repository is created because the Hub says that there is none, and the Hub dies in the meantime."""
    try:
        try:
            raise http_error(404)
        except HfHubHTTPError:
            try:
                raise ConnectionResetError
            except ConnectionResetError as reset:
                raise httpx.ReadError("cut") from reset
    except httpx.ReadError as error:
        cut = error
    assert transfer.retrying(Failing(cut), what="test", sleep=lambda _: None) == "done"


def test_retries_are_bounded() -> None:
    for status, most in ((503, transfer.BUSY_ATTEMPTS), (412, transfer.CONFLICT_ATTEMPTS)):
        waits: list[float] = []
        call = Failing(*[http_error(status)] * 100)
        with pytest.raises(HfHubHTTPError):
            transfer.retrying(call, what="test", sleep=waits.append)
        assert call.calls == most
        assert sum(waits) < 180


def test_waits_as_long_as_the_hub_asks_but_not_forever() -> None:
    waits: list[float] = []
    transfer.retrying(
        Failing(http_error(429, {"Retry-After": "7"}), http_error(429, {"Retry-After": "86400"})),
        what="test",
        sleep=waits.append,
    )
    assert waits == [7.0, 20.0]


def test_the_xet_switch_is_restored() -> None:
    before = constants.HF_HUB_DISABLE_XET
    with pytest.raises(KeyError), transfer.large_files_by(xet=False):
        assert constants.HF_HUB_DISABLE_XET
        raise KeyError
    assert before == constants.HF_HUB_DISABLE_XET


def test_requests_stay_bounded_after_a_failed_connection() -> None:
    """huggingface_hub then discards its client, and with it the settings made on it."""
    before, seen = get_session().timeout, []

    def call() -> None:
        seen.append(get_session().timeout.read)
        if len(seen) == 1:
            close_session()
            raise httpx.ConnectError("refused")

    with transfer.bounded_requests(7.0):
        transfer.retrying(call, what="test", sleep=lambda _: None)
    assert seen == [7.0, 7.0]
    assert get_session().timeout == before


class Bar:
    n = 0

    def update(self, n: int) -> None:
        self.n += n


def test_an_upload_counts_its_bytes_once_and_is_not_hashed_again(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    path.write_bytes(bytes(3_000_000))
    bar = Bar()
    upload = transfer.CountedUpload("a/x.parquet", str(path), "ab" * 32, bar)  # type: ignore[arg-type]
    assert upload.upload_info.sha256.hex() == "ab" * 32
    for _ in range(2):  # the second time after a failure
        with upload.as_file(with_tqdm=True) as file:
            while file.read(1 << 16):
                pass
    assert bar.n == 3_000_000
    with upload.as_file() as file:
        assert file.read() == bytes(3_000_000)
    assert bar.n == 3_000_000
