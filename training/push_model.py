"""Push a run's best model, with a card, to a private Hub.

HF_ENDPOINT=http://hub.plant:7860 HF_TOKEN=... python training/push_model.py outputs/neu_det --repo-id ann/neu_det
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, RepoFile
from huggingface_hub.errors import HFValidationError, OfflineModeIsEnabled
from huggingface_hub.utils import validate_repo_id
from transformers.utils import logging as transformers_logging

from radikal_datasets.errors import HubContentError, HubError, LicenseError, RadikalError, RunNotFoundError
from radikal_datasets.hub.repository import Repository
from radikal_datasets.hub_client.client_errors import status_of, unanswered
from radikal_datasets.hub_client.endpoint import PUBLIC_HUB, Hub
from radikal_datasets.hub_client.transfer import bounded_requests, large_files_by, retrying, takes_xet
from radikal_datasets.prepared.card_text import CARD_FILENAME
from training.using.model_card import TrainedModel, model_card
from training.using.trained_model import open_model

_TIMEOUT = 120.0  # seconds without a response
_MAIN = "main"
_PUBLIC = ("huggingface.co", "hf.co")
# Weights files of an earlier push in another format, which transformers would load instead of the new ones.
_WEIGHTS = re.compile(r"[^/]+\.(safetensors|bin|safetensors\.index\.json|bin\.index\.json)")


@dataclass(frozen=True)
class PushedModel:
    """A pushed model: `commit` of `repo_id`, the files that were sent, and those that the Hub already had."""

    endpoint: str
    repo_id: str
    commit: str
    sent: tuple[str, ...]
    kept: tuple[str, ...]

    @property
    def url(self) -> str:
        """The address of the commit."""
        return f"{self.endpoint}/{self.repo_id}/tree/{self.commit}"


def push_model(run: Path, repo_id: str, *, endpoint: str | None = None, public: bool = False) -> PushedModel:
    """Push `run/best` and its card in one commit; files that the Hub already has are not sent again.

    The repository is created private, and checked to be so, before a byte is sent; afterwards the commit is compared.

    Args:
        repo_id: ``namespace/name``.
        endpoint: the Hub; None: ``HF_ENDPOINT``, which may not be huggingface.co.
        public: create the repository as a public one, if it does not exist; refused if the images' license forbids
            redistribution.

    Raises:
        RunNotFoundError: there is no such run, or it has no model.
        HubError: no Hub was chosen, or the Hub returned an error.
        LicenseError: `public` is set, and the images' license forbids it.
        NotPrivateError: the Hub created, or has, a public repository with this name. Nothing was sent.
        HubContentError: after the push, the Hub's content differs from what was sent.
    """
    hub = _chosen_hub(endpoint)
    opened = open_model(run)
    if opened.settings is None:
        raise RunNotFoundError(
            f"{run} is a model without its run. Pass the run's output_dir, which records the training data."
        )
    metrics = run / "metrics.json"
    known = json.loads(metrics.read_text(encoding="utf-8")) if metrics.is_file() else {}
    trained = TrainedModel(opened, opened.settings, known)
    closed = [source.license for source in trained.sources if not source.license.redistributable]
    if public and closed:
        license = closed[0]
        raise LicenseError(
            f"{run} cannot be published, because of the license of its training images: {license.name}. "
            f"{license.summary} Omit --public."
        )
    try:
        validate_repo_id(repo_id)
    except HFValidationError as error:
        raise HubError(f"{repo_id!r} can't be a repository: {error}. Use NAMESPACE/NAME.") from None
    if "/" not in repo_id:
        raise HubError(f"{repo_id!r} has no namespace. Use yours or an organization's: NAMESPACE/{repo_id}.")
    try:
        with bounded_requests(_TIMEOUT):
            return _Push(Repository(hub, repo_id, "model"), run / "best", trained).run(public=public)
    except RadikalError:
        raise
    except OfflineModeIsEnabled:
        raise HubError(
            f"{hub.endpoint}: HF_HUB_OFFLINE is set, so no Hub may be contacted. Unset it to push."
        ) from None
    except Exception as error:
        if status_of(error) is None and not unanswered(error) and not isinstance(error, (ValueError, RuntimeError)):
            raise
        raise hub.error(error, repo_id) from hub.cause(error)


def _chosen_hub(endpoint: str | None) -> Hub:
    if endpoint is None:
        configured = (os.environ.get("HF_ENDPOINT") or "").strip().rstrip("/")
        if not configured:
            raise HubError("No Hub was chosen. Set HF_ENDPOINT to your Hub, or pass --endpoint.")
        if (urlsplit(configured).hostname or "").endswith(_PUBLIC):
            raise HubError(
                f"HF_ENDPOINT is {configured}, the public Hub. If you want that, pass --endpoint {PUBLIC_HUB}."
            )
    else:
        os.environ["HF_ENDPOINT"] = endpoint.strip().rstrip("/")
    return Hub.current()


@dataclass(frozen=True)
class _Push:
    repository: Repository
    folder: Path
    trained: TrainedModel

    def run(self, *, public: bool) -> PushedModel:
        """Create the repository, check it, commit, and verify the commit."""
        retrying(lambda: self.repository.make(public=public), what="making the repository")
        xet = retrying(lambda: takes_xet(self.repository.hub, self.repository.repo_id, "model"), what="asking for xet")
        with large_files_by(xet=xet):
            commit, sent, kept = retrying(self._commit, what="commit")
        done = retrying(lambda: self.repository.read(commit), what="reading the commit")
        if wrong := [path for path, data in self._wanted(done.card).items() if not _same(data, done.tree.get(path))]:
            raise HubContentError(
                f"{self.repository.address} at {commit} is not what was sent: {', '.join(wrong[:5])}. Push "
                "again; if that does not help, this Hub loses files."
            )
        return PushedModel(self.repository.hub.endpoint, self.repository.repo_id, commit, tuple(sent), tuple(kept))

    def _commit(self) -> tuple[str, list[str], list[str]]:
        """Return the commit, the paths that were sent to it, and those that the Hub already had."""
        there = self.repository.read(_MAIN)
        wanted = self._wanted(there.card)
        sent = [path for path, data in wanted.items() if not _same(data, there.tree.get(path))]
        gone = [path for path in there.tree if _WEIGHTS.fullmatch(path) and path not in wanted]
        kept = [path for path in wanted if path not in sent]
        if there.commit is not None and not sent and not gone:
            return there.commit, [], kept
        operations: list[Any] = [CommitOperationAdd(path, wanted[path]) for path in sent]
        operations += [CommitOperationDelete(path) for path in gone]
        done = self.repository.api.create_commit(
            self.repository.repo_id, operations,
            commit_message=f"{self.trained.opened.model.config.model_type} with its card",
            repo_type="model", revision=_MAIN, parent_commit=there.commit,
        )  # fmt: skip
        return done.oid, sent, kept

    def _wanted(self, card: str | None) -> dict[str, str | bytes]:
        """Return path in the repository -> file path, or content as bytes."""
        files: dict[str, str | bytes] = {
            file.name: str(file)
            for file in sorted(self.folder.iterdir())
            if file.is_file() and file.name != CARD_FILENAME
        }
        return {
            **files,
            CARD_FILENAME: model_card(
                self.trained, self.repository.repo_id, self.repository.hub.endpoint, card
            ).encode(),
        }


def _same(data: str | bytes, there: RepoFile | None) -> bool:
    """Return whether the Hub has exactly this file (a path) or this content (bytes)."""
    if there is None:
        return False
    content = Path(data).read_bytes() if isinstance(data, str) else data
    if there.lfs is not None:
        return there.lfs.sha256 == hashlib.sha256(content).hexdigest()
    return there.blob_id == hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    parser = argparse.ArgumentParser(
        description="Push a run's best model, with a card, to a private repository of the Hub in HF_ENDPOINT.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="output_dir of a training run")
    parser.add_argument("--repo-id", "--repo_id", required=True, help="NAMESPACE/NAME")
    parser.add_argument("--endpoint", help="the Hub (default: HF_ENDPOINT); required to push to huggingface.co")
    parser.add_argument("--public", action="store_true", help="create a new repository as a public one")
    known = parser.parse_args(arguments)
    transformers_logging.disable_progress_bar()
    try:
        done = push_model(known.run, known.repo_id, endpoint=known.endpoint, public=known.public)
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"Sent {', '.join(done.sent) or 'nothing'}; unchanged: {', '.join(done.kept) or 'nothing'}.")
    print(done.url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
