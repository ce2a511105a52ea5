"""Combine several sources into one: one label space, every source's own splits, no image in two of them."""

from .combine import combine

__all__ = ["combine"]
