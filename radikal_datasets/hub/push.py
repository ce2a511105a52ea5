"""`push_to_hub`: a prepared folder goes to a Hub, private unless asked otherwise, in one commit or not at all."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import datasets
import pyarrow.parquet as pq
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfFileSystem, RepoFile
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils import validate_repo_id

from .. import splits
from ..errors import ConfigNameError, HubContentError, HubError, LicenseError, RadikalError
from ..hub_client.client_errors import status_of, unanswered
from ..hub_client.endpoint import DEFAULT_NAMESPACE, Hub, hub_repo
from ..hub_client.transfer import CountedUpload, bounded_requests, large_files_by, retrying, takes_xet
from ..loading.from_hub import Commit
from ..prepared.card import merge_cards
from ..prepared.card_text import CARD_FILENAME
from ..prepared.manifest import MANIFEST_FILENAME, FileEntry, Manifest, check_folder
from ..schema import features
from ..source import Source
from ..sources import source_info
from .repository import NOT_THERE, Repository, Snapshot
from .source_folder import folder_of

logger = logging.getLogger(__name__)

_MAIN = "main"
_TIMEOUT = 120.0  # seconds without a sign of life: a Hub on slow disks takes its time to write what it was sent
# Files that are sent at the same time. More than there are cores wait for each other: 5 on 2 cores took a tenth longer.
_THREADS = min(os.cpu_count() or 1, 5)
_BLOCK = 1 << 20  # bytes that are read at least of a shard on the Hub


@dataclass(frozen=True)
class PushResult:
    """What a push did, or with `dry_run` would do.

    Attributes:
        endpoint, repo_id: where.
        commit: 40 hex digits; None where nothing was committed because of `dry_run`.
        private: whether the repository is; None where `dry_run` found none.
        configs: what was pushed.
        sent: files that the Hub did not have in this place; their bytes may have been there all the same.
        kept: files that were there already.
        removed: files of these configurations that the folder no longer has.
        sent_bytes: size of `sent`.
    """

    endpoint: str
    repo_id: str
    commit: str | None
    private: bool | None
    configs: tuple[str, ...]
    sent: tuple[str, ...]
    kept: tuple[str, ...]
    removed: tuple[str, ...]
    sent_bytes: int

    @property
    def url(self) -> str:
        """The address of the commit."""
        return f"{self.endpoint}/datasets/{self.repo_id}/tree/{self.commit or _MAIN}"


def push_to_hub(
    source_or_folder: str | os.PathLike[str],
    repo_id: str,
    configs: Sequence[str] | str | None = None,
    *,
    data_dir: str | os.PathLike[str] | None = None,
    protocol: str = splits.RECOMMENDED,
    strict: bool = False,
    num_proc: int | None = None,
    public: bool = False,
    revision: str = _MAIN,
    token: bool | str | None = None,
    dry_run: bool = False,
    rehash: bool = False,
) -> PushResult:
    """Pushes a source, or a folder that `build_hub_folder` wrote: shards, manifest and card in one commit.

    The repository is created private, and read back to be so, before a byte is sent. Files that the Hub has are not
    sent again. Configurations that are only on the Hub stay, and so does what people wrote into its card. Afterwards
    the card and every checksum are compared at the new commit, and one row of every configuration is loaded from it.

    Args:
        source_or_folder: a prepared folder, or the name of a source, which is prepared first (see `folder_of`).
        repo_id: ``namespace/name`` on the Hub that ``HF_ENDPOINT`` names.
        configs: names of configurations; None: all of the folder.
        data_dir, protocol, strict, num_proc: of a source, as in `build_hub_folder`.
        public: make the repository, if there is none yet, a public one. Never where the license forbids passing on.
        revision: the branch; made if it is not there.
        token: as in `huggingface_hub`; None: ``HF_TOKEN`` or the stored one.
        dry_run: only tell what would be sent.
        rehash: compute every checksum anew, also of files whose size and time are as the folder noted them.

    Raises:
        HubFolderError: the folder is not whole.
        LicenseError: `public`, and the source's license forbids it.
        NotPrivateError: the Hub made, or has, a public repository of this name. Nothing was sent.
        HubAccessError, HubUnavailableError, HubError: what the Hub answered, or did not.
        HubContentError: after the push the Hub has something else than what was sent.
    """
    configs = [configs] if isinstance(configs, str) else configs
    folder = folder_of(
        source_or_folder, configs, data_dir=data_dir, protocol=protocol, strict=strict, num_proc=num_proc
    )
    manifest = _chosen(check_folder(folder, rehash=rehash), configs, folder)
    source = source_info(manifest.source)
    if public and not source.license.redistributable:
        raise LicenseError(
            f"{source.name} must not be made public: {source.license.name}. {source.license.summary} Push it without "
            "--public, to a private repository."
        )
    hub = Hub.current(token)
    _check_repo_id(repo_id, source, hub)
    card = Path(folder, CARD_FILENAME).read_text(encoding="utf-8")
    push = _Push(Repository(hub, repo_id), revision, folder, manifest, card, source)
    with _clear_errors(hub, repo_id), bounded_requests(_TIMEOUT):
        return push.look() if dry_run else push.run(public=public)


def _chosen(manifest: Manifest, configs: Sequence[str] | None, folder: Path) -> Manifest:
    if configs is None:
        return manifest
    if missing := [name for name in configs if name not in manifest.configs]:
        raise ConfigNameError(f"{folder} has no {missing}. It has {sorted(manifest.configs)}.")
    return replace(manifest, configs={name: manifest.configs[name] for name in configs})


def _check_repo_id(repo_id: str, source: Source, hub: Hub) -> None:
    namespace, _, name = repo_id.partition("/")
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubError(f"{repo_id!r} can't be a repository: {error}. Take namespace/name.") from None
    if not namespace or not name:
        raise HubError(f"{repo_id!r} has no namespace. Take yours or an organisation's: NAMESPACE/{source.name}.")
    if namespace == DEFAULT_NAMESPACE and hub_repo(source.name) is None:
        raise HubError(
            f"No Hub was chosen, and on {hub.endpoint} we don't know whose {DEFAULT_NAMESPACE} is. Set HF_ENDPOINT to "
            "your Hub, or push to a namespace of your own."
        )


@contextmanager
def _clear_errors(hub: Hub, repo_id: str) -> Iterator[None]:
    """Tells what a client raised in terms of endpoint, repository and user; local errors pass as they are."""
    try:
        yield
    except RadikalError:
        raise
    except Exception as error:
        if status_of(error) is None and not unanswered(error) and not isinstance(error, (ValueError, RuntimeError)):
            raise
        raise hub.error(error, repo_id) from hub.cause(error)


@dataclass(frozen=True)
class _Plan:
    add: list[str]
    kept: list[str]
    remove: list[str]
    texts: dict[str, str]  # path -> new text of card and manifest, where it differs from the Hub's

    @property
    def nothing_to_do(self) -> bool:
        return not (self.add or self.remove or self.texts)


@dataclass(frozen=True)
class _Push:
    repository: Repository
    branch: str
    folder: Path
    manifest: Manifest
    card: str
    source: Source

    def look(self) -> PushResult:
        """What a push would do."""
        try:
            remote = self.repository.read(self.branch)
        except HfHubHTTPError as error:
            if status_of(error) not in NOT_THERE:
                raise
            remote = Snapshot(None, None, {})
        return self._result(remote, self.plan(remote), None)

    def run(self, *, public: bool) -> PushResult:
        """Creates, checks, sends, commits, verifies."""
        retrying(lambda: self.repository.make(public=public), what="making the repository")
        remote = retrying(lambda: self.repository.read_branch(self.branch), what="reading the repository")
        first = self.plan(remote)
        if first.nothing_to_do:
            logger.info("%s: nothing has changed since commit %s", self.repository.repo_id, remote.commit)
            return self._result(remote, first, remote.commit)
        xet = retrying(lambda: takes_xet(self.repository.hub, self.repository.repo_id), what="asking for xet")
        total = sum(self.manifest.files[path].bytes for path in first.add)
        logger.info("%s: sending %d files by %s", self.repository.repo_id, len(first.add), "xet" if xet else "LFS")
        bar = datasets.utils.tqdm(
            total=total, unit="B", unit_scale=True, desc=f"to {self.repository.repo_id}", disable=None
        )
        uploads: dict[str, CountedUpload] = {}
        with large_files_by(xet=xet), bar:
            self._send(first, uploads, bar)
            done = self._commit(uploads, bar)
        self._verify(done)
        return self._result(remote, first, done.commit)

    # ---- what to do ----

    def plan(self, remote: Snapshot) -> _Plan:
        """Compares the folder with a state of the repository."""
        files = self.manifest.files
        add = [path for path, entry in files.items() if not self._same(path, entry, remote.tree.get(path))]
        ours = tuple(f"{name}/" for name in self.manifest.configs)
        previews = tuple(f"previews/{name}." for name in self.manifest.configs)
        remove = [path for path in remote.tree if path.startswith((*ours, *previews)) and path not in files]
        older = (
            None
            if remote.manifest is None
            else Manifest.parse(remote.manifest, f"{MANIFEST_FILENAME} of {self.repository.address}")
        )
        texts = {
            CARD_FILENAME: merge_cards(
                remote.card,
                self.card,
                self.source,
                self.manifest.configs,
                where=(f"{CARD_FILENAME} of {self.repository.address}", self.folder / CARD_FILENAME),
            ),
            MANIFEST_FILENAME: self.manifest.merged_onto(older).to_json(),
        }
        there = {CARD_FILENAME: remote.card, MANIFEST_FILENAME: remote.manifest}
        changed = {path: text for path, text in texts.items() if text != there[path]}
        return _Plan(add, [path for path in files if path not in add], remove, changed)

    def _same(self, path: str, entry: FileEntry, there: RepoFile | None) -> bool:
        if there is None or there.size != entry.bytes:
            return False
        if there.lfs is not None:
            return there.lfs.sha256 == entry.sha256
        content = Path(self.folder, path).read_bytes()  # a small one: the Hub keeps it in git itself
        return there.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    # ---- sending ----

    def _upload(self, path: str, uploads: dict[str, CountedUpload], bar: Any) -> CountedUpload:
        if path not in uploads:
            uploads[path] = CountedUpload(path, str(self.folder / path), self.manifest.files[path].sha256, bar)
        return uploads[path]

    def _send(self, plan: _Plan, uploads: dict[str, CountedUpload], bar: Any) -> None:
        """Sends what is large; nobody sees it before the commit, and after a failure what arrived stays there."""
        additions = [self._upload(path, uploads, bar) for path in plan.add]
        if additions:
            retrying(
                lambda: self.repository.api.preupload_lfs_files(
                    self.repository.repo_id,
                    additions,
                    repo_type="dataset",
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
                commit_message=f"{self.source.name}: {', '.join(sorted(self.manifest.configs))}",
                repo_type="dataset",
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
            if self.plan(tip).nothing_to_do:  # somebody else came after us, and left what is ours as it was
                return retrying(lambda ours=commit: self.repository.read(ours), what="reading the commit")
        raise HubContentError(
            f"{self.repository.address}: other pushes keep undoing this one. Push one after the other, or to a Hub "
            "that honours `parentCommit`."
        )

    # ---- afterwards ----

    def _verify(self, done: Snapshot) -> None:
        plan = self.plan(done)
        if done.commit is None or not plan.nothing_to_do:
            wrong = ", ".join([*plan.add, *plan.remove, *plan.texts][:5])
            raise HubContentError(
                f"{self.repository.address} at {done.commit} is not what was sent: {wrong}. Push again; if it stays "
                "so, this Hub loses files."
            )
        for name in self.manifest.configs:
            retrying(lambda name=name: self._load_a_row(name, str(done.commit)), what=f"loading a row of {name}")

    def _load_a_row(self, config: str, commit: str) -> None:
        """Through the card and the configuration's own files, as `load_dataset` finds them at that commit.

        Not by streaming: what datasets 5.2 has begun to read ahead when a stream is left can hang a process at its end.
        """
        hub, repo_id = self.repository.hub, self.repository.repo_id
        pinned = Commit(commit, hub, repo_id)
        builder = datasets.load_dataset_builder(repo_id, config, revision=pinned, token=hub.token or False)
        split, files = next(iter((builder.config.data_files or {}).items()))
        store = HfFileSystem(endpoint=hub.endpoint, token=hub.token or False)
        with store.open(files[0], block_size=_BLOCK) as file, pq.ParquetFile(file, pre_buffer=False) as shard:
            rows = next(shard.iter_batches(batch_size=1), None)
        wanted = features(self.source.config(config).classes)
        if builder.info.features != wanted or rows is None or rows.schema.names != list(wanted):
            where = f"{self.repository.address} at {commit}"
            raise HubContentError(f"{where}: {config}/{split} does not load as it was sent.")

    def _result(self, remote: Snapshot, plan: _Plan, commit: str | None) -> PushResult:
        return PushResult(
            endpoint=self.repository.hub.endpoint,
            repo_id=self.repository.repo_id,
            commit=commit,
            private=remote.private,
            configs=tuple(self.manifest.configs),
            sent=tuple(plan.add),
            kept=tuple(plan.kept),
            removed=tuple(plan.remove),
            sent_bytes=sum(self.manifest.files[path].bytes for path in plan.add),
        )
