"""`load_dataset`: where the data come from, and in what order the candidates are tried."""

from .loading import load_dataset

__all__ = ["load_dataset"]
