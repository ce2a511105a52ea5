"""Find images that are in several splits, entirely or in part, and boxes that deserve a second look."""

from .finding import Leaks, examine, find_leaks, without_leaks

__all__ = ["Leaks", "examine", "find_leaks", "without_leaks"]
