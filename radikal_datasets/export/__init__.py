"""Export to formats of other tools: COCO, YOLO, Pascal VOC, and the columns of transformers' detection example."""

from .exporting import FORMATS, Exported, export_sets

__all__ = ["FORMATS", "Exported", "export_sets"]
