import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from radikal_datasets.annotations.components import label_components

MASKS = hnp.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def flood_fill(mask: np.ndarray) -> set[frozenset[tuple[int, int]]]:
    """Return the components as sets of (row, column), by a slow and simple method."""
    left = {(int(row), int(column)) for row, column in np.argwhere(mask)}
    found = set()
    while left:
        todo = [left.pop()]
        component = set(todo)
        while todo:
            row, column = todo.pop()
            near = {(row + dy, column + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)} & left
            left -= near
            component |= near
            todo.extend(near)
        found.add(frozenset(component))
    return found


@given(MASKS)
@settings(max_examples=200, deadline=None)
def test_components_are_those_of_a_flood_fill_and_boxes_are_tight(mask):
    labels, boxes = label_components(mask)
    assert labels.shape == mask.shape
    assert labels.dtype == np.int32
    assert np.array_equal(labels > 0, mask)
    assert labels.max(initial=0) == len(boxes)
    found = set()
    for number, box in enumerate(boxes, start=1):
        rows, columns = np.nonzero(labels == number)
        assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        found.add(frozenset(zip(rows.tolist(), columns.tolist(), strict=True)))
    assert found == flood_fill(mask)


@given(MASKS)
@settings(max_examples=100, deadline=None)
def test_components_are_numbered_by_their_first_pixel(mask):
    labels, boxes = label_components(mask)
    flat = labels.ravel()
    firsts = [int(np.flatnonzero(flat == number)[0]) for number in range(1, len(boxes) + 1)]
    assert firsts == sorted(firsts)


def test_corners_connect_and_the_last_pixel_counts():
    mask = np.array([[1, 0, 0, 0], [0, 1, 0, 1], [0, 0, 0, 1]], dtype=bool)
    labels, boxes = label_components(mask)
    assert boxes == [(0.0, 0.0, 2.0, 2.0), (3.0, 1.0, 4.0, 3.0)]
    assert labels.tolist() == [[1, 0, 0, 0], [0, 1, 0, 2], [0, 0, 0, 2]]


def test_an_empty_mask_has_none():
    labels, boxes = label_components(np.zeros((5, 7), dtype=bool))
    assert boxes == []
    assert not labels.any()
