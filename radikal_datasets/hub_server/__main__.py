"""`python -m radikal_datasets.hub_server` is `radikal-datasets hub`."""

from .commands import app

app()
