"""Six industrial-inspection sources behind one `load_dataset` call and one schema."""

from ._version import __version__
from .combining import combine
from .hub.push import push_to_hub
from .hub_client.answers import install as _check_hub_answers
from .hub_client.endpoint import stay_at_endpoint as _stay_at_endpoint
from .loading.loading import install as _install
from .loading.loading import load_dataset
from .prepared.folder import build_hub_folder
from .sources import list_sources, source_info
from .stats.statistics import statistics
from .verification import verify

__all__ = [
    "__version__",
    "build_hub_folder",
    "combine",
    "list_sources",
    "load_dataset",
    "push_to_hub",
    "source_info",
    "statistics",
    "verify",
]

_stay_at_endpoint()
_check_hub_answers()
_install()
