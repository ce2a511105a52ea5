"""`doctor`: check whether the Hub that HF_ENDPOINT names can be used from here, and suggest what to do if not."""

from __future__ import annotations

import base64
import email.utils
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from huggingface_hub.utils import build_hf_headers, get_session, httpx

from ..errors import HubError
from ..hub_client.client_errors import read_error
from ..hub_client.endpoint import TIMEOUT, Hub
from ..hub_client.transfer import bounded_requests, takes_xet, xet_turned_off
from .machine_checks import disk, other_hosts

_CLOCK_SKEW = 60.0  # seconds


@dataclass(frozen=True)
class Check:
    """The result of one check.

    Attributes:
        name: of the check.
        ok: None if it was not performed, or does not matter.
        found: what was found; never the token.
        remedy: what to do; empty if nothing needs to be done.
    """

    name: str
    ok: bool | None
    found: str
    remedy: str = ""


def diagnose(token: bool | str | None = None, repo_id: str | None = None, *, write: bool = True) -> list[Check]:
    """Check the Hub, the token, and this machine; every request has a timeout, and no failure stops the other checks.

    With `write` and a token, a private repository ``<user>/radikal-doctor-<random>`` is created, and deleted again.

    Args:
        token: as in `huggingface_hub`.
        repo_id: another repository to check.
        write: False: create nothing on the Hub.
    """
    try:
        hub = Hub.current(token)
    except HubError as error:
        return [Check("token", False, str(error), "Set HF_TOKEN, or run hf auth login.")]
    with bounded_requests(TIMEOUT):
        return list(_Examination(hub, repo_id, write).checks())


class _Examination:
    def __init__(self, hub: Hub, repo_id: str | None, write: bool):
        self.hub, self.repo_id, self.write = hub, repo_id, write
        self.first: httpx.Response | None = None  # the answer to whoami, and when it arrived
        self.first_at = 0.0
        self.user: str | None = None
        self.probe: str | None = None  # a private test repository that exists on the Hub

    def checks(self) -> Iterator[Check]:
        yield self._run("endpoint", self.endpoint)
        yield self._run("token", self.token, asks=True)
        yield self._run("who am I", self.who_am_i, asks=True)
        if self.repo_id:
            yield self._run("repository", self.repository, asks=True)
        yield from self._with_probe()
        yield self._run("errors", self.errors, asks=True)
        yield self._run("card check", self.card_check, asks=True)
        yield self._run("clock", self.clock, asks=True)
        yield self._run("disk", disk)
        yield self._run("other hosts", lambda: other_hosts(self.hub))

    def _run(self, name: str, check: Callable[[], tuple[bool | None, str, str]], *, asks: bool = False) -> Check:
        if asks and self.first is None:
            return Check(name, None, "not checked: the Hub does not answer")
        try:
            ok, found, remedy = check()
        except Exception as error:
            reading = read_error(error, self.hub.token is not None)
            ok, found, remedy = False, reading.found, f"{reading.remedy}."
        return Check(name, ok, self.hub.scrubbed(found), remedy)

    def _with_probe(self) -> Iterator[Check]:
        """Run the checks that need a test repository, and delete it."""
        made = self._run("private repository", self.private_repository, asks=True)
        try:
            yield made
            for name, check in (("large files", self.large_files), ("Parquet files", self.parquet_files)):
                if self.probe is None:
                    yield Check(name, None, "not checked: there is no repository to try it with")
                else:
                    yield self._run(name, check)
        finally:
            if self.probe is not None:
                yield self._run("cleaning up", self.remove_probe)

    # ---- one check each: ok, found, remedy ----

    def endpoint(self) -> tuple[bool | None, str, str]:
        parts = urlsplit(self.hub.endpoint)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            return False, f"{self.hub.endpoint!r} is not an address", "Set HF_ENDPOINT to http(s)://HOST[:PORT]."
        if parts.username or parts.password:
            found = "HF_ENDPOINT contains a user name or password"
            return False, found, "Set it to http(s)://HOST[:PORT], and use a token."
        start = time.monotonic()
        response = self.hub.get("/api/whoami-v2")
        took, self.first_at = time.monotonic() - start, time.time()
        if response.status_code >= 500:
            found = f"{self.hub.endpoint} has an internal error (HTTP {response.status_code})"
            return False, found, "Check the Hub's log, or that of its proxy."
        self.first = response
        return True, f"{self.hub.endpoint} answers in {took * 1000:.0f} ms", ""

    def token(self) -> tuple[bool | None, str, str]:
        assert self.first is not None
        if self.hub.token is None:
            found = "none: neither HF_TOKEN nor a stored one"
            return (None if self.hub.is_public_hub else False), found, "Run hf auth login, or set HF_TOKEN."
        where = f"from {self.hub.token_origin}"
        if self.first.status_code in (401, 403):
            return (
                False,
                f"{where}, refused by the Hub",
                "Create a new one there. HF_TOKEN takes precedence over a stored one.",
            )
        if not isinstance(_json(self.first), dict):
            found = f"{where}; the answer (HTTP {self.first.status_code}) does not come from a Hub"
            return False, found, "Check HF_ENDPOINT: another service may listen there, or a proxy requires a login."
        return True, f"{where}, valid", ""

    def who_am_i(self) -> tuple[bool | None, str, str]:
        me = _json(self.first) if self.first is not None and self.first.status_code == 200 else None
        if not isinstance(me, dict) or not me.get("name"):
            return None, "anonymous", "" if self.hub.token is None else "See the check of the token."
        self.user = str(me["name"])
        orgs = ", ".join(str(org.get("name")) for org in me.get("orgs") or ()) or "no organization"
        role = ((me.get("auth") or {}).get("accessToken") or {}).get("role") or "unknown"
        remedy = "To push, create a token with the role `write`." if role == "read" else ""
        return True, f"{self.user}, member of {orgs}; role of the token: {role}", remedy

    def repository(self) -> tuple[bool | None, str, str]:
        assert self.repo_id is not None
        info = self.hub.api.dataset_info(self.repo_id, timeout=TIMEOUT)
        private = "the Hub does not say whether it is private"
        if info.private is not None:
            private = "private" if info.private else "PUBLIC"
        remedy = "" if info.private else f"hf repos settings {self.repo_id} --type dataset --private"
        return bool(info.private), f"{self.repo_id}: {private}, at commit {info.sha}", remedy

    def private_repository(self) -> tuple[bool | None, str, str]:
        if not self.write or self.user is None:
            return None, "not tried: " + ("read-only" if not self.write else "needs a valid token"), ""
        probe = f"{self.user}/radikal-doctor-{secrets.token_hex(4)}"
        self.probe = probe
        try:
            self.hub.api.create_repo(probe, repo_type="dataset", private=True)
        except Exception:
            self.remove_probe()  # the Hub may have created it before its answer was lost
            self.probe = None
            raise
        if self.hub.api.dataset_info(probe, timeout=TIMEOUT).private is True:
            return True, f"{probe} was created, and is private", ""
        _, found, remedy = self.remove_probe()
        self.probe = None
        return (
            False,
            f"although a private repository was requested, the Hub creates a PUBLIC one ({found})",
            "Update this Hub: it does not support the field `visibility`. Until then, create repositories manually. "
            f"{remedy}",
        )

    def remove_probe(self) -> tuple[bool | None, str, str]:
        try:
            self.hub.api.delete_repo(str(self.probe), repo_type="dataset")
        except Exception as error:
            found = read_error(error, True).found
            return False, f"{self.probe} could not be deleted: {found}", f"hf repos delete {self.probe} --type dataset"
        return True, f"{self.probe} was deleted again", ""

    def large_files(self) -> tuple[bool | None, str, str]:
        if takes_xet(self.hub, str(self.probe)):
            return True, "by xet", ""
        stock = " Stock clients need HF_HUB_DISABLE_XET=1." if not xet_turned_off() else ""
        return True, f"by LFS; xet is not available here.{stock}", ""

    def parquet_files(self) -> tuple[bool | None, str, str]:
        file = {"path": "default/train-00000-of-00001.parquet", "size": 1000, "sample": _SAMPLE}
        reply = self._post(f"/api/datasets/{self.probe}/preupload/main", {"files": [file]})
        mode = reply["files"][0]["uploadMode"]
        remedy = "Configure the Hub to treat *.parquet as LFS at any size. Otherwise the stock push_to_hub fails."
        return mode == "lfs", f"a small Parquet file goes by {mode!r}", "" if mode == "lfs" else remedy

    def errors(self) -> tuple[bool | None, str, str]:
        missing = f"{self.user or 'radikal'}/radikal-doctor-{secrets.token_hex(4)}"
        response = self.asking.get(f"/api/datasets/{missing}")
        code = response.headers.get("X-Error-Code")
        found = f"a repository that does not exist: HTTP {response.status_code}, X-Error-Code {code}"
        if code == "RepoNotFound":
            return True, found, ""
        remedy = "Stock clients cannot create a new repository by pushing. Run `hf repos create` first."
        return False, found, remedy

    def card_check(self) -> tuple[bool | None, str, str]:
        reply = self._post("/api/validate-yaml", {"content": "---\nlicense: mit\n---\n", "repoType": "dataset"})
        return isinstance(reply, dict), "/api/validate-yaml checks cards", ""

    def clock(self) -> tuple[bool | None, str, str]:
        assert self.first is not None
        date = self.first.headers.get("Date")
        if date is None:
            return None, "the Hub does not report its time", ""
        skew = self.first_at - email.utils.parsedate_to_datetime(date).timestamp()
        ok = abs(skew) <= _CLOCK_SKEW
        found = f"this machine is {abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the Hub"
        return ok, found, "" if ok else "Set the clocks (NTP): signed addresses and certificates depend on them."

    @property
    def asking(self) -> Hub:
        """The Hub with the token, or anonymous if the token was refused: the answer would be about the token."""
        return self.hub if self.user else Hub(self.hub.endpoint)

    def _post(self, path: str, body: dict[str, object]) -> dict:
        headers = build_hf_headers(token=self.asking.token or False)
        response = get_session().post(self.hub.endpoint + path, json=body, headers=headers, timeout=TIMEOUT)
        response.raise_for_status()
        return response.json()


_SAMPLE = base64.b64encode(b"PAR1").decode()


def _json(response: httpx.Response) -> object:
    try:
        return response.json()
    except ValueError:
        return None
