"""COCO average precision, as an `evaluate` module."""
