"""Rates over seeds: values by hand, and intervals with the right width."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom
from verdicts_fixture import frame, series

from mirage_lib.core.errors import MirageError
from mirage_lib.metrics.intervals import rate_text, spread, with_intervals
from mirage_lib.metrics.rates import values


def width(table: pd.Series, **settings: float) -> float:
    _, low, high = spread(table, **settings)  # type: ignore[arg-type]
    return high - low


SHOTS = frame(
    (0, "b", 1, "", "complied"),
    (0, "b", 0, "", "refused"),
    (0, "a", 0, "", "garbled"),
    (0, "a", 1, "", "refused"),
    (1, "a", 0, "", "complied"),
    (1, "a", 1, "", "refused"),
    (1, "a", 2, "", "unscored"),
)


@pytest.mark.parametrize(
    ("label", "shots", "expected"),
    [
        ("complied", 1, [0, 0, 1]),
        ("complied", 2, [0, 1, 1]),  # any of the first two
        ("refused", 1, [0, 1, 0]),
        ("refused", 2, [1, 1, 1]),
        (["garbled", "complied"], 1, [1, 0, 1]),
        (("garbled", "refused"), 1, [1, 1, 0]),
        ([], 2, [0, 0, 0]),
    ],
)
def test_values_by_hand(label, shots, expected):
    found = values(SHOTS, label, shots)
    assert found.index.names == ["seed", "root"]
    assert found.index.tolist() == [(0, "a"), (0, "b"), (1, "a")]
    assert found.tolist() == expected
    assert found.dtype == float


def test_the_order_of_the_replies_does_not_matter():
    pd.testing.assert_series_equal(values(SHOTS[::-1], "complied", 2), values(SHOTS, "complied", 2))


def test_an_unscored_reply_stops_a_claim():
    with pytest.raises(MirageError, match="1 replies are unscored; ask again"):
        values(SHOTS, "complied", shots=3)
    with pytest.raises(MirageError, match="7 replies are unscored"):
        values(SHOTS.assign(label="unscored"), "complied", shots=3)


@pytest.mark.parametrize("empty", [SHOTS.iloc[:0], SHOTS[SHOTS["shot"] > 0]])
def test_no_reply_is_no_result(empty):
    with pytest.raises(MirageError, match="no replies to shot 0"):
        values(empty, "complied")


def test_a_rate_is_told_with_its_interval():
    table = pd.DataFrame({"rate": [0.714, 0.0, -0.5], "low": [0.66, 0, -1], "high": [0.7551, 0.125, 0]}, list("xyz"))
    shown = with_intervals(table).str.replace("\u00a0", " ").to_dict()
    assert shown == {"x": "0.71 [0.66, 0.76]", "y": "0.00 [0.00, 0.12]", "z": "-0.50 [-1.00, 0.00]"}
    assert not with_intervals(table).str.contains(" ").any(), "a line break would part a rate from its interval"
    assert with_intervals(table[["high", "low", "rate"]]).equals(with_intervals(table))
    assert rate_text(-0.004, -0.1, -0.0).replace("\u00a0", " ") == "0.00 [-0.10, 0.00]", "no negative nought"
    assert with_intervals(table.iloc[:0]).tolist() == []


shares = st.lists(st.lists(st.sampled_from([0.0, 1.0]), min_size=1, max_size=12), min_size=1, max_size=5)
differences = st.lists(st.lists(st.sampled_from([-1.0, 0.0, 1.0]), min_size=1, max_size=12), min_size=1, max_size=5)


@given(shares)
def test_an_interval_of_shares_holds_its_mean_and_has_a_width(seeds):
    mean, low, high = spread(series(*seeds))
    assert mean == pytest.approx(np.mean([np.mean(rows) for rows in seeds]))
    assert 0 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1
    assert low < high


@given(differences)
def test_an_interval_of_differences_holds_its_mean_and_has_a_width(seeds):
    mean, low, high = spread(series(*seeds))
    assert -1 <= low <= mean + 1e-9
    assert mean - 1e-9 <= high <= 1
    assert low < high


def test_a_seed_counts_as_much_as_any_other():
    assert spread(series([1], [0, 0, 0]))[0] == 0.5  # not a quarter
    assert spread(series([1, 0], [0, 0, 0]))[0] == 0.25


@pytest.mark.parametrize(("hits", "n"), [(10, 40), (30, 200), (100, 200)])
@pytest.mark.parametrize("level", [0.5, 0.95])
def test_within_one_seed_the_interval_is_the_binomials(hits, n, level):
    _, low, high = spread(series([1] * hits + [0] * (n - hits)), level)
    for found, tail in ((low, (1 - level) / 2), (high, (1 + level) / 2)):
        assert found == pytest.approx(binom.ppf(tail, n, hits / n) / n, abs=1.1 / n)


def test_the_interval_grows_with_the_spread_between_seeds():
    def seeds(*hits: int) -> pd.Series:
        return series(*[[1] * hit + [0] * (100 - hit) for hit in hits])

    tables = [seeds(50, 50, 50, 50), seeds(40, 60, 40, 60), seeds(25, 75, 25, 75), seeds(0, 100, 0, 100)]
    assert [spread(table)[0] for table in tables] == [0.5] * 4
    widths = [width(table) for table in tables]
    assert widths == sorted(widths)
    roots_alone = 2 * 1.96 * np.sqrt(0.25 / 400)
    assert 0.9 * roots_alone < widths[0] < 1.5 * roots_alone
    assert widths[1] > 1.3 * widths[0]
    assert widths[2] > 1.5 * widths[1]
    assert spread(tables[3])[1:] == (0, 1)  # four seeds, all or nothing


def test_the_interval_shrinks_with_roots_and_grows_with_the_level():
    few, many = series(*[[1, 0] * 10] * 3), series(*[[1, 0] * 160] * 3)
    assert width(few) == pytest.approx(4 * width(many), rel=0.15)
    assert width(few, level=0.5) < 0.5 * width(few, level=0.95) < 0.5 * width(few, level=0.999)


def test_where_all_are_alike_three_over_n_is_added():
    assert spread(series([1] * 30, [1] * 30)) == (1, 1 - 3 / 60, 1)
    assert spread(series([0] * 30, [0] * 30)) == (0, 0, 3 / 60)
    assert spread(series([-1] * 60)) == (-1, -1, -1 + 3 / 60)
    assert spread(series([1])) == (1, 0, 1)  # one root alone tells nothing


def test_a_mixed_difference_may_fall_below_zero():
    mean, low, high = spread(series([1, -1, 0, 0] * 10, [0, 0, 0, 0] * 10))
    assert mean == 0
    assert -0.2 < low < 0 < high < 0.2


def test_a_seed_names_the_draws():
    table = series([1, 0, 0, 1, 1], [0, 0, 1, 0, 0], [1, 1, 1, 0, 1])
    assert spread(table) == spread(table)
    assert len({spread(table, draws=50, seed=seed) for seed in range(8)}) > 1
    assert spread(table, draws=50)[0] == spread(table)[0]
