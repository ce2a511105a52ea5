"""Label Studio's brush masks, decoded from codes that an encoder of this module writes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from radikal_datasets.errors import MalformedAnnotationError
from radikal_datasets.own_data.brush import brush_mask

_RUN_BITS = (3, 4, 8, 16)
MASKS = arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 12)))


def encoded(mask: np.ndarray, runs: bool = True) -> list[int]:
    """Label Studio's code: the opacity of four channels, as runs or value by value."""
    flat = np.repeat(mask.ravel(), 4).astype(np.uint8) * 255
    bits = f"{flat.size:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in _RUN_BITS)
    ends = [*(np.flatnonzero(np.diff(flat)) + 1).tolist(), flat.size]
    start = 0
    for end in ends:
        while start < end:
            which = next(i for i, size in enumerate(_RUN_BITS) if end - start <= 1 << size or i == 3)
            length = min(end - start, 1 << _RUN_BITS[which])
            bits += f"{runs:d}{which:02b}{length - 1:0{_RUN_BITS[which]}b}"
            bits += f"{flat[start]:08b}" * (1 if runs else length)
            start += length
    bits += "0" * (-len(bits) % 8)
    return [int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)]


@given(MASKS, st.booleans())
def test_a_decoded_mask_is_the_drawn_one(mask: np.ndarray, runs: bool) -> None:
    height, width = mask.shape
    np.testing.assert_array_equal(brush_mask(encoded(mask, runs), width, height, "a.json", lambda: 3), mask)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        (lambda code: code[:-2], "damaged: it ends early"),
        (lambda code: code[:3], "damaged: it ends early"),
        (lambda code: [255, 255, 255, 255, *code[4:]], "damaged: it claims too many pixels"),
        (lambda code: [*code[:3], code[3] - 4, *code[4:]], "damaged: a run is too long"),
        (lambda code: "not a list", "damaged"),
        (lambda code: [300, *code], "damaged"),
    ],
)
def test_a_damaged_code_is_named_with_its_line(damage, found: str) -> None:
    code = encoded(np.ones((4, 5), bool))
    with pytest.raises(MalformedAnnotationError, match=rf"a\.json, line 3: the brush mask is {found}"):
        brush_mask(damage(code), 5, 4, "a.json", lambda: 3)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(MalformedAnnotationError, match="has 20 pixels, its image 4x4"):
        brush_mask(encoded(np.ones((4, 5), bool)), 4, 4, "a.json", lambda: None)
