"""The old name of `radikal_datasets.hub_server.database`, an alias for one version."""

import sys
from importlib import import_module

sys.modules[__name__] = import_module("radikal_datasets.hub_server.database")
