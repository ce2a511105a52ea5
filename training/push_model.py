"""Push a run's best model, with a card, to a private Hub.

HF_ENDPOINT=http://hub.plant:7860 HF_TOKEN=... python training/push_model.py outputs/neu_det --repo-id ann/neu_det
"""

from __future__ import annotations

import json
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])  # as in train.py
    from training.run.arguments import exit_early

    exit_early("push-model")

from transformers.utils import logging as transformers_logging

from radikal_datasets.errors import HubError, LicenseError, RadikalError, RunNotFoundError
from radikal_datasets.hub.one_commit import MAIN, Push, check_repo_id, clear_errors
from radikal_datasets.hub.push_plan import LocalFile
from radikal_datasets.hub.repository import Repository, Snapshot
from radikal_datasets.hub_client.endpoint import PUBLIC_HUB, Hub
from radikal_datasets.prepared.card_text import CARD_FILENAME
from training.run.arguments import push_parser
from training.using.model_card import TrainedModel, model_card
from training.using.trained_model import open_model

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
    check_repo_id(repo_id, repo_id)
    files = sorted(file for file in (run / "best").iterdir() if file.is_file() and file.name != CARD_FILENAME)
    content = _Model(Repository(hub, repo_id, "model"), trained, {file.name: LocalFile(file) for file in files})
    with clear_errors(hub, repo_id):
        done = Push(content.repository, MAIN, content).run(public=public)
    kept = [*done.plan.kept, *({CARD_FILENAME} - done.plan.texts.keys())]
    return PushedModel(hub.endpoint, repo_id, str(done.after.commit), (*done.plan.add, *done.plan.texts), tuple(kept))


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
class _Model:
    """A run's best model and its card, as the content of a push (`radikal_datasets.hub.push_plan.Content`)."""

    repository: Repository
    trained: TrainedModel
    files: dict[str, LocalFile]

    @property
    def message(self) -> str:
        return f"{self.trained.opened.model.config.model_type} with its card"

    def texts(self, remote: Snapshot) -> dict[str, str]:
        endpoint = self.repository.hub.endpoint
        return {CARD_FILENAME: model_card(self.trained, self.repository.repo_id, endpoint, remote.card)}

    def owns(self, path: str) -> bool:
        return _WEIGHTS.fullmatch(path) is not None


def main(arguments: list[str] | None = None) -> int:
    """Command line."""
    known = push_parser().parse_args(arguments)
    transformers_logging.disable_progress_bar()
    try:
        done = push_model(known.run, known.repo_id, endpoint=known.endpoint, public=known.public)
    except RadikalError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"Sent {', '.join(done.sent) or 'nothing'}; unchanged: {', '.join(done.kept) or 'nothing'}.")
    print(done.url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
