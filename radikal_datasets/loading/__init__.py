"""`load_dataset`: find the data of a source and load them."""

from .loading import load_dataset

__all__ = ["load_dataset"]
