"""`python -m radikal_datasets.hub.server` is `radikal-datasets hub`."""

from .commands import app

app()
