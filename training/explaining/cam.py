"""The Grad-CAM family (pytorch-grad-cam) on a feature map of the backbone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from pytorch_grad_cam import EigenCAM, GradCAM, HiResCAM, LayerCAM
from pytorch_grad_cam.utils.svd_on_activations import get_2d_projection_with_sign_correction
from transformers.backbone_utils import BackboneMixin

from training.explaining.baselines import scaled


class SignedEigenCAM(EigenCAM):
    """EigenCAM with a corrected sign (Seg-Eigen-CAM, Chung and Ying 2025).

    The sign of a principal component is arbitrary: grad-cam's EigenCAM may show the object, or all but the object.
    """

    def get_cam_image(
        self,
        input_tensor: Any,
        target_layer: Any,
        target_category: Any,
        activations: np.ndarray,
        grads: Any,
        eigen_smooth: Any,
    ) -> np.ndarray:
        """Project the features (B, C, H, W) onto their first principal component, (B, H, W)."""
        return get_2d_projection_with_sign_correction(activations)


CAM_METHODS: dict[str, Any] = {
    "gradcam": GradCAM,
    "hirescam": HiResCAM,
    "layercam": LayerCAM,
    "eigencam": SignedEigenCAM,
}


def cam_map(
    method: str, network: torch.nn.Module, taps: Sequence[torch.nn.Module], pixels: torch.Tensor, target: Any
) -> np.ndarray:
    """Compute one map (H, W), float32, 0 to 1.

    Args:
        method: a key of CAM_METHODS. EigenCAM, the first principal component of the features, does not use the target.
        network: maps images (1, 3, H, W) to one tensor; its weights need no gradient.
        taps: modules whose outputs are the feature maps; for several, the mean of their maps.
        target: function of the network's output for one image, returning a number.
    """
    with CAM_METHODS[method](model=network, target_layers=list(taps)) as cam:
        # The weights are frozen: gradients flow only because the input requires them.
        return scaled(cam(input_tensor=pixels.clone().requires_grad_(), targets=[target])[0])


@contextmanager
def tapped(model: torch.nn.Module) -> Iterator[list[torch.nn.Identity]]:
    """Pass each feature map of the backbone through its own identity module, to which hooks can be attached.

    A list of maps can't be hooked, and the blocks inside differ between backbones. The taps are in the order of the
    maps, finest first; they exist after the first forward pass.
    """
    taps: list[torch.nn.Identity] = []

    def through_taps(_module: torch.nn.Module, _inputs: Any, output: Any) -> Any:
        maps = output.feature_maps if hasattr(output, "feature_maps") else output
        taps.extend(torch.nn.Identity() for _ in range(len(maps) - len(taps)))
        passed = [tap(one) for tap, one in zip(taps, maps, strict=True)]
        if maps is output:
            return passed
        output.feature_maps = tuple(passed)
        return output

    handle = backbone(model).register_forward_hook(through_taps)
    try:
        yield taps
    finally:
        handle.remove()


def backbone(model: torch.nn.Module) -> torch.nn.Module:
    """Return the module that outputs a list of feature maps: transformers' wrapper, or timm's network itself.

    Raises:
        ValueError: there is no such module.
    """
    for module in model.modules():
        if isinstance(module, BackboneMixin) or (
            type(module).__module__.startswith("timm.") and hasattr(module, "feature_info")
        ):
            return module
    raise ValueError(f"{type(model).__name__} has no backbone that returns feature maps, which the CAM methods need.")
