"""Images that are in several splits, whole or in part, and boxes that somebody should look at."""

from .finding import Leaks, examine, find_leaks, without_leaks

__all__ = ["Leaks", "examine", "find_leaks", "without_leaks"]
