from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.scoring.image_scores import best_image_threshold, image_scores, surest_detections

images = st.lists(st.tuples(st.integers(0, 6).map(lambda n: n / 6), st.booleans()), min_size=1, max_size=30)


def arrays(pairs):
    return np.array([score for score, _ in pairs]), np.array([bad for _, bad in pairs])


def test_an_image_scores_as_its_surest_detection():
    predictions = [{"scores": [0.2, 0.7, 0.1]}, {"scores": []}, {"scores": [0.4]}]
    truths = [{"labels": [3]}, {"labels": [0, 0]}, {"labels": []}]
    scores, defective = surest_detections(predictions, truths)
    assert scores.tolist() == [0.7, 0.0, 0.4] and defective.tolist() == [True, True, False]
    assert image_scores(scores, defective, 0.4) == {
        "auroc": 0.5, "f1": 0.5, "precision": 0.5, "recall": 0.5, "threshold": 0.4, "good_images": 1,
        "defective_images": 2,
    }  # fmt: skip


def test_no_images_at_all():
    scores, defective = surest_detections([], [])
    assert image_scores(scores, defective, 0.5)["auroc"] == -1


@given(images)
@settings(deadline=None, max_examples=60)
def test_auroc_is_the_chance_that_a_defective_image_scores_higher(pairs):
    scores, defective = arrays(pairs)
    auroc = image_scores(scores, defective, 0.5)["auroc"]
    bad, good = scores[defective], scores[~defective]
    if len(bad) and len(good):
        wins = (bad[:, None] > good).sum() + 0.5 * (bad[:, None] == good).sum()
        assert auroc == pytest.approx(wins / (len(bad) * len(good)))
    else:
        assert auroc == -1


@given(images, st.integers(0, 7).map(lambda n: n / 7))
@settings(deadline=None, max_examples=60)
def test_f1_by_counting(pairs, threshold):
    scores, defective = arrays(pairs)
    result = image_scores(scores, defective, threshold)
    called = scores >= threshold
    right = (called & defective).sum()
    if not defective.any() or defective.all():
        assert result["f1"] == result["precision"] == -1  # no good image could be called falsely
    else:
        assert result["f1"] == pytest.approx(2 * right / (called.sum() + defective.sum()))
        assert result["precision"] == pytest.approx(right / max(1, called.sum()))
    assert result["recall"] == pytest.approx(right / defective.sum() if defective.any() else -1)


@given(images)
@settings(deadline=None, max_examples=15)
def test_best_threshold_has_the_highest_f1(pairs):
    scores, defective = arrays(pairs)
    chosen = image_scores(scores, defective, best_image_threshold(scores, defective))["f1"]
    assert chosen == max(image_scores(scores, defective, score)["f1"] for score in scores)
