"""Sets in formats that other tools read: COCO, YOLO, Pascal VOC, and the columns of transformers' detection example."""

from .exporting import FORMATS, Exported, export_sets

__all__ = ["FORMATS", "Exported", "export_sets"]
