"""Declarative bases: a source with images beside masks, VOC files or a table of boxes states patterns, not code."""

from .mask_builder import CLEAN, MaskBuilder, Shows
from .paired_builder import Found, PairedBuilder
from .split_list import SplitList
from .table_builder import TableBuilder
from .voc_builder import VocBuilder

__all__ = ["CLEAN", "Found", "MaskBuilder", "PairedBuilder", "Shows", "SplitList", "TableBuilder", "VocBuilder"]
