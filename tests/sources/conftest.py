"""Trees that several modules here use."""

from gdxray_trees import castings, root, welds

__all__ = ["castings", "root", "welds"]
