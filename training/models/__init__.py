"""Detectors and classifiers for transformers, built around any timm backbone, and their image preprocessing."""

from radikal_datasets.errors import ModelError
from training.models.backbones import load_backbone_weights
from training.models.building import build_model, from_checkpoint, trainable_norms
from training.models.families import MODEL_TYPES
from training.models.gray import fold_gray, fold_if_gray, is_folded, unfolded_weights
from training.models.gray_scale import gray_scale_of, keep_gray_scale, loader_options, stored_gray_scale
from training.models.processors import image_processor, normalization
from training.models.sizes import SIZES, Size

__all__ = [
    "MODEL_TYPES",
    "SIZES",
    "ModelError",
    "Size",
    "build_model",
    "fold_gray",
    "fold_if_gray",
    "from_checkpoint",
    "gray_scale_of",
    "image_processor",
    "is_folded",
    "keep_gray_scale",
    "load_backbone_weights",
    "loader_options",
    "normalization",
    "stored_gray_scale",
    "trainable_norms",
    "unfolded_weights",
]
