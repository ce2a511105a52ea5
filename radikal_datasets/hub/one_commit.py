"""The steps that every push shares, of a dataset or of a model: check, plan, send, commit once, read back."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import datasets
from huggingface_hub import CommitOperationAdd, CommitOperationDelete
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id

from ..errors import HubContentError, HubError, RadikalError
from ..hub_client.client_errors import connection_failed, status_of
from ..hub_client.endpoint import Hub
from ..hub_client.transfer import CountedUpload, bounded_requests, large_files_by, retrying, takes_xet
from .push_plan import Content, Plan
from .repository import NOT_THERE, Repository, Snapshot

logger = logging.getLogger(__name__)

MAIN = "main"
_TIMEOUT = 120.0  # seconds without a sign of life: a Hub on slow disks takes its time to write what it was sent
# Files that are sent at the same time. More than there are cores wait for each other: 5 on 2 cores took a tenth longer.
_THREADS = min(os.cpu_count() or 1, 5)


def check_repo_id(repo_id: str, example: str) -> None:
    """Check that this is ``namespace/name``; `example` is a name for the message.

    Raises:
        HubError: it is not.
    """
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubError(f"{repo_id!r} can't be a repository: {error}. Use NAMESPACE/NAME.") from None
    namespace, _, name = repo_id.partition("/")
    if not namespace or not name:
        raise HubError(f"{repo_id!r} has no namespace. Use your own or an organization's: NAMESPACE/{example}.")


@contextmanager
def clear_errors(hub: Hub, repo_id: str) -> Iterator[None]:
    """Bound the requests in time, and turn a client's errors into ours, which name endpoint, repository and user.

    Errors of this machine (a full disk) pass unchanged.
    """
    try:
        with bounded_requests(_TIMEOUT):
            yield
    except RadikalError:
        raise
    except OfflineModeIsEnabled:
        raise HubError(
            f"{hub.endpoint}: HF_HUB_OFFLINE is set, so no Hub may be contacted. Unset it to push."
        ) from None
    except Exception as error:
        expected = connection_failed(error) or isinstance(error, (ValueError, RuntimeError))
        if status_of(error) is None and not expected:
            raise
        raise hub.error(error, repo_id) from hub.cause(error)


@dataclass(frozen=True)
class Pushed:
    """A finished push: the repository before and after it, and what was done."""

    before: Snapshot
    plan: Plan
    after: Snapshot


@dataclass(frozen=True)
class Push:
    """A push of `content` to a branch: checked to be private before a byte is sent, in one commit or not at all."""

    repository: Repository
    branch: str
    content: Content

    def look(self) -> tuple[Snapshot, Plan]:
        """Return the repository as it is, and what a push would do; changes nothing."""
        try:
            remote = self.repository.read(self.branch)
        except HfHubHTTPError as error:
            if status_of(error) not in NOT_THERE:
                raise
            remote = Snapshot(None, None, {})
        return remote, self.plan(remote)

    def run(self, *, public: bool, check: Callable[[str], None] | None = None) -> Pushed:
        """Create the repository, check it, send, commit, and read the commit back.

        Args:
            public: see `Repository.make`.
            check: called with the new commit (40 hex digits); raises where it is not usable.

        Raises:
            NotPrivateError: the repository is public; nothing was sent.
            HubContentError: the Hub does not have what was sent.
        """
        retrying(lambda: self.repository.make(public=public), what="making the repository")
        remote = retrying(lambda: self.repository.read_branch(self.branch), what="reading the repository")
        first = self.plan(remote)
        if first.nothing_to_do:
            logger.info("%s: nothing has changed since commit %s", self.repository.repo_id, remote.commit)
            return Pushed(remote, first, remote)
        repo_id, repo_type = self.repository.repo_id, self.repository.repo_type
        xet = retrying(lambda: takes_xet(self.repository.hub, repo_id, repo_type), what="asking for xet")
        total = sum(self.content.files[path].path.stat().st_size for path in first.add)
        logger.info("%s: sending %d files by %s", repo_id, len(first.add), "xet" if xet else "LFS")
        bar = datasets.utils.tqdm(total=total, unit="B", unit_scale=True, desc=f"to {repo_id}", disable=None)
        uploads: dict[str, CountedUpload] = {}
        with large_files_by(xet=xet), bar:
            self._send(first, uploads, bar)
            done = self._commit(uploads, bar)
        self._verify(done)
        if check is not None:
            check(str(done.commit))
        return Pushed(remote, first, done)

    def plan(self, remote: Snapshot) -> Plan:
        """Compare the content with a state of the repository."""
        files = self.content.files
        add = [path for path, file in files.items() if not file.is_same_as(remote.tree.get(path))]
        texts = self.content.texts(remote)
        remove = [path for path in remote.tree if path not in files and path not in texts and self.content.owns(path)]
        changed = {path: text for path, text in texts.items() if text != remote.texts.get(path)}
        return Plan(add, [path for path in files if path not in add], remove, changed)

    def _upload(self, path: str, uploads: dict[str, CountedUpload], bar: Any) -> CountedUpload:
        if path not in uploads:
            file = self.content.files[path]
            uploads[path] = CountedUpload(path, str(file.path), file.sha256, bar)
        return uploads[path]

    def _send(self, plan: Plan, uploads: dict[str, CountedUpload], bar: Any) -> None:
        """Send what is large; invisible before the commit, and after a failure what arrived stays there."""
        additions = [self._upload(path, uploads, bar) for path in plan.add]
        if additions:
            retrying(
                lambda: self.repository.api.preupload_lfs_files(
                    self.repository.repo_id,
                    additions,
                    repo_type=self.repository.repo_type,
                    revision=self.branch,
                    free_memory=False,
                    num_threads=_THREADS,
                ),
                what="sending",
            )

    def _commit(self, uploads: dict[str, CountedUpload], bar: Any) -> Snapshot:
        def attempt() -> str:
            remote = self.repository.read(self.branch)
            plan = self.plan(remote)
            if plan.nothing_to_do and remote.commit:  # the answer to an earlier attempt was lost on its way
                return remote.commit
            operations = [self._upload(path, uploads, bar) for path in plan.add]
            operations += [CommitOperationAdd(path, text.encode()) for path, text in plan.texts.items()]
            operations += [CommitOperationDelete(path) for path in plan.remove]
            done = self.repository.api.create_commit(
                self.repository.repo_id,
                operations,
                commit_message=self.content.message,
                repo_type=self.repository.repo_type,
                revision=self.branch,
                parent_commit=remote.commit,
            )
            return done.oid

        # A Hub that ignores `parentCommit` lets another push overwrite our card: seen at its tip, and done again.
        for _ in range(5):
            commit = retrying(attempt, what="commit")
            tip = retrying(lambda: self.repository.read(self.branch), what="reading the tip")
            if tip.commit == commit:
                return tip
            if self.plan(tip).nothing_to_do:  # somebody else committed after us, and left our files as they were
                return retrying(lambda ours=commit: self.repository.read(ours), what="reading the commit")
        raise HubContentError(
            f"{self.repository.address}: other pushes keep undoing this one. Push one after the other, or to a Hub "
            "that honors `parentCommit`."
        )

    def _verify(self, done: Snapshot) -> None:
        plan = self.plan(done)
        if done.commit is None or not plan.nothing_to_do:
            wrong = ", ".join([*plan.add, *plan.remove, *plan.texts][:5])
            raise HubContentError(
                f"{self.repository.address} at {done.commit} is not what was sent: {wrong}. Push again; if that does "
                "not help, this Hub loses files."
            )
