"""The model sizes `nano`, `small`, `medium` and `large`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """The default backbone of a size, and the transformer's width and depth.

    Attributes:
        encoder_layers: for families whose encoder is a convolutional neck with one attention layer (rt_detr and its
            successors); `deep_encoder_layers` for those whose encoder is pure attention.
        expansion: expansion of the neck's convolutions.
    """

    backbone: str
    width: int
    feed_forward: int
    heads: int
    encoder_layers: int
    deep_encoder_layers: int
    decoder_layers: int
    queries: int
    denoising: int
    expansion: float


# `large` is the published RT-DETRv2-R50 (d_model 256, 6 decoder layers, 300 queries, 100 denoising queries), `medium`
# and `small` follow its R34 and R18 relatives (4 and 3 decoder layers, half the neck's width), `nano` is our own, for
# CPUs.
SIZES: dict[str, Size] = {
    "nano": Size("regnetx_002", 128, 256, 4, 1, 3, 2, 60, 20, 0.5),
    "small": Size("resnet18", 256, 1024, 8, 1, 6, 3, 300, 100, 0.5),
    "medium": Size("resnet34", 256, 1024, 8, 1, 6, 4, 300, 100, 0.5),
    "large": Size("resnet50", 256, 1024, 8, 1, 6, 6, 300, 100, 1.0),
}
