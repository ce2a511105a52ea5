"""Whatever is sent: never a server error, nothing from a private repository, nothing from outside the root."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.hub_server.service import Service, large, open_service, regular, sha256

SECRET = b"what only ann may see\n"
LARGE_SECRET = b"\x00 and this " * 100
OUTSIDE = b"what is beside the Hub's folder"


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """`ann/x` is private and holds secrets; `bob/y` is public; and there is a file beside the root."""
    folder = tmp_path_factory.mktemp("property")
    (folder / "outside.txt").write_bytes(OUTSIDE)
    with open_service(folder / "hub") as service:
        service.create("x")
        service.upload("ann/x", LARGE_SECRET)
        assert service.commit("ann/x", regular("a.txt", SECRET), large("b/c.bin", LARGE_SECRET)).status_code == 200
        service.create("y", who="bob", visibility="public")
        assert service.commit("bob/y", regular("a.txt", b"for all"), who="bob").status_code == 200
        assert service.call("POST", "/api/datasets/bob/y/branch/b", "bob", json={}).status_code == 200
        assert service.call("POST", "/api/datasets/bob/y/tag/main", "bob", json={"tag": "t"}).status_code == 200
        yield service


def mostly(usual: st.SearchStrategy[Any], odd: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """If all parts of a request were odd at once, none would get past the first check."""
    return st.sampled_from([usual] * 14 + [odd]).flatmap(lambda strategy: strategy)


def one_of(words: str) -> st.SearchStrategy[Any]:
    return st.sampled_from(words.split())


# Half a surrogate pair is valid in JSON, but not in UTF-8.
texts = st.text(st.characters() | st.sampled_from("\ud800\udfff\0\n"), max_size=20)
segments = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=9).map(
    lambda text: quote(text, safe="")
)
odd_scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | texts
    | one_of("../../outside.txt /etc/passwd b/../../c a//b . .git %2e%2e main x ann")
    | st.lists(texts, max_size=2)
    | st.dictionaries(texts, texts, max_size=2)
)


def value(words: str) -> st.SearchStrategy[Any]:
    return mostly(one_of(words), odd_scalars)


def wish(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return mostly(st.fixed_dictionaries(fields), st.fixed_dictionaries({}, optional=fields))


def json_of(data: st.SearchStrategy[Any]) -> st.SearchStrategy[bytes]:
    return data.map(lambda wish: json.dumps(wish).encode())


oids = mostly(st.sampled_from([sha256(SECRET), sha256(LARGE_SECRET), sha256(b"for all"), "0" * 64]), odd_scalars)
sizes = mostly(st.sampled_from([0, 1, 7, len(LARGE_SECRET)]), odd_scalars)
file_paths = value("a.txt b/c.bin b d/e/f README.md new.txt d/ g")
visibilities = value("private private public internal")
creations = wish(
    name=value("z y bob/z bob/y ann/z ann/x x"),
    organization=value("bob bob ann plant"),
    type=value("dataset model space"),
    visibility=visibilities,
    private=st.booleans() | odd_scalars,
)
changes = st.builds(
    lambda key, value: {"key": key, "value": value},
    value("header header file file file file file lfsFile deletedFile deletedFolder copyFile"),
    mostly(
        wish(
            path=file_paths,
            oid=oids,
            size=sizes,
            content=value("YQ== Zm9yIGFsbA== YQ=="),
            encoding=value("base64 base64 utf-8"),
            summary=texts,
            description=texts,
            parentCommit=mostly(st.none(), odd_scalars | st.just("0" * 40)),
        ),
        odd_scalars,
    ),
)
cards = texts.map(lambda text: f"---\n{text}\n---\n") | one_of("---\na:[ ---\n- ---\n{a} a ---\n&a")

#: Method, address, body.
ROUTES: list[tuple[str, str, st.SearchStrategy[bytes]]] = [
    ("GET", "/api/whoami-v2", st.just(b"")),
    ("GET", "/api/agent-harnesses", st.just(b"")),
    ("POST", "/api/repos/create", json_of(creations)),
    ("DELETE", "/api/repos/delete", json_of(creations.filter(lambda wish: "y" not in str(wish.get("name"))))),
    ("POST", "/api/repos/move", json_of(wish(fromRepo=value("ann/x bob/y"), toRepo=value("bob/z bob/y")))),
    ("POST", "/api/validate-yaml", json_of(wish(content=mostly(cards, odd_scalars)))),
    ("GET", "/api/{type}", st.just(b"")),
    ("GET", "/api/{type}/{repository}", st.just(b"")),
    ("GET", "/api/{type}/{repository}/revision/{revision}", st.just(b"")),
    ("GET", "/api/{type}/{repository}/refs", st.just(b"")),
    ("GET", "/api/{type}/{repository}/commits/{revision}", st.just(b"")),
    ("GET", "/api/{type}/{repository}/tree/{revision}", st.just(b"")),
    ("GET", "/api/{type}/{repository}/tree/{revision}/{path}", st.just(b"")),
    ("GET", "/api/{type}/{repository}/xet-read-token/{revision}", st.just(b"")),
    ("GET", "/{type}/{repository}/resolve/{revision}/{path}", st.just(b"")),
    ("HEAD", "/{type}/{repository}/resolve/{revision}/{path}", st.just(b"")),
    ("GET", "/{repository}/resolve/{revision}/{path}", st.just(b"")),
    ("PUT", "/api/{type}/{repository}/settings", json_of(wish(gated=value("auto"), description=texts))),
    ("POST", "/api/{type}/{repository}/branch/{revision}", json_of(wish(startingPoint=value("main b t")))),
    ("DELETE", "/api/{type}/{repository}/branch/{revision}", st.just(b"")),
    ("POST", "/api/{type}/{repository}/tag/{revision}", json_of(wish(tag=value("t b main u"), message=texts))),
    ("DELETE", "/api/{type}/{repository}/tag/{revision}", st.just(b"")),
    (
        "POST",
        "/api/{type}/{repository}/paths-info/{revision}",
        json_of(wish(paths=mostly(st.lists(file_paths, max_size=3), odd_scalars), expand=st.booleans()))
        | st.lists(file_paths.map(str), max_size=3).map(
            lambda paths: urlencode([("paths", path) for path in paths], errors="replace").encode()
        ),
    ),
    (
        "POST",
        "/api/{type}/{repository}/preupload/{revision}",
        json_of(wish(files=st.lists(wish(path=file_paths, size=sizes, sample=value("YQ== AAAA gICA")), max_size=3))),
    ),
    (
        "POST",
        "/api/{type}/{repository}/commit/{revision}",
        st.lists(changes, max_size=4).map(lambda rows: "\n".join(map(json.dumps, rows)).encode()),
    ),
    (
        "POST",
        "/{type}/{repository}.git/info/lfs/objects/batch",
        json_of(wish(operation=value("upload"), objects=st.lists(wish(oid=oids, size=sizes), max_size=3))),
    ),
    ("PUT", f"/lfs/1/{sha256(SECRET)}/{len(SECRET)}/9999999999/{'0' * 64}", st.just(SECRET)),
    ("PUT", "/lfs/{revision}/{path}/{revision}/{revision}/{revision}", st.just(SECRET)),
    ("GET", "/{path}", st.just(b"")),
    ("GET", "/{revision}/{path}/{repository}", st.just(b"")),
]
parts = st.fixed_dictionaries(
    {
        "type": mostly(st.just("datasets"), one_of("models spaces") | segments),
        "repository": mostly(
            one_of("ann/x bob/y bob/y bob/y"),
            one_of("ann/y ../bob/y %2e%2e/x ann%2Fx/y ann/x%2F..%2Fy ann/%00 hub.sqlite/objects plant/x ANN/X")
            | st.tuples(segments, segments).map("/".join),
        ),
        "revision": mostly(
            one_of("main main main refs%2Fheads%2Fmain b t"),
            one_of(f"refs%2Fpr%2F1 refs%2Ftags%2Ft {'0' * 40} .. %2e%2e %2F") | segments,
        ),
        "path": mostly(
            one_of("a.txt a.txt a.txt b/c.bin b%2Fc.bin b d"),
            one_of("a.txt/b b//c.bin hub.sqlite %00 ../../outside.txt ..%2F..%2Foutside.txt %2Fetc%2Fpasswd")
            | one_of("..%5C..%5Coutside.txt %2e%2e/%2e%2e/outside.txt ../hub.sqlite")
            | segments,
        ),
    }
)
methods = one_of("GET HEAD POST PUT DELETE PATCH OPTIONS")


@st.composite
def requests(draw: st.DrawFn) -> tuple[str, str, bytes]:
    method, address, body = draw(st.sampled_from(ROUTES))
    return (
        draw(mostly(st.just(method), methods)),
        address.format(**draw(parts)),
        draw(mostly(body, st.binary(max_size=60) | json_of(odd_scalars))),
    )


visible = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=20)
header_sets = st.fixed_dictionaries(
    {},
    optional={
        "Range": st.sampled_from(["bytes=0-3", "bytes=-2", "bytes=5-2", "bytes=99999-", "bytes=0-1,3-4", "lines=1-2"])
        | visible,
        "If-Range": visible,
        "If-None-Match": visible | st.just("*"),
        "Content-Type": st.sampled_from(
            ["application/json", "application/x-ndjson", "application/x-www-form-urlencoded", "multipart/form-data"]
        ),
        "Content-Encoding": st.just("gzip"),
        "Host": st.sampled_from(["hub.test", "[", "a b", "hub.test:99999", "../..", ""]) | visible,
        "X-Forwarded-Proto": visible,
    },
)
queries = mostly(
    st.just({}),
    st.dictionaries(
        one_of("recursive expand limit cursor blobs author search create_pr full"),
        one_of("true false 0 -1 1 99999999999999999999 private ann")
        | st.sampled_from("\u0663\u00b2").map(quote)
        | segments,
        max_size=3,
    ),
)


@settings(max_examples=500)
@given(
    request=requests(),
    query=queries,
    who=st.sampled_from(["bob", "bob", "bob", "reader", None, "", "hf_wrong"]),
    headers=mostly(st.just({}), header_sets),
)
def test_any_request(
    guarded: Service, request: tuple[str, str, bytes], query: dict[str, str], who: str | None, headers: dict[str, str]
) -> None:
    method, address, body = request
    where = address + ("?" + "&".join(f"{key}={value}" for key, value in query.items()) if query else "")
    response = guarded.call(method, where, who, content=body, headers=headers)
    assert response.status_code < 500, response.text
    reported = response.content + repr(dict(response.headers)).encode()
    assert OUTSIDE not in reported
    assert b"SQLite format 3" not in reported
    if who != "reader":
        assert SECRET not in reported
        assert LARGE_SECRET[:12] not in reported


@settings(max_examples=60)
@given(
    path=(st.lists(st.sampled_from(["..", ".", "", "a", "\\", "\0", "/", "b.txt", "~", "C:"]), min_size=1, max_size=5))
    .map("/".join)
    .filter(lambda path: not all(part in ("a", "b.txt", "~", "C:") for part in path.rstrip("/").split("/")))
)
def test_a_path_that_leaves_the_repository_is_refused(guarded: Service, path: str) -> None:
    before = guarded.tree("bob/y")
    response = guarded.commit("bob/y", regular(path, b"1"), who="bob")
    assert response.status_code == 400
    assert "path" in response.headers["X-Error-Message"]
    assert guarded.tree("bob/y") == before


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"a":' + b"9" * 10_000 + b"}", b"\xff", b"null", b"[]", b"NaN", b'{"tag": "\\ud800"}'],
    ids=["deep", "long number", "no UTF-8", "null", "list", "NaN", "half a surrogate pair"],
)
@pytest.mark.parametrize(
    "path", ["repos/create", "validate-yaml", "datasets/bob/y/commit/main", "datasets/bob/y/tag/main"]
)
def test_a_body_that_is_not_a_json_object_is_refused(guarded: Service, path: str, body: bytes) -> None:
    assert guarded.call("POST", f"/api/{path}", "bob", content=body).status_code == 400


def test_the_state_is_unchanged_afterwards(guarded: Service) -> None:
    """Runs last in this module, on what the requests above have left."""
    assert guarded.call("GET", "/datasets/ann/x/resolve/main/a.txt").content == SECRET
    assert guarded.call("GET", "/api/datasets/ann/x").json()["private"] is True
    assert guarded.tree("ann/x") == ["a.txt", "b/c.bin"]
    assert sorted(path.name for path in guarded.root.parent.iterdir()) == ["hub", "outside.txt"]
    assert {path.name for path in guarded.root.iterdir()} <= {
        "hub.sqlite",
        "hub.sqlite-wal",
        "hub.sqlite-shm",
        "incoming",
        "objects",
    }
    assert list((guarded.root / "incoming").iterdir()) == []


def test_every_stored_object_is_named_by_its_hash(guarded: Service) -> None:
    objects = [path for path in Path(guarded.root / "objects").rglob("*") if path.is_file()]
    assert objects
    for path in objects:
        assert sha256(path.read_bytes()) == path.name
