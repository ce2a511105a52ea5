import pickle
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from radikal_datasets.annotations.components import label_components
from radikal_datasets.annotations.mask_file import MaskFile, mask_instances, read_mask, to_defect
from radikal_datasets.errors import MalformedAnnotationError, MaskSizeError
from radikal_datasets.raw.tree import Tree
from radikal_datasets.report import Report
from radikal_datasets.samples.drawing import truncate
from radikal_datasets.samples.mishaps import decompression_bomb

TWO = np.array([[0, 255, 0, 0, 0], [0, 0, 255, 0, 0], [0, 0, 0, 0, 255], [0, 0, 0, 0, 255]], dtype=np.uint8)


def save(folder: Path, image: PIL.Image.Image, name: str = "mask.png") -> Tree:
    image.save(folder / name)
    return Tree.open(folder)


def test_instances_are_the_components_and_reproduce_the_mask(tmp_path):
    tree, report = save(tmp_path, PIL.Image.fromarray(TWO)), Report()
    instances = mask_instances(tree, "mask.png", "crack", 5, 4, report)
    assert [(i.label, i.box) for i in instances] == [("crack", (1, 0, 3, 2)), ("crack", (4, 2, 5, 4))]
    assert report.counts() == {}
    for instance in pickle.loads(pickle.dumps(instances)):  # they are pickled for worker processes
        labels = instance.mask.source.labels(tree, 5, 4)
        assert labels.shape == (4, 5)
        drawn = labels == instance.mask.component
        rows, columns = np.nonzero(drawn)
        assert instance.box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert (TWO[drawn] == 255).all()
    assert np.array_equal(MaskFile("mask.png").labels(tree, 5, 4) > 0, TWO > 0)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "LA"])
def test_every_eight_bit_mode_gives_the_same_instances(tmp_path, mode):
    tree, report = save(tmp_path, PIL.Image.fromarray(TWO).convert(mode)), Report()
    assert np.array_equal(to_defect(read_mask(tree, "mask.png", 5, 4)), TWO > 0)
    assert len(mask_instances(tree, "mask.png", "crack", 5, 4, report)) == 2
    assert report.counts() == {}


@pytest.mark.parametrize(
    ("values", "defect"),
    [
        ([0, 255], [False, True]),
        ([0, 1], [False, True]),
        ([0, 100], [False, True]),
        ([0, 1, 127, 128, 255], [False, False, False, True, True]),
        ([0, 0], [False, False]),
        ([255, 255], [True, True]),
    ],
)
def test_which_values_are_the_defect(values, defect):
    assert to_defect(np.array([values], dtype=np.uint8)).tolist() == [defect]


@pytest.mark.parametrize(("values", "counted"), [([0, 255], 0), ([0, 1], 1), ([0, 3, 200], 1)])
def test_unexpected_values_are_counted_once_per_mask(tmp_path, values, counted):
    tree, report = save(tmp_path, PIL.Image.fromarray(np.array([values], dtype=np.uint8))), Report()
    assert len(mask_instances(tree, "mask.png", "crack", len(values), 1, report)) == 1
    assert report.counts() == ({"mask_values": 1} if counted else {})
    assert not report.loses_something


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.sampled_from([0, 255])))
def test_any_mask_is_reproduced_pixel_by_pixel(tmp_path_factory, pixels):
    tree = save(tmp_path_factory.mktemp("mask"), PIL.Image.fromarray(pixels))
    height, width = pixels.shape
    instances = mask_instances(tree, "mask.png", "crack", width, height, Report())
    _, boxes = label_components(pixels > 0)
    assert [instance.box for instance in instances] == boxes
    together = np.zeros(pixels.shape, dtype=bool)
    for instance in instances:
        together |= instance.mask.source.labels(tree, width, height) == instance.mask.component
    assert np.array_equal(together, pixels > 0)


def test_an_empty_mask_has_no_instance(tmp_path):
    tree = save(tmp_path, PIL.Image.new("L", (5, 4)))
    assert mask_instances(tree, "mask.png", "crack", 5, 4, Report()) == []


def test_error_for_a_different_size_names_both_sizes(tmp_path):
    tree = save(tmp_path, PIL.Image.fromarray(TWO))
    with pytest.raises(MaskSizeError, match=r"mask\.png: the mask is 5x4, its image 4x5"):
        read_mask(tree, "mask.png", 4, 5)


def test_a_bomb_is_refused_by_its_size_and_never_decoded(tmp_path):
    decompression_bomb(tmp_path / "mask.png")
    with pytest.raises((MaskSizeError, MalformedAnnotationError), match=r"mask\.png"):
        read_mask(Tree.open(tmp_path), "mask.png", 5, 4)


def test_files_that_are_not_masks_are_malformed(tmp_path):
    (tmp_path / "mask.png").write_text("404: not found")
    with pytest.raises(MalformedAnnotationError, match="has no image header"):
        read_mask(Tree.open(tmp_path), "mask.png", 5, 4)


def test_a_truncated_mask_is_malformed(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 2, (64, 64), dtype=np.uint8) * 255
    PIL.Image.fromarray(pixels).save(tmp_path / "mask.png")
    truncate(tmp_path / "mask.png")
    with pytest.raises(MalformedAnnotationError, match="cannot be decoded"):
        read_mask(Tree.open(tmp_path), "mask.png", 64, 64)


def test_sixteen_bits_have_no_agreed_white(tmp_path):
    tree = save(tmp_path, PIL.Image.fromarray(TWO.astype(np.uint16) * 257))
    with pytest.raises(MalformedAnnotationError, match="not 8 bits"):
        read_mask(tree, "mask.png", 5, 4)
