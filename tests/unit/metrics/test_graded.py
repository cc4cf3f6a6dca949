"""Precision at a recall: by hand, against scikit-learn's curve, and where no threshold reaches the recall."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import precision_recall_curve

from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.graded import precision_at_recall
from mirage_lib.metrics.intervals import wilson

SCORES = [0.9, 0.8, 0.7, 0.6, 0.5, 0.5, 0.1]
TRUTH = [True, False, True, True, False, True, False]


@pytest.mark.parametrize(
    ("recall", "precision", "threshold", "reached"),
    [
        (0.25, 1.0, 0.9, 0.25),
        (0.3, 0.75, 0.6, 0.75),
        (0.75, 0.75, 0.6, 0.75),
        (0.8, 4 / 6, 0.5, 1.0),
        (1, 4 / 6, 0.5, 1.0),
    ],
)
def test_values_by_hand(recall, precision, threshold, reached):
    found = precision_at_recall(SCORES, TRUTH, recall, draws=50)
    assert (found.precision, found.threshold, found.recall) == pytest.approx((precision, threshold, reached))
    assert (found.n, found.n_unscored, found.n_unlabelled) == (7, 0, 0)


def test_of_equal_precisions_the_threshold_with_the_most_recall_is_taken():
    found = precision_at_recall([3, 2, 1], [True, True, False], 0.5, draws=20)
    assert (found.precision, found.threshold, found.recall) == (1, 2, 1)


def test_unscored_replies_are_never_flagged_and_unlabelled_ones_are_left_out():
    found = precision_at_recall([*SCORES, None, 0.95], [*TRUTH, True, None], 0.8, draws=50)
    assert (found.precision, found.recall) == pytest.approx((4 / 6, 4 / 5))
    assert (found.n, found.n_unscored, found.n_unlabelled) == (8, 1, 1)
    lost = precision_at_recall([*SCORES, np.nan], [*TRUTH, True], 0.9, draws=50)
    assert np.isnan([lost.precision, lost.low, lost.high, lost.threshold, lost.recall]).all()
    assert lost.why == "undefined: no threshold reaches a recall of 0.9"


@pytest.mark.parametrize("truth", [[False, False], [None, None], []])
def test_without_a_positive_reply_nothing_is_defined(truth):
    found = precision_at_recall([0.1, 0.2][: len(truth)], truth, 0.5)
    assert np.isnan(found.precision)
    assert found.why == "undefined: no reply is positive"


def test_a_judge_without_scores_finds_nothing():
    assert "no threshold" in precision_at_recall([None, None], [True, False], 0.5).why


def test_a_perfect_judge_has_an_interval():
    found = precision_at_recall([2] * 20 + [1] * 20, [True] * 20 + [False] * 20, 0.9, draws=100)
    assert (found.low, found.high) == pytest.approx(wilson(20, 20))


def test_copies_of_a_reply_tell_no_more_than_one():
    random = np.random.default_rng(0)
    truth = random.random(100) < 0.4
    scores = truth + random.normal(size=100)
    alone = precision_at_recall(scores, truth, 0.8, cluster=np.arange(100), draws=300)
    copies = precision_at_recall(scores.repeat(4), truth.repeat(4), 0.8, cluster=np.arange(100).repeat(4), draws=300)
    assert (copies.precision, copies.low, copies.high) == pytest.approx((alone.precision, alone.low, alone.high))
    apart = precision_at_recall(scores.repeat(4), truth.repeat(4), 0.8, draws=300)
    assert apart.high - apart.low < 0.75 * (alone.high - alone.low)


replies = st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=25)


@settings(deadline=None, max_examples=60)
@given(replies, st.sampled_from([0.1, 0.5, 0.9, 1.0]), st.randoms(use_true_random=False))
def test_it_is_a_point_of_scikit_learns_curve(rows, recall, random):
    scores, truth = (np.array(column) for column in zip(*rows, strict=True))
    found = precision_at_recall(scores, truth, recall, draws=20)
    if not truth.any():
        assert np.isnan(found.precision)
        return
    precisions, recalls, _ = precision_recall_curve(truth, scores)
    assert found.precision == pytest.approx(precisions[recalls >= recall - 1e-12].max())
    assert found.low <= found.precision <= found.high
    assert found.recall >= recall - 1e-12
    order = random.sample(range(len(rows)), len(rows))
    assert precision_at_recall(scores[order], truth[order], recall, draws=20) == found


def test_errors_name_what_is_wrong():
    for wrong in ({"recall": 0}, {"recall": 1.1}, {"recall": 0.5, "level": 0.0}, {"recall": 0.5, "draws": 0}):
        with pytest.raises(MirageError, match="expected"):
            precision_at_recall(SCORES, TRUTH, **wrong)
    with pytest.raises(MirageError, match="'score': 7, 'truth': 2"):
        precision_at_recall(SCORES, TRUTH[:2], 0.5)
    with pytest.raises(MirageError, match="'truth' is not True, False or missing"):
        precision_at_recall(SCORES, ["yes"] * 7, 0.5)
