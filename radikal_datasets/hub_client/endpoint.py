"""Resolve the configured Hub and the user's credentials, and keep the Hugging Face libraries from contacting others."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import huggingface_hub
import huggingface_hub.constants
import huggingface_hub.hf_api
from huggingface_hub import HfApi, RepoCard
from huggingface_hub.utils import build_hf_headers, get_session, httpx

from ..errors import HubAccessError, HubError, HubUnavailableError
from .client_errors import read_error

DEFAULT_NAMESPACE = "radikal_datasets"
PUBLIC_HUB = "https://huggingface.co"
#: For a request that is answered at once. The clients themselves wait forever if no timeout is given.
TIMEOUT = 10.0  # seconds

# What the libraries derive from HF_ENDPOINT on import, in whichever of their modules it is.
_COPIES = {
    "ENDPOINT": "",
    "HF_ENDPOINT": "",
    "HUGGINGFACE_CO_URL_TEMPLATE": "/{repo_id}/resolve/{revision}/{filename}",
    "HUB_DATASETS_URL": "/datasets/{repo_id}/resolve/{revision}/{path}",
    "HF_LIST_ENDPOINT": "/api/spaces?filter={type}",
    "HUB_EVALUATE_URL": "/spaces/{path}/resolve/{revision}/{name}",
}
_LIBRARIES = ("huggingface_hub", "datasets", "evaluate")


def hub_repo(source: str) -> str | None:
    """Return the repository in which a source is looked for, or None if no Hub is configured.

    A Hub is configured by `HF_ENDPOINT` (a private Hub) or `RADIKAL_NAMESPACE` (an organization of your own).
    huggingface.co is never asked for a name we do not own.
    """
    namespace = os.environ.get("RADIKAL_NAMESPACE")
    if not namespace and not os.environ.get("HF_ENDPOINT"):
        return None
    return f"{namespace or DEFAULT_NAMESPACE}/{source}"


def hub_name() -> str:
    """Return the Hub's address, for messages."""
    return (os.environ.get("HF_ENDPOINT") or PUBLIC_HUB).strip().rstrip("/")


def stay_at_endpoint() -> None:
    """Keep the underlying libraries at the Hub that ``HF_ENDPOINT`` names; without it, change nothing.

    datasets 5.2 sends the name of every dataset that is loaded to two other hosts (a download counter on
    s3.amazonaws.com, and ``datasets-server.<endpoint>``, with the token), and takes an endpoint with a trailing slash
    literally (docs/hub-protocol.md). All of this is read once, on import, which may have happened before ours: so it is
    set in place, and in the environment for child processes.
    """
    if not os.environ.get("HF_ENDPOINT"):
        return
    endpoint = hub_name()
    os.environ["HF_ENDPOINT"] = endpoint
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in _LIBRARIES:
            for constant in _COPIES.keys() & getattr(module, "__dict__", {}).keys():
                setattr(module, constant, endpoint + _COPIES[constant])
    huggingface_hub.hf_api.api.endpoint = endpoint  # the client behind huggingface_hub's functions
    if endpoint == PUBLIC_HUB:
        return
    os.environ["HF_UPDATE_DOWNLOAD_COUNTS"] = "0"
    for config in (sys.modules.get("datasets.config"), sys.modules.get("evaluate.config")):
        if config is not None:
            config.HF_UPDATE_DOWNLOAD_COUNTS = False  # type: ignore[attr-defined]
            config.USE_PARQUET_EXPORT = False  # type: ignore[attr-defined]  # `evaluate` has none: harmless
    # Stock clients then upload by LFS: huggingface_hub 2.4 has no fallback from xet, which a private Hub rarely has.
    # It reads the constant at each upload. Our own uploads ask the Hub first (`takes_xet`).
    huggingface_hub.constants.HF_HUB_DISABLE_XET = True
    for name in ("HF_HUB_DISABLE_TELEMETRY", "HF_HUB_DISABLE_UPDATE_CHECK"):
        os.environ[name] = "1"
        setattr(huggingface_hub.constants, name, True)
    if huggingface_hub.__version__.startswith("1."):
        RepoCard.validate = _validate_at_endpoint
    _trust_own_authority()


def _validate_at_endpoint(self: RepoCard, repo_type: str | None = None) -> None:
    """Have the endpoint validate a card: huggingface_hub 1.33 sends every card that is pushed to huggingface.co."""
    huggingface_hub.hf_api.api._validate_yaml(str(self), repo_type=repo_type or self.repo_type)


def _trust_own_authority() -> None:
    """Honor the variables of `requests` and curl: httpx2 and aiohttp know only ``SSL_CERT_FILE`` and ``_DIR``."""
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return
    bundle = os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE")
    if bundle:
        os.environ["SSL_CERT_DIR" if Path(bundle).is_dir() else "SSL_CERT_FILE"] = bundle
        huggingface_hub.close_session()  # an existing client has read the old ones


@dataclass(frozen=True)
class Hub:
    """A Hub, and the user's credentials for it.

    Attributes:
        endpoint: its address, without a trailing slash.
        token: None for anonymous; never shown.
        token_origin: where the token came from, for messages.
    """

    endpoint: str
    token: str | None = field(default=None, repr=False)
    token_origin: str = "nowhere (anonymous)"

    def __post_init__(self) -> None:
        # The client's own error for such a token would quote it.
        if self.token is not None and not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
            raise HubAccessError(
                f"{self.endpoint}: the token from {self.token_origin} contains characters that no token has (blanks, "
                "line endings, or non-ASCII characters). Copy it again."
            )

    @classmethod
    def current(cls, token: bool | str | None = None) -> Hub:
        """Return the Hub that the environment configures.

        Args:
            token: as in `huggingface_hub`. None: ``HF_TOKEN`` or the stored one, if any; True: a token is required;
                False: anonymous.

        Raises:
            HubAccessError: `token` is True and there is none, or its characters are invalid.
        """
        stay_at_endpoint()  # HF_ENDPOINT may have been set after the import
        if isinstance(token, str):
            return cls(hub_name(), token.strip(), "the token argument")
        implicit = token is None and not huggingface_hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN
        found = huggingface_hub.get_token() if implicit or token else None
        if found is None and token:
            raise HubAccessError(
                f"{hub_name()}: a token is required (token=True), but neither HF_TOKEN nor "
                f"{huggingface_hub.constants.HF_TOKEN_PATH} has one. Run hf auth login to store one."
            )
        return cls(hub_name()) if found is None else cls(hub_name(), found, _origin(found))

    @cached_property
    def api(self) -> HfApi:
        """A client for this Hub, with this token and no other."""
        return HfApi(endpoint=self.endpoint, token=self.token or False)

    @property
    def is_public_hub(self) -> bool:
        """True for huggingface.co."""
        return self.endpoint == PUBLIC_HUB

    def get(self, path: str) -> httpx.Response:
        """Return the response to a GET request, whatever its status; sends the token and times out after 10 s."""
        headers = build_hf_headers(token=self.token or False)
        return get_session().get(self.endpoint + path, headers=headers, timeout=TIMEOUT)

    def user(self) -> str | None:
        """Return the user's name; None if anonymous, refused, or there is no answer."""
        if self.token is None:
            return None
        try:
            body = self.get("/api/whoami-v2").json()  # HfApi.whoami has no timeout
        except (httpx.HTTPError, OSError, ValueError):
            return None
        return body.get("name") if isinstance(body, dict) else None

    def error(self, cause: BaseException, repo_id: str) -> HubError:
        """Describe a client error in one sentence: endpoint, repository, user, and where the token came from.

        Use it as ``raise hub.error(error, repo_id) from hub.cause(error)``.
        """
        reading = read_error(cause, self.token is not None)
        who = ""
        if not issubclass(reading.kind, HubUnavailableError):
            user = self.user()
            asked_as = f"user {user}" if user else "an unknown user" if self.token else "anonymous"
            who = f", asked as {asked_as} ({f'token from {self.token_origin}' if self.token else 'no token'})"
        text = f"{self.endpoint}, repository {repo_id}{who}: {reading.found}. {reading.remedy}."
        return reading.kind(self.scrubbed(text))

    def cause(self, error: BaseException) -> BaseException | None:
        """Return the error to chain ours to; None if its text shows the token, which a Hub or proxy may echo."""
        link: BaseException | None = error
        for _ in range(10):
            if link is None or self.token is None:
                return error
            if self.token in str(link):
                return None
            link = link.__cause__ or link.__context__
        return error

    def scrubbed(self, text: str) -> str:
        """Return `text` without the token."""
        return text.replace(self.token, "<token>") if self.token else text


def _origin(token: str) -> str:
    """Return where `huggingface_hub.get_token` found the token."""
    for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        if os.environ.get(name, "").strip() == token:
            return name
    path = Path(huggingface_hub.constants.HF_TOKEN_PATH)
    if path.is_file():
        return f"the file {path}"
    return "the environment's own token service (OIDC or Colab)"
