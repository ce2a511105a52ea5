"""Trees that several modules here start from."""

from gdxray_trees import castings, root, welds

__all__ = ["castings", "root", "welds"]
