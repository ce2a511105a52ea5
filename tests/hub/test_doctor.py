from __future__ import annotations

import shutil
from collections.abc import Iterator

import pytest

from radikal_datasets.hub.doctor import Check, diagnose
from radikal_datasets.hub.machine_checks import other_hosts
from radikal_datasets.hub_client.endpoint import Hub
from tests.hub.fake import FakeHub, SmallHub, fake_hub, offline, use_hub


@pytest.fixture
def behavior() -> SmallHub:
    return SmallHub()


@pytest.fixture
def hub(behavior: SmallHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    with fake_hub(behavior) as hub:
        use_hub(monkeypatch, hub.url)
        yield hub


def by_name(checks: list[Check]) -> dict[str, Check]:
    assert len({check.name for check in checks}) == len(checks)
    for check in checks:
        assert check.ok is not False or check.remedy, check  # what to do about each failure
        assert "hf_good" not in repr(check)
        assert "\n" not in check.found + check.remedy
    return {check.name: check for check in checks}


def failed(checks: list[Check]) -> list[str]:
    return [check.name for check in checks if check.ok is False]


def test_a_good_hub_passes_and_is_left_unchanged(hub: FakeHub, behavior: SmallHub) -> None:
    checks = diagnose("hf_good")
    assert failed(checks) == []
    found = by_name(checks)
    assert "anna, member of plant; role of the token: write" in found["who am I"].found
    assert "by LFS" in found["large files"].found
    assert behavior.repositories == {}
    assert any(path == "/api/repos/create" for _, path, _ in hub.asked)


def test_read_only_creates_nothing(hub: FakeHub, behavior: SmallHub) -> None:
    behavior.repositories["anna/set"] = True
    found = by_name(diagnose("hf_good", "anna/set", write=False))
    assert found["private repository"].ok is None
    assert found["repository"].ok is True
    assert not any(method in ("PUT", "DELETE") or "create" in path for method, path, _ in hub.asked)


def test_a_hub_that_ignores_visibility_is_caught_before_anything_else(hub: FakeHub, behavior: SmallHub) -> None:
    behavior.knows_visibility = False
    found = by_name(diagnose("hf_good"))
    assert found["private repository"].ok is False
    assert "PUBLIC" in found["private repository"].found
    assert found["large files"].ok is None  # no further request to the public repository
    assert behavior.repositories == {}
    assert not any("preupload" in path for _, path, _ in hub.asked)


def test_a_public_repository_is_reported(hub: FakeHub, behavior: SmallHub) -> None:
    behavior.repositories["anna/set"] = False
    check = by_name(diagnose("hf_good", "anna/set"))["repository"]
    assert (check.ok, "PUBLIC" in check.found) == (False, True)


@pytest.mark.parametrize(
    ("change", "name", "found", "remedy"),
    [
        ({"error_codes": False}, "errors", "X-Error-Code None", "create"),
        ({"parquet": "regular"}, "Parquet files", "regular", "LFS"),
        ({"role": "read"}, "private repository", "may only read", "write"),
        ({"silent_about": "validate-yaml"}, "card check", "no answer", "Check that the Hub is running"),
        ({"silent_about": "preupload"}, "Parquet files", "no answer", "Check that the Hub is running"),
        ({"fault": 503}, "endpoint", "503", "log"),
    ],
)
def test_each_fault_is_reported_and_does_not_stop_other_checks(
    change: dict[str, object], name: str, found: str, remedy: str, hub: FakeHub, behavior: SmallHub
) -> None:
    vars(behavior).update(change)
    checks = diagnose("hf_good")
    assert failed(checks) == [name]
    check = by_name(checks)[name]
    assert found in check.found
    assert remedy in check.remedy
    assert {"disk", "other hosts", "clock"} <= by_name(checks).keys()
    assert behavior.repositories == {}


def test_a_repository_whose_creation_got_no_response_is_deleted_anyway(hub: FakeHub, behavior: SmallHub) -> None:
    make = behavior._create

    def make_and_hang_up(wanted: dict) -> None:
        make(wanted)

    behavior._create = make_and_hang_up  # type: ignore[method-assign, assignment]  # the stub has no such method to replace
    assert "private repository" in failed(diagnose("hf_good"))
    assert behavior.repositories == {}


@pytest.mark.parametrize("token", ["hf_wrong", None])
def test_a_token_that_is_wrong_or_missing(token: str | None, hub: FakeHub) -> None:
    checks = diagnose(token)
    assert failed(checks) == ["token"]
    assert by_name(checks)["private repository"].ok is None


def test_a_token_that_cannot_be_one_is_not_shown(hub: FakeHub) -> None:
    (check,) = diagnose("hf_good\nx")
    assert check.ok is False
    assert "hf_good" not in repr(check)
    assert hub.asked == []


def test_the_clock(hub: FakeHub) -> None:
    hub.date = "Tue, 24 Nov 2020 00:00:00 GMT"
    check = by_name(diagnose("hf_good"))["clock"]
    assert check.ok is False
    assert "ahead" in check.found


def test_a_hub_whose_xet_is_on_another_host_counts_as_one_without_xet(hub: FakeHub, behavior: SmallHub) -> None:
    behavior.xet = True
    assert by_name(diagnose("hf_good"))["large files"].ok is True


def test_a_response_that_does_not_come_from_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    with fake_hub(
        lambda *_: (200, {"Content-Type": "text/html"}, b"<html>Log in to the plant's network</html>")
    ) as hub:
        use_hub(monkeypatch, hub.url)
        checks = by_name(diagnose("hf_good"))
    assert checks["token"].ok is False
    assert "does not come from a Hub" in checks["token"].found
    assert checks["Parquet files"].ok is None


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [
        ("hub.plant:8080", "is not an address"),
        ("http://anna:secret@127.0.0.1:1", "user name or password"),
        ("http://127.0.0.1:1", "no answer"),
    ],
)
def test_an_endpoint_that_is_wrong(endpoint: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use_hub(monkeypatch, endpoint)
    checks = diagnose("hf_good")
    assert failed(checks)[0] == "endpoint"
    assert found in by_name(checks)["endpoint"].found
    assert "secret" not in repr(checks)
    assert all(check.ok is None for check in checks[1:] if check.name not in ("disk", "other hosts"))


def test_a_hub_that_never_responds_does_not_block(
    hub: FakeHub, behavior: SmallHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    behavior.slow = 3.0
    monkeypatch.setattr("radikal_datasets.hub_client.endpoint.TIMEOUT", 0.2)
    check = by_name(diagnose("hf_good"))["endpoint"]
    assert check.ok is False
    assert "timed out" in check.remedy


def test_offline_mode_is_named_as_the_reason(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    offline(monkeypatch)
    check = by_name(diagnose("hf_good"))["endpoint"]
    assert check.ok is False
    assert "HF_HUB_OFFLINE" in check.found
    assert hub.asked == []


def test_a_full_disk(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage("/")._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: full)
    check = by_name(diagnose("hf_good"))["disk"]
    assert check.ok is False
    assert "TMPDIR" in check.remedy


def test_all_requests_carry_the_token_or_none_does_and_one_client_sends_them(hub: FakeHub) -> None:
    from huggingface_hub.utils import get_session

    before = get_session().timeout
    diagnose("hf_good")
    assert {authorization for _, _, authorization in hub.asked} == {"Bearer hf_good"}
    assert get_session().timeout == before  # restored


def test_a_proxy_is_named_without_its_password(hub: FakeHub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://anna:secret@proxy.plant:3128")
    monkeypatch.setenv("no_proxy", "")
    _, found, _ = other_hosts(Hub.current("hf_good"))
    assert "proxy.plant" in found
    assert "secret" not in found
