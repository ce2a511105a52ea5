"""`push_to_hub`: a prepared folder goes to a Hub, private unless asked otherwise, in one commit or not at all."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import datasets
import pyarrow.parquet as pq
from huggingface_hub import HfFileSystem

from .. import splits
from ..errors import ConfigNameError, HubContentError, HubError, LicenseError
from ..hub_client.endpoint import DEFAULT_NAMESPACE, Hub, hub_repo
from ..hub_client.transfer import retrying
from ..loading.from_hub import Commit
from ..prepared.card import merge_cards
from ..prepared.card_text import CARD_FILENAME
from ..prepared.croissant import CROISSANT_FILENAME, croissant_text
from ..prepared.manifest import MANIFEST_FILENAME, Manifest, check_folder
from ..source import Source
from .one_commit import MAIN, Push, check_repo_id, clear_errors
from .push_plan import LocalFile, Plan
from .repository import Repository, Snapshot
from .source_folder import folder_of

_BLOCK = 1 << 20  # bytes that are read at least of a shard on the Hub


@dataclass(frozen=True)
class PushResult:
    """What a push did, or with `dry_run` would do.

    Attributes:
        endpoint, repo_id: where.
        commit: 40 hex digits; None where nothing was committed because of `dry_run`.
        private: whether the repository is; None where `dry_run` found none.
        configs: what was pushed.
        sent: files that the Hub did not have in this place; their bytes may nevertheless have been there.
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
        return f"{self.endpoint}/datasets/{self.repo_id}/tree/{self.commit or MAIN}"


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
    revision: str = MAIN,
    token: bool | str | None = None,
    dry_run: bool = False,
    rehash: bool = False,
) -> PushResult:
    """Push a source, or a folder that `build_hub_folder` wrote, in one commit.

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
        rehash: compute every checksum again, also of files whose size and time are as the folder noted them.

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
    source = manifest.facts
    if public and not source.license.redistributable:
        raise LicenseError(
            f"{source.name} must not be made public: {source.license.name}. {source.license.summary} Push it without "
            "--public, to a private repository."
        )
    hub = Hub.current(token)
    _check_repo_id(repo_id, source, hub)
    files = {path: LocalFile(folder / path, entry.sha256) for path, entry in manifest.files.items()}
    card = Path(folder, CARD_FILENAME).read_text(encoding="utf-8")
    content = _Prepared(Repository(hub, repo_id), folder, manifest, source, files, card)
    push = Push(content.repository, revision, content)
    with clear_errors(hub, repo_id):
        if dry_run:
            remote, plan = push.look()
            return content.result(remote, plan, None)
        done = push.run(public=public, check=content.load_rows)
        return content.result(done.before, done.plan, done.after.commit)


def _chosen(manifest: Manifest, configs: Sequence[str] | None, folder: Path) -> Manifest:
    if configs is None:
        return manifest
    if missing := [name for name in configs if name not in manifest.configs]:
        raise ConfigNameError(f"{folder} has no {missing}. It has {sorted(manifest.configs)}.")
    return replace(manifest, configs={name: manifest.configs[name] for name in configs})


def _check_repo_id(repo_id: str, source: Source, hub: Hub) -> None:
    check_repo_id(repo_id, source.name)
    if repo_id.partition("/")[0] == DEFAULT_NAMESPACE and hub_repo(source.name) is None:
        raise HubError(
            f"No Hub was chosen, and on {hub.endpoint} we don't know whose {DEFAULT_NAMESPACE} is. Set HF_ENDPOINT to "
            "your Hub, or push to a namespace of your own."
        )


@dataclass(frozen=True)
class _Prepared:
    """The chosen configurations of a prepared folder, as the content of a push (`one_commit.Content`)."""

    repository: Repository
    folder: Path
    manifest: Manifest
    source: Source
    files: dict[str, LocalFile]
    card: str

    @property
    def message(self) -> str:
        return f"{self.source.name}: {', '.join(sorted(self.manifest.configs))}"

    def texts(self, remote: Snapshot) -> dict[str, str]:
        older = (
            None
            if remote.manifest is None
            else Manifest.parse(remote.manifest, f"{MANIFEST_FILENAME} of {self.repository.address}")
        )
        manifest = self.manifest.merged_onto(older)
        return {
            CARD_FILENAME: merge_cards(
                remote.card,
                self.card,
                self.source,
                self.manifest.configs,
                where=(f"{CARD_FILENAME} of {self.repository.address}", self.folder / CARD_FILENAME),
            ),
            MANIFEST_FILENAME: manifest.to_json(),
            CROISSANT_FILENAME: croissant_text(manifest),
        }

    def owns(self, path: str) -> bool:
        return path.startswith(tuple(f"{name}/" for name in self.manifest.configs)) or path.startswith(
            tuple(f"previews/{name}." for name in self.manifest.configs)
        )

    def load_rows(self, commit: str) -> None:
        """Load one row of every configuration at that commit."""
        for name in self.manifest.configs:
            retrying(lambda name=name: self._load_a_row(name, commit), what=f"loading a row of {name}")

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
        # The classes, and the gray scale of images of more than 8 bits, are those of the shards themselves.
        sent = next(path for path, file in self.manifest.configs[config].files.items() if file.rows is not None)
        wanted = datasets.Features.from_arrow_schema(pq.read_schema(self.folder / sent))
        if builder.info.features != wanted or rows is None or rows.schema.names != list(wanted):
            where = f"{self.repository.address} at {commit}"
            raise HubContentError(f"{where}: {config}/{split} does not load as it was sent.")

    def result(self, remote: Snapshot, plan: Plan, commit: str | None) -> PushResult:
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
