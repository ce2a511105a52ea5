from __future__ import annotations

import pytest
import torch

from loaders import Augmentation, ClassificationLoader, DetectionLoader, Tiling
from tests.loaders.conftest import drawn_row, make_split

BOXES = [
    ([], []),
    ([[0, 0, 10, 10]], [1]),
    ([[0, 0, 10, 10], [20, 20, 50, 50]], [1, 0]),
    ([[0, 0, 10, 10], [20, 20, 30, 30], [30, 30, 39, 40]], [1, 1, 0]),
    ([[0, 0, 10, 10], [20, 20, 30, 30]], [1, 0]),
]


@pytest.fixture(scope="module")
def split():
    return make_split([drawn_row(i, boxes=boxes, labels=labels) for i, (boxes, labels) in enumerate(BOXES)])


def labels_of(split, **options):
    loader = ClassificationLoader(split, 2, 32, shuffle=False, **options)
    return torch.cat([batch["labels"] for batch in loader]), loader.class_names


def test_defect_or_not(split):
    labels, names = labels_of(split)
    assert labels.tolist() == [0, 1, 1, 1, 1] and labels.dtype == torch.int64 and names == ["defect_free", "defect"]


def test_class_is_the_one_that_covers_most(split):
    labels, names = labels_of(split, target="class")
    assert [names[i] for i in labels] == ["defect_free", "scratch", "hole", "scratch", "hole"]


def test_available_classes(split):
    labels, names = labels_of(split, target="classes")
    assert names == ["hole", "scratch"] and labels.dtype == torch.float32
    assert labels.tolist() == [[0, 0], [0, 1], [1, 1], [1, 1], [1, 1]]


def test_pixels_are_those_of_the_detection_loader(split):
    options = {"augment": Augmentation(), "seed": 3}
    for one, other in zip(
        ClassificationLoader(split, 2, 32, **options), DetectionLoader(split, 2, 32, **options), strict=True
    ):
        assert torch.equal(one["pixel_values"], other["pixel_values"]) and one["image_id"] == other["image_id"]


def test_the_label_is_that_of_the_tile(split):
    loader = ClassificationLoader(split, 1000, 16, shuffle=False, tiles=Tiling(16, 0.0))
    (batch,) = loader
    for image_id, window, label in zip(
        batch["image_id"], batch["window"].tolist(), batch["labels"].tolist(), strict=True
    ):
        boxes = BOXES[int(image_id.split("/")[1])][0]
        top, left, height, width = window
        inside = [
            max(0, min(x1, left + width) - max(x0, left)) * max(0, min(y1, top + height) - max(y0, top))
            >= 0.25 * (x1 - x0) * (y1 - y0)
            for x0, y0, x1, y1 in boxes
        ]
        assert label == any(inside)


def test_a_timm_and_a_transformers_classifier_take_the_batch(split):
    import timm
    from transformers import ResNetConfig, ResNetForImageClassification

    (batch, *_) = ClassificationLoader(split, 4, 32, target="class")
    model = timm.create_model("test_resnet", num_classes=3)
    torch.nn.functional.cross_entropy(model(batch["pixel_values"]), batch["labels"]).backward()
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", num_labels=3)
    loss = ResNetForImageClassification(config)(pixel_values=batch["pixel_values"], labels=batch["labels"]).loss
    assert torch.isfinite(loss)


def test_unknown_target(split):
    with pytest.raises(ValueError, match="target is 'defects', but must be"):
        ClassificationLoader(split, 2, 32, target="defects")  # type: ignore[arg-type]
