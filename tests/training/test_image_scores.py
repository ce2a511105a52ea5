from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.scoring.image_scores import best_image_threshold, highest_scores, image_scores

images = st.lists(st.tuples(st.integers(0, 6).map(lambda n: n / 6), st.booleans()), min_size=1, max_size=30)


def arrays(pairs):
    return np.array([score for score, _ in pairs]), np.array([bad for _, bad in pairs])


def test_the_score_of_an_image_is_that_of_its_most_confident_detection():
    predictions = [{"scores": [0.2, 0.7, 0.1]}, {"scores": []}, {"scores": [0.4]}]
    targets = [{"labels": [3]}, {"labels": [0, 0]}, {"labels": []}]
    scores, defective = highest_scores(predictions, targets)
    assert scores.tolist() == [0.7, 0.0, 0.4] and defective.tolist() == [True, True, False]
    assert image_scores(scores, defective, 0.4) == {
        "auroc": 0.5,
        "f1": 0.5,
        "precision": 0.5,
        "recall": 0.5,
        "threshold": 0.4,
        "good_images": 1,
        "defective_images": 2,
    }


def test_no_images_at_all():
    scores, defective = highest_scores([], [])
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
    predicted = scores >= threshold
    correct = (predicted & defective).sum()
    if not defective.any() or defective.all():
        assert result["f1"] == result["precision"] == -1  # no good image could be a false positive
    else:
        assert result["f1"] == pytest.approx(2 * correct / (predicted.sum() + defective.sum()))
        assert result["precision"] == pytest.approx(correct / max(1, predicted.sum()))
    assert result["recall"] == pytest.approx(correct / defective.sum() if defective.any() else -1)


@given(images)
@settings(deadline=None, max_examples=15)
def test_best_threshold_has_the_highest_f1(pairs):
    scores, defective = arrays(pairs)
    chosen = image_scores(scores, defective, best_image_threshold(scores, defective))["f1"]
    assert chosen == max(image_scores(scores, defective, score)["f1"] for score in scores)
