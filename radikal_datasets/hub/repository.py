"""A repository on a Hub: create it, verify that it is private, and read it at one commit."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from huggingface_hub import DatasetInfo, HfApi, ModelInfo, RepoFile
from huggingface_hub.errors import HfHubHTTPError, RevisionNotFoundError
from huggingface_hub.utils import hf_raise_for_status

from ..errors import NotPrivateError
from ..hub_client.client_errors import status_of
from ..hub_client.endpoint import Hub
from ..hub_client.response_checks import check_commit
from ..prepared.card_text import CARD_FILENAME
from ..prepared.croissant import CROISSANT_FILENAME
from ..prepared.manifest import MANIFEST_FILENAME

logger = logging.getLogger(__name__)

#: What is read of a repository, and merged or written again by a push.
_TEXTS = (CARD_FILENAME, MANIFEST_FILENAME, CROISSANT_FILENAME)

#: How Hubs say that a repository does not exist; not all of them give the reason in `X-Error-Code`.
NOT_THERE = frozenset({401, 404})


@dataclass(frozen=True)
class Snapshot:
    """A repository at one commit.

    Attributes:
        commit: 40 hex digits; None for a repository without commits.
        private: according to the Hub; None if it does not say.
        tree: path -> file.
        texts: path -> text of card, manifest and Croissant file, of those that there are.
    """

    commit: str | None
    private: bool | None
    tree: dict[str, RepoFile]
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def card(self) -> str | None:
        """The text of the card; None if there is none."""
        return self.texts.get(CARD_FILENAME)

    @property
    def manifest(self) -> str | None:
        """The text of the manifest; None if there is none."""
        return self.texts.get(MANIFEST_FILENAME)


@dataclass(frozen=True)
class Repository:
    """A repository of a dataset or of a model, which may not exist yet."""

    hub: Hub
    repo_id: str
    repo_type: Literal["dataset", "model"] = "dataset"

    @cached_property
    def api(self) -> HfApi:
        """The client that sends all requests."""
        return self.hub.api

    @property
    def address(self) -> str:
        """Endpoint and name, for messages."""
        return f"{self.hub.endpoint}/{self._path}"

    @property
    def _path(self) -> str:
        return f"datasets/{self.repo_id}" if self.repo_type == "dataset" else self.repo_id

    def make(self, *, public: bool) -> None:
        """Create the repository if it does not exist, and make sure that it is private unless `public`.

        The clients send the field `visibility`, which older Hubs ignore: they create a public repository and answer
        200. For an existing one, all Hubs ignore it (docs/hub-protocol.md). So the state that is read back decides.

        Raises:
            NotPrivateError: it is public; one that was just created is deleted again.
        """
        created = False
        try:
            info = self._info()
        except HfHubHTTPError as error:
            if status_of(error) not in NOT_THERE:
                raise
            created = self._create(public)
            info = self._info()
        if public:
            if info.private:
                logger.warning("%s is already private and stays so: --public only applies to a new one.", self.repo_id)
        elif info.private is not True and created:
            self.api.delete_repo(self.repo_id, repo_type=self.repo_type)
            raise NotPrivateError(
                f"{self.hub.endpoint} created {self.repo_id} as a public repository, although a private one was "
                "requested. Nothing was sent, and the empty repository was deleted again. This Hub does not seem to "
                "support the field `visibility`. Update it, or create a private repository manually and push again."
            )
        elif info.private is not True:
            raise NotPrivateError(
                f"{self.repo_id} on {self.hub.endpoint} is a public repository. Nothing was sent. Make it private "
                f"(hf repos settings {self.repo_id} --type {self.repo_type} --private), push to another one, or pass "
                "--public."
            )

    def _create(self, public: bool) -> bool:
        try:
            self.api.create_repo(self.repo_id, repo_type=self.repo_type, private=not public)
        except HfHubHTTPError as error:
            if status_of(error) != 409:
                raise
            return False  # someone else created it first
        return True

    def read(self, revision: str) -> Snapshot:
        """Read the repository at the tip of a branch, at a tag or at a commit."""
        info = self._info(revision)
        if info.sha is None:
            return Snapshot(None, info.private, {})
        check_commit(info.sha, self.address, revision)
        entries = self.api.list_repo_tree(self.repo_id, repo_type=self.repo_type, recursive=True, revision=info.sha)
        tree = {entry.path: entry for entry in entries if isinstance(entry, RepoFile)}
        texts = {name: self._text(name, info.sha) for name in _TEXTS if name in tree}
        return Snapshot(info.sha, info.private, tree, texts)

    def read_branch(self, branch: str) -> Snapshot:
        """Do what `read` does, for a branch that is created if it does not exist."""
        try:
            return self.read(branch)
        except RevisionNotFoundError:
            self.api.create_branch(self.repo_id, branch=branch, repo_type=self.repo_type, exist_ok=True)
            return self.read(branch)

    def _info(self, revision: str | None = None) -> DatasetInfo | ModelInfo:
        ask = self.api.dataset_info if self.repo_type == "dataset" else self.api.model_info
        return ask(self.repo_id, revision=revision)

    def _text(self, path: str, commit: str) -> str:
        # Not through the user's cache: the card of every commit would stay there.
        response = self.hub.get(f"/{self._path}/resolve/{commit}/{path}")
        hf_raise_for_status(response)
        return response.content.decode("utf-8")
