"""Scores of a detector or classifier: COCO, operating point, image level, plots and reports."""
