"""Commits: atomic, in order, and made only of objects that were sent to the same repository."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.hub_server.service import Service, large, regular, sha256


def test_a_new_repository_has_one_empty_commit(service: Service) -> None:
    first = service.create("x")
    history = service.call("GET", "/api/datasets/ann/x/commits/main").json()
    assert [commit["id"] for commit in history] == [first]
    assert service.tree("ann/x") == []


def test_a_commit_on_an_old_parent_is_refused(service: Service) -> None:
    first = service.create("x")
    second = service.commit("ann/x", regular("a.txt", b"1"), parent=first).json()["commitOid"]
    response = service.commit("ann/x", regular("b.txt", b"2"), parent=first)
    assert response.status_code == 412
    assert second in response.headers["X-Error-Message"]
    assert service.tip("ann/x") == second
    assert service.tree("ann/x") == ["a.txt"]
    assert service.commit("ann/x", regular("b.txt", b"2")).status_code == 200  # no parent given: on top
    assert service.tree("ann/x") == ["a.txt", "b.txt"]


def test_of_concurrent_commits_on_one_parent_one_succeeds(service: Service) -> None:
    first = service.create("x")
    with ThreadPoolExecutor(6) as pool:
        answers = list(
            pool.map(lambda n: service.commit("ann/x", regular(f"{n}.txt", b"1"), parent=first).status_code, range(6))
        )
    assert sorted(answers) == [200] + [412] * 5
    assert len(service.tree("ann/x")) == 1


def test_concurrent_commits_without_a_parent_all_succeed(service: Service) -> None:
    service.create("x")
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda n: service.commit("ann/x", regular(f"{n}.txt", b"1")).status_code, range(6)))
    assert answers == [200] * 6
    assert service.tree("ann/x") == [f"{n}.txt" for n in range(6)]
    assert len(service.call("GET", "/api/datasets/ann/x/commits/main").json()) == 7


def test_a_commit_with_an_object_that_was_never_sent_is_refused_completely(service: Service) -> None:
    first = service.create("x")
    response = service.commit("ann/x", regular("a.txt", b"1"), large("b.bin", b"never sent"))
    assert response.status_code == 400
    assert "b.bin" in response.headers["X-Error-Message"]
    assert sha256(b"never sent") in response.headers["X-Error-Message"]
    assert service.tip("ann/x") == first
    assert service.tree("ann/x") == []


def test_knowing_its_hash_does_not_give_access_to_an_object(service: Service) -> None:
    secret = b"\0 a plant's image" * 9
    service.create("x")
    service.upload("ann/x", secret)
    assert service.commit("ann/x", large("a.bin", secret), regular("b.txt", b"a small secret")).status_code == 200
    service.create("y", who="bob")
    for content in (secret, b"a small secret"):
        assert service.upload_address("bob/y", content, who="bob") is not None  # "send it", not "it is there"
        assert service.commit("bob/y", large("a.bin", content), who="bob").status_code == 400


def test_an_object_sent_once_is_not_requested_again(service: Service) -> None:
    service.create("x")
    service.upload("ann/x", b"1" * 100)
    assert service.upload_address("ann/x", b"1" * 100) is None


def test_preupload_distinguishes_large_small_and_existing_files(service: Service) -> None:
    service.create("x")
    service.upload("ann/x", b"PAR1")
    assert service.commit("ann/x", large("a.parquet", b"PAR1"), regular("a.txt", b"text")).status_code == 200
    files = [
        {"path": "a.parquet", "size": 4, "sample": "UEFSMQ=="},
        {"path": "a.txt", "size": 4, "sample": "dGV4dA=="},
        {"path": "new.TXT", "size": 1_000, "sample": "dGV4dMOk"},
        {"path": "cut.txt", "size": 1_000, "sample": "dGV4dMM="},  # the sample ends within a letter
        {"path": "new.png", "size": 1_000, "sample": "iVBORw0KGgo="},
        {"path": "long.txt", "size": 100_000_000, "sample": "dGV4dA=="},
        {"path": "empty.parquet", "size": 0, "sample": ""},
    ]
    rows = service.call("POST", "/api/datasets/ann/x/preupload/main", json={"files": files}).json()["files"]
    assert [row["uploadMode"] for row in rows] == ["lfs", "regular", "regular", "regular", "lfs", "lfs", "regular"]
    assert rows[0]["oid"] == sha256(b"PAR1")
    assert rows[1]["oid"] == "f3a34851d44d6b97c90fbb99dd3d18c261b9a237"  # git hash-object
    assert [row["oid"] for row in rows[2:]] == [None] * 5


def test_deleting(service: Service) -> None:
    service.create("x")
    service.commit("ann/x", *(regular(path, b"1") for path in ("a/1", "a/2", "ab/1", "b")))
    deleted = {"key": "deletedFolder", "value": {"path": "a/"}}
    assert service.commit("ann/x", deleted).status_code == 200
    assert service.tree("ann/x") == ["ab/1", "b"]
    assert service.commit("ann/x", deleted).headers["X-Error-Code"] == "EntryNotFound"
    assert (
        service.commit("ann/x", {"key": "deletedFile", "value": {"path": "b"}}, regular("c", b"1")).status_code == 200
    )
    assert service.tree("ann/x") == ["ab/1", "c"]


@pytest.mark.parametrize("second", ["a/b", "a"])
def test_a_file_is_not_a_folder(service: Service, second: str) -> None:
    service.create("x")
    service.commit("ann/x", regular("a" if second == "a/b" else "a/b", b"1"))
    response = service.commit("ann/x", regular(second, b"1"))
    assert response.status_code == 400
    assert "a file and a folder" in response.headers["X-Error-Message"]


def test_a_pull_request_is_refused_clearly(service: Service) -> None:
    service.create("x")
    response = service.call("POST", "/api/datasets/ann/x/commit/main?create_pr=1", content=b"")
    assert response.status_code == 400
    assert "pull request" in response.headers["X-Error-Message"]


def test_old_commits_stay_as_they_were(service: Service) -> None:
    service.create("x")
    old = service.commit("ann/x", regular("a.txt", b"old")).json()["commitOid"]
    service.commit("ann/x", regular("a.txt", b"new"), regular("b.txt", b"1"))
    assert service.tree("ann/x", old) == ["a.txt"]
    assert service.call("GET", f"/datasets/ann/x/resolve/{old}/a.txt").content == b"old"
    response = service.call("HEAD", "/datasets/ann/x/resolve/refs%2Fheads%2Fmain/a.txt")
    assert response.headers["X-Repo-Commit"] == service.tip("ann/x")


def test_trees_come_in_pages(service: Service) -> None:
    service.create("x")
    service.commit("ann/x", *(regular(f"d/{n:02}/f", b"1") for n in range(5)))
    found, address, pages = [], "/api/datasets/ann/x/tree/main/d?recursive=true&limit=3", 0
    while address:
        response = service.call("GET", address)
        found += [row["path"] for row in response.json()]
        address = response.links["next"]["url"].removeprefix("http://hub.test") if "next" in response.links else ""
        pages += 1
    assert pages == 4
    assert found == [path for n in range(5) for path in (f"d/{n:02}", f"d/{n:02}/f")]


def test_a_missing_folder_file_or_revision_has_its_error_code(service: Service) -> None:
    service.create("x")
    service.commit("ann/x", regular("a.txt", b"1"))
    for path, code in (
        ("/api/datasets/ann/x/tree/main/none", "EntryNotFound"),
        ("/api/datasets/ann/x/tree/none", "RevisionNotFound"),
        ("/datasets/ann/x/resolve/main/none", "EntryNotFound"),
        ("/datasets/ann/x/resolve/none/a.txt", "RevisionNotFound"),
        ("/api/datasets/ann/x/revision/refs%2Fpr%2F1", "RevisionNotFound"),
    ):
        response = service.call("GET", path)
        assert (response.status_code, response.headers["X-Error-Code"]) == (404, code), path


def test_ranges_and_etags(service: Service) -> None:
    service.create("x")
    content = bytes(range(256)) * 20
    service.upload("ann/x", content)
    service.commit("ann/x", large("a.bin", content), regular("empty", b""))
    path = "/datasets/ann/x/resolve/main/a.bin"
    head = service.call("HEAD", path)
    assert head.headers["ETag"] == head.headers["X-Linked-Etag"] == f'"{sha256(content)}"'
    assert head.headers["Content-Length"] == head.headers["X-Linked-Size"] == str(len(content))
    part = service.call("GET", path, headers={"Range": "bytes=300-"})
    assert (part.status_code, part.content) == (206, content[300:])
    assert part.headers["Content-Range"] == f"bytes 300-{len(content) - 1}/{len(content)}"
    assert service.call("GET", path, headers={"Range": "bytes=99999-"}).status_code == 416
    assert service.call("GET", path, headers={"If-None-Match": head.headers["ETag"]}).status_code == 304
    empty = service.call("GET", "/datasets/ann/x/resolve/main/empty")
    assert (empty.status_code, empty.content, empty.headers["Content-Length"]) == (200, b"", "0")


@pytest.mark.parametrize(
    "name", ["..", "a/..", "../x", "a b", "", ".hidden", "x.git", "-x", "a" * 97, "a\\b", "a\0b", 7]
)
def test_an_invalid_repository_id(service: Service, name: object) -> None:
    response = service.call("POST", "/api/repos/create", json={"name": name, "type": "dataset"})
    assert response.status_code in (400, 403)
    assert "X-Error-Message" in response.headers
    assert service.call("GET", "/api/datasets").json() == []


def test_a_repository_is_created_once_and_its_address_returned_again(service: Service) -> None:
    service.create("x")
    response = service.call("POST", "/api/repos/create", json={"name": "X", "type": "dataset"})
    assert response.status_code == 409
    assert response.json()["url"].lower() == "http://hub.test/datasets/ann/x"
    model = service.call("POST", "/api/repos/create", json={"name": "x", "type": "model"})
    assert model.json()["url"] == "http://hub.test/ann/x"


def test_a_deleted_repository_takes_its_uploads_along(service: Service) -> None:
    service.create("x")
    service.upload("ann/x", b"1" * 100)
    address = service.upload_address("ann/x", b"2" * 100)
    assert address is not None
    service.call("DELETE", "/api/repos/delete", json={"name": "x", "type": "dataset"})
    service.create("x")
    assert service.call("PUT", address, None, content=b"2" * 100).status_code == 404
    assert service.upload_address("ann/x", b"1" * 100) is not None
    assert service.commit("ann/x", large("a.bin", b"1" * 100)).status_code == 400


def test_branches_and_tags(service: Service) -> None:
    first = service.create("x")
    second = service.commit("ann/x", regular("a.txt", b"1")).json()["commitOid"]
    api = "/api/datasets/ann/x"
    assert service.call("POST", f"{api}/branch/dev%2Fone", json={"startingPoint": first}).status_code == 200
    assert service.call("POST", f"{api}/branch/dev%2Fone", json={}).status_code == 409
    assert service.call("POST", f"{api}/tag/main", json={"tag": "v1"}).status_code == 200
    refs = service.call("GET", f"{api}/refs").json()
    assert {ref["name"]: ref["targetCommit"] for ref in refs["branches"]} == {"dev/one": first, "main": second}
    assert {ref["name"]: ref["targetCommit"] for ref in refs["tags"]} == {"v1": second}
    assert service.tree("ann/x", "v1") == ["a.txt"]
    assert service.tree("ann/x", "dev%2Fone") == []
    for path in ("branch/main", "branch/v1", "tag/main", "tag/none"):
        assert service.call("DELETE", f"{api}/{path}").status_code in (400, 404), path
    for path in ("branch/dev%2Fone", "tag/v1"):
        assert service.call("DELETE", f"{api}/{path}").status_code == 200
    for name in ("a..b", "..a", "refs%2Fx", "0" * 40, "a%5Cb", "-a", "%20"):
        assert service.call("POST", f"{api}/branch/{name}", json={}).status_code == 400, name
