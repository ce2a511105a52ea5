from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from training.models import MODEL_TYPES, build_model, from_checkpoint, image_processor
from training.models.backbones import timm_module
from training.models.initialization import initialize
from training.run.checkpoints import save_model

FOCAL = [family for family in MODEL_TYPES if family != "detr"]
HYBRID = ("rt_detr", "rt_detr_v2", "d_fine", "deimv2")
PRIOR_BIAS = -math.log(0.99 / 0.01)
HEADS = ("class_labels_classifier", "class_embed", "enc_score_head", "class_head")
TRANSFORMERS = [family for family in MODEL_TYPES if family != "dense"]

#: The box heads of each family whose last layer starts at zero; detr's does not.
BOX_HEADS = {
    "conditional_detr": ["bbox_predictor"],
    "dab_detr": ["bbox_predictor", "model.decoder.bbox_embed"],
    "deformable_detr": ["bbox_embed", "model.decoder.bbox_embed"],
    "rt_detr": ["model.enc_bbox_head", "model.decoder.bbox_embed"],
    "rt_detr_v2": ["model.enc_bbox_head", "model.decoder.bbox_embed"],
    "d_fine": ["model.enc_bbox_head", "model.decoder.bbox_embed", "model.decoder.pre_bbox_head"],
    "deimv2": ["model.enc_bbox_head", "model.decoder.bbox_embed", "model.decoder.pre_bbox_head"],
}


def tiny(family: str, names: tuple[str, ...] = ("defect",)):
    torch.manual_seed(0)
    return build_model(
        family, list(names), size="nano", backbone="test_resnet", image_size=(64, 64), num_queries=24, decoder_layers=2
    )


def class_heads(model) -> dict[str, nn.Linear | nn.Conv2d]:
    return {
        name: module
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, nn.Linear | nn.Conv2d) and not set(HEADS).isdisjoint(name.split("."))
    }


def predictions(model):
    with torch.no_grad():
        return model.eval()(pixel_values=torch.randn(2, 3, 64, 64))


@pytest.mark.parametrize("family", FOCAL)
def test_every_class_starts_at_one_percent(family):
    model = tiny(family, tuple(map(str, range(30))))
    heads = class_heads(model)
    assert all((head.bias - PRIOR_BIAS).abs().max() < 1e-5 for head in heads.values())
    layers = {"conditional_detr": 1, "dab_detr": 1, "dense": 1}.get(
        family, 2
    )  # and rt_detr and later families have the encoder's
    assert len({id(head) for head in heads.values()}) >= layers + (family in HYBRID)
    assert 0.005 < float(predictions(model).logits.sigmoid().median()) < 0.02


def test_detr_keeps_a_bias_without_a_prior():
    """Its last class is "no object", which the loss weights by a tenth."""
    assert tiny("detr").class_labels_classifier.bias.abs().max() < 0.1


@pytest.mark.parametrize("family", FOCAL)
def test_queries_start_spread_over_the_image(family):
    centers = predictions(tiny(family)).pred_boxes[..., :2]
    assert (centers.std(1) > 0.05).all()


@pytest.mark.parametrize("family", ["detr", "conditional_detr", "dab_detr"])
def test_learned_queries_start_apart(family):
    """detr's boxes spread only as far as the image's features differ, but its queries do not start alike."""
    model = tiny(family).model
    queries = model.query_refpoint_embeddings if family == "dab_detr" else model.query_position_embeddings
    assert 0.8 < float(queries.weight.detach().std()) < 1.2


@pytest.mark.parametrize("family", list(BOX_HEADS))
def test_last_layers_of_box_heads_are_zero(family):
    model = tiny(family)
    for name in BOX_HEADS[family]:
        head = model.get_submodule(name)
        for one in head if isinstance(head, nn.ModuleList) else [head]:
            assert not one.layers[-1].weight.any() and not one.layers[-1].bias.any(), name
            assert one.layers[0].weight.any()


@pytest.mark.parametrize("family", TRANSFORMERS)
def test_linear_layers_have_xavier_scale(family):
    checked = 0
    for name, module in tiny(family).model.named_modules():
        transformer = name.startswith(("encoder.", "decoder.", "enc_output", "pos_trans"))
        if not isinstance(module, nn.Linear) or not transformer or min(module.weight.shape) < 4:
            continue
        if any(word in name for word in ("bbox", "class_embed", "reg_conf")):
            continue
        kept = name.rpartition(".")[2] in ("sampling_offsets", "attention_weights", "gate")
        scale = float(module.weight.detach().std()) / math.sqrt(2 / sum(module.weight.shape))
        assert scale == pytest.approx(0 if kept else 1, rel=0.1), name
        assert kept or not module.bias.any()
        checked += not kept
    assert checked >= 20


@pytest.mark.parametrize("family", ["deformable_detr", *HYBRID])
def test_deformable_attention_starts_as_a_star(family):
    found = [m for m in tiny(family).modules() if hasattr(m, "sampling_offsets")]
    assert found
    for attention in found:
        offsets = attention.sampling_offsets.bias.detach().view(4, -1, 2)  # heads, points, (x, y)
        assert offsets.abs().amax((1, 2)).min() >= 1 and (offsets.mean(1).norm(dim=1) > 0.5).all()
        assert not attention.attention_weights.bias.any()


def test_backbone_is_left_alone():
    model = tiny("rt_detr_v2")
    backbone = timm_module(model)
    assert backbone is not None
    before = {name: value.clone() for name, value in backbone.state_dict().items()}
    initialize(model)
    assert before and all(torch.equal(value, before[name]) for name, value in backbone.state_dict().items())


@pytest.mark.parametrize("family", MODEL_TYPES)
def test_checkpoint_keeps_its_weights_and_a_new_class_head_gets_the_prior(tmp_path, family):
    saved = tiny(family, ("hole", "scratch"))
    with torch.no_grad():
        for parameter in saved.parameters():
            parameter.add_(0.25)
    save_model(saved, image_processor(saved.config.model_type, (64, 64)), tmp_path / "best")
    weights = saved.state_dict()

    same_count = from_checkpoint(str(tmp_path / "best"), ["a", "b"]).state_dict()
    assert all(torch.equal(value, same_count[name]) for name, value in weights.items())

    model = from_checkpoint(str(tmp_path / "best"), ["a", "b", "c"])
    wanted = 0 if family == "detr" else PRIOR_BIAS
    heads = class_heads(model)
    assert all((head.bias - wanted).abs().max() < 1e-5 for head in heads.values())
    new = {f"{name}.{kind}" for name in heads for kind in ("weight", "bias")} | {"model.denoising_class_embed.weight"}
    kept = {name: value for name, value in model.state_dict().items() if name not in new}
    assert kept and all(torch.equal(value, weights[name]) for name, value in kept.items())
