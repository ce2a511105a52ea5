"""What every source must satisfy, ours or another package's: `check_source(Builder)`."""

from .checking import check_source

__all__ = ["check_source"]
