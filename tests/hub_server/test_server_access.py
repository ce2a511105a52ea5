"""Who may do what, and that for everyone else a private repository looks like a missing one."""

from __future__ import annotations

import time

import pytest

from radikal_datasets.hub_server.commits import sign
from radikal_datasets.hub_server.request_context import State
from tests.hub_server.service import Service, large, regular, sha256

READS = [
    ("GET", "/api/datasets/ann/x"),
    ("GET", "/api/datasets/ann/x/revision/main"),
    ("GET", "/api/datasets/ann/x/tree/main"),
    ("POST", "/api/datasets/ann/x/paths-info/main"),
    ("GET", "/api/datasets/ann/x/refs"),
    ("GET", "/api/datasets/ann/x/commits/main"),
    ("GET", "/datasets/ann/x/resolve/main/a.txt"),
    ("HEAD", "/datasets/ann/x/resolve/main/a.txt"),
]
WRITES = [
    ("PUT", "/api/datasets/ann/x/settings"),
    ("POST", "/api/datasets/ann/x/branch/b"),
    ("DELETE", "/api/datasets/ann/x/branch/b"),
    ("POST", "/api/datasets/ann/x/tag/main"),
    ("DELETE", "/api/datasets/ann/x/tag/t"),
    ("POST", "/api/datasets/ann/x/preupload/main"),
    ("POST", "/api/datasets/ann/x/commit/main"),
    ("POST", "/datasets/ann/x.git/info/lfs/objects/batch"),
]


@pytest.mark.parametrize(("method", "path"), READS + WRITES)
def test_a_private_repository_does_not_exist_for_others(service: Service, method: str, path: str) -> None:
    service.create("x")
    assert service.commit("ann/x", regular("a.txt", b"secret")).status_code == 200
    missing = path.replace("ann/x", "ann/none")
    for who, status in ((None, 401), ("bob", 404)):
        response, of_missing = service.call(method, path, who), service.call(method, missing, who)
        assert response.status_code == of_missing.status_code == status
        assert response.headers["X-Error-Code"] == of_missing.headers["X-Error-Code"] == "RepoNotFound"
        assert response.content == of_missing.content
        assert b"secret" not in response.content


@pytest.mark.parametrize(("method", "path"), [*READS, *WRITES, ("GET", "/api/whoami-v2"), ("GET", "/api/datasets")])
@pytest.mark.parametrize("public", [False, True])
def test_a_wrong_token_is_reported(service: Service, method: str, path: str, public: bool) -> None:
    service.create("x", visibility="public" if public else "private")
    response = service.call(method, path, "hf_wrong")
    assert response.status_code == 401
    assert response.headers["X-Error-Message"] == "Invalid credentials in Authorization header"
    assert "X-Error-Code" not in response.headers


@pytest.mark.parametrize(("method", "path"), [*WRITES, ("POST", "/api/repos/create"), ("DELETE", "/api/repos/delete")])
def test_a_read_only_token_cannot_change_anything(service: Service, method: str, path: str) -> None:
    first = service.create("x")
    response = service.call(method, path, "reader", json={"name": "x", "type": "dataset", "files": [], "objects": []})
    assert response.status_code == 403
    assert "is read-only" in response.headers["X-Error-Message"]
    assert service.tip("ann/x") == first


def test_a_read_only_token_can_read(service: Service) -> None:
    service.create("x")
    service.commit("ann/x", regular("a.txt", b"text"))
    assert service.call("GET", "/datasets/ann/x/resolve/main/a.txt", "reader").content == b"text"


@pytest.mark.parametrize(("method", "path"), WRITES)
def test_others_can_only_read_a_public_repository(service: Service, method: str, path: str) -> None:
    service.create("x", visibility="public")
    service.commit("ann/x", regular("a.txt", b"text"))
    assert service.call("GET", "/datasets/ann/x/resolve/main/a.txt", None).content == b"text"
    assert service.call(method, path, None).status_code == 401
    response = service.call(method, path, "bob")
    assert response.status_code == 403
    assert "bob is not a member of ann" in response.headers["X-Error-Message"]


@pytest.mark.parametrize(
    ("wish", "private"),
    [
        ({}, True),
        ({"visibility": "private"}, True),
        ({"visibility": "public"}, False),
        ({"visibility": "internal"}, True),
        ({"private": True}, True),
        ({"private": False}, False),
        ({"private": None}, True),
        ({"private": False, "visibility": "private"}, True),
    ],
)
def test_private_unless_public_is_requested(service: Service, wish: dict[str, object], private: bool) -> None:
    service.create("x", **wish)
    assert service.call("GET", "/api/datasets/ann/x").json()["private"] is private
    assert service.call("GET", "/api/datasets/ann/x", None).status_code == (401 if private else 200)


def test_settings_make_a_repository_public_or_private(service: Service) -> None:
    service.create("x")
    for wish, status in (
        ({"visibility": "public"}, 200),
        ({"private": True}, 401),
        ({"private": False}, 200),
        ({"visibility": "private"}, 401),
    ):
        assert service.call("PUT", "/api/datasets/ann/x/settings", json=wish).status_code == 200
        assert service.call("GET", "/api/datasets/ann/x", None).status_code == status


def test_members_share_their_organization(service: Service) -> None:
    service.create("x", organization="plant")
    assert service.commit("plant/x", regular("a.txt", b"text")).status_code == 200
    assert service.call("GET", "/api/datasets/plant/x", "bob").status_code == 404
    assert service.call("GET", "/api/whoami-v2").json()["orgs"][0]["name"] == "plant"


@pytest.mark.parametrize("wish", [{"organization": "bob"}, {"organization": "nobody"}, {"organization": "PLANTS"}])
def test_another_users_namespace_is_refused(service: Service, wish: dict[str, str]) -> None:
    response = service.call("POST", "/api/repos/create", json={"name": "x", "type": "dataset", **wish})
    assert response.status_code == 403
    assert wish["organization"] in response.headers["X-Error-Message"]
    assert "plant" in response.headers["X-Error-Message"]  # what would be accepted


def test_only_owners_delete(service: Service) -> None:
    service.create("x")
    wish = {"name": "x", "organization": "ann", "type": "dataset"}
    assert service.call("DELETE", "/api/repos/delete", None, json=wish).status_code == 401
    assert service.call("DELETE", "/api/repos/delete", "bob", json=wish).status_code in (403, 404)
    assert service.call("DELETE", "/api/repos/delete", json=wish).status_code == 200
    assert service.call("GET", "/api/datasets/ann/x").status_code == 404


def test_lists_contain_only_what_the_user_may_read(service: Service) -> None:
    service.create("hidden")
    service.create("shown", visibility="public")
    for who, names in (("ann", {"ann/hidden", "ann/shown"}), ("bob", {"ann/shown"}), (None, {"ann/shown"})):
        assert {row["id"] for row in service.call("GET", "/api/datasets?author=ann", who).json()} == names
    assert service.call("GET", "/api/models", "ann").json() == []


def test_an_upload_address_is_valid_for_its_object_only(service: Service) -> None:
    service.create("x")
    service.create("y", who="bob")
    content, other = b"1" * 100, b"2" * 100
    address = service.upload_address("ann/x", content)
    assert address is not None
    number, expires, signature = address.split("/")[2], *address.split("/")[5:]
    wrong = [
        f"/lfs/{number}/{sha256(other)}/100/{expires}/{signature}",  # another object
        f"/lfs/{number}/{sha256(content)}/101/{expires}/{signature}",  # another size
        f"/lfs/{int(number) + 1}/{sha256(content)}/100/{expires}/{signature}",  # another repository
        f"/lfs/{number}/{sha256(content)}/100/{int(expires) + 9}/{signature}",  # a longer time
        f"/lfs/{number}/{sha256(content)}/100/{expires}/{'0' * 64}",
    ]
    for path in wrong:
        assert service.call("PUT", path, content=content).status_code == 403, path
    assert service.call("PUT", address, None, content=other).status_code == 400
    assert service.call("PUT", address, None, content=content[:-1]).status_code == 400
    assert service.commit("ann/x", large("a.bin", content)).status_code == 400
    assert service.call("PUT", address, None, content=content).status_code == 200
    assert service.commit("ann/x", large("a.bin", content)).status_code == 200


def test_an_upload_address_expires(service: Service) -> None:
    service.create("x")
    content, past = b"1" * 100, int(time.time()) - 1
    signature = sign(State.open(service.root), 1, sha256(content), 100, past)
    response = service.call("PUT", f"/lfs/1/{sha256(content)}/100/{past}/{signature}", content=content)
    assert response.status_code == 403
    assert "has expired" in response.headers["X-Error-Message"]


def test_a_revoked_token_stops_working_immediately(service: Service) -> None:
    service.create("x")
    assert State.open(service.root).database.revoke(service.tokens["reader"]) == 1
    assert service.call("GET", "/api/datasets/ann/x", "reader").status_code == 401
