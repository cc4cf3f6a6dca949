"""Corrected rates: values by hand, coverage of the intervals by simulation, and where there is no correction."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.corrected import (
    Confusion,
    effective_number,
    lang_reiczigel,
    prediction_powered,
    rogan_gladen,
)
from mirage_lib.metrics.intervals import wilson

JUDGE = Confusion(tp=80, fp=10, fn=20, tn=190)  # sensitivity 0.8, specificity 0.95


def test_rogan_gladen_by_hand():
    found = rogan_gladen(60, 300, JUDGE, n_unscored=4)
    assert found.rate == pytest.approx((0.2 + 0.95 - 1) / (0.8 + 0.95 - 1))
    assert (found.raw, found.n, found.n_unscored, found.n_labelled) == (0.2, 300, 4, 300)
    assert (found.raw_low, found.raw_high) == pytest.approx(wilson(60, 300))
    # with z = 1.95996: shares drawn towards 1/2 are 0.203793, 81/102 and 191/202; their rate is 0.201902, the
    # shift 0.000923, the standard error 0.037314
    assert (found.low, found.high) == pytest.approx((0.129692, 0.275959), abs=2e-5)
    assert "errs as often on these replies as on the labelled ones" in found.why


def test_a_judge_without_errors_changes_nothing_but_the_width():
    found = rogan_gladen(60, 300, Confusion(tp=10**6, fp=0, fn=0, tn=10**6))
    assert found.rate == pytest.approx(found.raw)
    assert (found.low, found.high) == pytest.approx(wilson(60, 300), abs=0.003)
    doubtful = rogan_gladen(60, 300, Confusion(tp=10, fp=0, fn=0, tn=10))
    assert doubtful.high - doubtful.low > 1.5 * (found.high - found.low)


def test_a_handful_of_labels_gives_no_rate():
    found = rogan_gladen(0, 1, Confusion(tp=1, fp=3, fn=0, tn=1), effective=1.0)
    assert np.isnan([found.rate, found.low, found.high]).all()
    assert "too few labelled replies" in found.why


@pytest.mark.parametrize(("side", "rate"), [(1, 0.0), (-1, 1.0)])
def test_a_corrected_rate_stays_between_0_and_1(side, rate):
    found = [rogan_gladen(flagged, 300, JUDGE) for flagged in range(301)][::side]
    cut = next(one for one in found if one.rate == rate)
    assert 0 <= cut.low <= rate <= cut.high <= 1
    assert cut.low < cut.high
    assert "Cut off from " in cut.why
    assert np.isnan(found[0].rate), "so far off that the judge cannot err as it did on the labelled replies"
    assert "undefined: the judge flags " + ("fewer" if side > 0 else "more") in found[0].why


@pytest.mark.parametrize(
    ("confusion", "why"),
    [
        (Confusion(tp=5, fp=5, fn=5, tn=5), "sensitivity + specificity is 1.00"),
        (Confusion(tp=2, fp=5, fn=8, tn=5), "sensitivity + specificity is 0.70"),
        (Confusion(tp=0, fp=5, fn=0, tn=5), "no positive reply"),
        (Confusion(tp=5, fp=0, fn=5, tn=0), "no negative reply"),
        (Confusion(tp=0, fp=0, fn=0, tn=0), "no positive reply"),
    ],
)
def test_where_the_correction_is_undefined_it_says_why(confusion, why):
    found = rogan_gladen(60, 300, confusion)
    assert np.isnan([found.rate, found.low, found.high]).all()
    assert found.why.startswith("undefined: ")
    assert why in found.why
    assert (found.raw, found.raw_low, found.raw_high) == pytest.approx((0.2, *wilson(60, 300)))


SETTINGS = list(itertools.product([0.05, 0.3, 0.9], [0.7, 0.95], [0.8, 0.98], [200, 1000]))


@pytest.mark.parametrize(("rate", "sensitivity", "specificity", "labelled"), SETTINGS)
def test_the_interval_of_rogan_gladen_covers(rate, sensitivity, specificity, labelled):
    random, times, n = np.random.default_rng(0), 4000, 300
    raw = random.binomial(n, rate * sensitivity + (1 - rate) * (1 - specificity), times) / n
    positives = random.binomial(labelled, 0.4, times)
    found = random.binomial(positives, sensitivity) / positives
    passed = random.binomial(labelled - positives, specificity) / (labelled - positives)
    low, high = lang_reiczigel(raw, n, found, positives, passed, labelled - positives)
    assert np.mean((low <= rate) & (rate <= high)) >= 0.94


def replies(random: np.random.Generator, n: int, rate: float, sensitivity: float, specificity: float) -> np.ndarray:
    """Labels and calls of n replies: (2, n)."""
    labels = random.random(n) < rate
    calls = np.where(labels, random.random(n) < sensitivity, random.random(n) > specificity)
    return np.stack([labels, calls]).astype(float)


POWERED = list(itertools.product([0.05, 0.3, 0.9], [0.8, 0.95], [0.8, 1.0]))


@pytest.mark.parametrize(("rate", "sensitivity", "specificity"), POWERED)
def test_the_interval_of_prediction_powered_inference_covers(rate, sensitivity, specificity):
    random, covered = np.random.default_rng(0), []
    for _ in range(300):
        labels, calls = replies(random, 800, rate, sensitivity, specificity)
        labels[200:] = np.nan
        found = prediction_powered(calls, labels)
        covered.append(found.low <= rate <= found.high)
    assert np.mean(covered) >= 0.93


def test_prediction_powered_inference_by_hand():
    calls = [True, False, False, False, True, True, False, False]
    labels = [True, True, False, False, None, None, None, None]
    # the covariance with the labels is 1/8, the variance of all calls 15/64, so w = (1/8) / (15/64) / 2 = 4/15;
    # the rate is 1/2 + w (1/2 - 1/4)
    found = prediction_powered(calls, labels)
    assert found.rate == pytest.approx(17 / 30)
    assert (found.raw, found.n, found.n_unscored, found.n_labelled) == (3 / 8, 8, 0, 4)
    assert "a random draw of the same replies" in found.why


def test_with_many_labels_the_interval_is_the_normal_one():
    labels, calls = replies(np.random.default_rng(1), 20000, 0.3, 0.9, 0.9)
    known = np.where(np.arange(20000) < 5000, labels, np.nan)
    found = prediction_powered(calls, known)
    ours, others = calls[:5000], calls[5000:]
    weight = np.cov(labels[:5000], ours, ddof=0)[0, 1] / np.var(calls) / (1 + 5000 / 15000)
    residue = labels[:5000] - weight * ours
    error = np.sqrt(residue.var(ddof=1) / 5000 + weight**2 * others.var(ddof=1) / 15000)
    assert found.rate == pytest.approx(residue.mean() + weight * others.mean())
    assert (found.low, found.high) == pytest.approx((found.rate - 1.96 * error, found.rate + 1.96 * error), abs=3e-4)
    alone = wilson(labels[:5000].sum(), 5000)
    assert found.high - found.low < 0.85 * (alone[1] - alone[0]), "the calls add to what the labels tell"


def test_a_judge_that_tells_nothing_leaves_the_labels():
    labels = [True] * 12 + [False] * 28 + [None] * 100
    for calls in ([True] * 140, [False] * 40 + [True] * 100, [False, True] * 6 + [False] * 128):
        found = prediction_powered(calls, labels)
        if len(set(calls)) == 1:
            assert found.rate == pytest.approx(0.3)
        assert 0 <= found.low < found.high <= 1
    opposite = prediction_powered([False] * 12 + [True] * 28 + [True] * 100, labels)
    assert opposite.rate == pytest.approx(0.3), "a judge that is always wrong gets the weight 0"


def test_with_all_replies_labelled_or_all_alike():
    every = prediction_powered([True, False] * 20, [True, False] * 20)
    assert every.rate == 0.5
    none = prediction_powered([False] * 100, [False] * 50 + [None] * 50)
    assert (none.rate, none.low) == (0, pytest.approx(0, abs=1e-12))
    assert none.high == pytest.approx(wilson(0, 50)[1])
    few = prediction_powered([True, False, True], [True, None, None])
    assert np.isnan([few.rate, few.low, few.high]).all()
    assert few.why == "undefined: 1 of the replies have a label; at least two must."
    assert few.raw == pytest.approx(2 / 3)


def test_an_unscored_call_is_counted_and_no_bias():
    random, rates = np.random.default_rng(2), []
    for _ in range(200):
        labels, calls = replies(random, 400, 0.3, 0.9, 0.9)
        calls[(labels == 1) & (random.random(400) < 0.5)] = np.nan  # half of the positive replies
        labels[150:] = np.nan
        rates.append(prediction_powered(calls, labels).rate)
    assert np.mean(rates) == pytest.approx(0.3, abs=0.01)
    found = prediction_powered(calls, labels)
    assert found.n_unscored == np.isnan(calls).sum() > 0
    assert found.n + found.n_unscored == 400
    assert found.raw < 0.25, "the raw rate suffers"


def test_attempts_that_end_alike_tell_as_much_as_one():
    labels, calls = replies(np.random.default_rng(3), 300, 0.3, 0.9, 0.9)
    labels[150:] = np.nan
    cluster = np.arange(300).repeat(3)
    alone, copies = (
        prediction_powered(calls, labels),
        prediction_powered(calls.repeat(3), labels.repeat(3), cluster),
    )
    assert copies.rate == pytest.approx(alone.rate)
    assert (copies.low, copies.high) == pytest.approx((alone.low, alone.high), abs=0.005)
    assert effective_number(calls.repeat(3), cluster) == pytest.approx(299)
    apart = prediction_powered(calls.repeat(3), labels.repeat(3))
    assert apart.high - apart.low < 0.65 * (alone.high - alone.low)


def test_the_effective_number_of_replies():
    assert effective_number([True, False] * 50, range(100)) == pytest.approx(99)
    assert effective_number([True, False] * 50, np.arange(100) // 2) == 50, "no spread between clusters"
    assert effective_number([True, False, False] * 30, np.arange(90) // 2) == 90, "all of it within clusters"
    assert effective_number([True] * 40, np.arange(40) // 4) == 10
    assert effective_number([True, False, None, True], ["a"] * 4) == 1
    few = rogan_gladen(60, 300, JUDGE, effective=100)
    many = rogan_gladen(60, 300, JUDGE)
    assert few.rate == many.rate
    assert few.low < many.low < many.high < few.high
    assert few.raw_high > many.raw_high


@settings(deadline=None, max_examples=80)
@given(st.integers(1, 400), st.data())
def test_bounds_hold_the_rate(n, data):
    count = st.integers(0, 60)
    confusion = Confusion(*(data.draw(count) for _ in range(4)))
    found = rogan_gladen(data.draw(st.integers(0, n)), n, confusion, effective=data.draw(st.floats(0.5, 1)) * n)
    assert 0 <= found.raw_low <= found.raw <= found.raw_high <= 1
    if np.isnan(found.rate):
        assert found.why.startswith("undefined")
    else:
        assert 0 <= found.low <= found.rate <= found.high <= 1


calls_and_labels = st.tuples(
    st.sampled_from([True, False, None]), st.sampled_from([True, False, None]), st.integers(0, 4)
)


@settings(deadline=None, max_examples=80)
@given(st.lists(calls_and_labels, min_size=3, max_size=30), st.randoms(use_true_random=False))
def test_the_order_of_replies_does_not_matter(rows, random):
    if all(call is None for call, _, _ in rows):
        rows = [*rows, (True, None, 0)]
    found = prediction_powered(*(list(column) for column in zip(*rows, strict=True)))
    again = prediction_powered(*(list(c) for c in zip(*random.sample(rows, len(rows)), strict=True)))
    for name in ("raw", "raw_low", "raw_high", "rate", "low", "high", "n", "n_unscored", "n_labelled"):
        assert getattr(again, name) == pytest.approx(getattr(found, name), nan_ok=True)
    if not np.isnan(found.rate):
        assert 0 <= found.low <= found.rate <= found.high <= 1


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: rogan_gladen(5, 4, JUDGE), "5 flagged of 4"),
        (lambda: rogan_gladen(0, 0, JUDGE), "expected"),
        (lambda: rogan_gladen(1, 4, JUDGE, effective=5), "at most n = 4"),
        (lambda: rogan_gladen(1, 4, JUDGE, level=95), "level is 95"),
        (lambda: Confusion(tp=1, fp=-1, fn=0, tn=0), "negative"),
        (lambda: prediction_powered([], []), "no scored call"),
        (lambda: prediction_powered([None], [True]), "no scored call"),
        (lambda: prediction_powered([True], [True, None]), "1 calls, 2 labels"),
        (lambda: prediction_powered(["yes"], [True]), "'calls' is not True, False or missing"),
        (lambda: effective_number([True], [0, 1]), "1 calls and 2 clusters"),
        (lambda: effective_number([True, True], [0, None]), "Reply 1 has no cluster"),
        (lambda: effective_number([None], [0]), "no scored call"),
    ],
)
def test_errors_name_what_is_wrong(call, match):
    with pytest.raises(MirageError, match=match):
        call()
