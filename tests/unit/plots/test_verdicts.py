"""Curves: each goes through the rates of its table, with their intervals."""

import numpy as np
import pandas as pd
import pytest
from plots_fixture import CURVES, DOSE, texts

from mirage_lib.plots import verdicts

pytestmark = pytest.mark.filterwarnings("error")  # a glyph without a font, a layout that does not fit


def test_a_curve_ends_at_its_last_rate():
    names = {"what": "asked with What", "plain": "as it is"}
    ax = verdicts.k_curves(CURVES, "asked", names, "attack success rate")
    assert len(ax.lines) == len(ax.collections) == len(ax.texts) == 2
    for line, band, text, (value, name) in zip(ax.lines, ax.collections, ax.texts, names.items(), strict=True):
        rows = CURVES[CURVES["asked"] == value].sort_values("k")
        assert list(line.get_xdata()) == [1, 2, 4]
        assert list(line.get_ydata()) == rows["rate"].tolist()
        corners = {tuple(corner) for corner in band.get_paths()[0].vertices.tolist()}
        for column in ("low", "high"):
            assert set(zip(rows["k"].astype(float), rows[column], strict=True)) <= corners
        assert (text.get_text(), text.xy) == (name, (4, rows["rate"].iloc[-1]))
        assert text.get_color() == line.get_color()
    assert len({line.get_marker() for line in ax.lines}) == 2
    assert ax.get_xticks().tolist() == [1, 2, 4]
    assert ax.get_ylabel() == "attack success rate"


def test_only_named_curves_are_drawn():
    ax = verdicts.k_curves(CURVES, "asked", {"plain": "as it is"}, "rate")
    assert texts(ax) == ["as it is"]
    assert list(ax.lines[0].get_ydata()) == [0.1, 0.2, 0.3]


def test_a_dose_curve_goes_from_weak_to_strong_with_each_interval():
    ax = verdicts.dose_curves(DOSE, "how strong the bias is")
    harm, helped = ax.containers
    assert [harm.get_label(), helped.get_label()] == ["harm", "help"]
    line, _, (bars,) = harm.lines
    np.testing.assert_allclose(line.get_xydata(), [[0, 0], [0.5, 0.1], [1, 0.8]])
    np.testing.assert_allclose([bar[:, 1] for bar in bars.get_segments()], [[0, 0.1], [0.05, 0.3], [0.5, 0.9]])
    assert ax.get_xticks().tolist() == [0, 0.5, 1], "each strength that was tried"
    assert ax.get_xlabel() == "how strong the bias is"


def test_rates_by_judge_put_each_judge_at_its_rate():
    rows = [("m", "people", 0.2, 0.1, 0.3), ("m", "list", 0.6, 0.5, 0.7), ("n", "people", 0.9, 0.8, 1.0)]
    table = pd.DataFrame([*rows, ("n", "list", 0.4, 0.3, 0.5)], columns=["model", "judge", "rate", "low", "high"])
    ax = verdicts.rates_by_judge(table, "share")
    dots = [(line.get_xdata()[0], round(line.get_ydata()[0])) for line in ax.lines if line.get_label() == "list"]
    lines = [line for line in ax.lines if line.get_label() == "people"]
    people = [(line.get_xdata()[0], round(float(np.mean(line.get_ydata())))) for line in lines]
    assert dots == [(0.6, 0), (0.4, 1)]
    assert people == [(0.2, 0), (0.9, 1)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["m", "n"]
    legend = ax.get_legend()
    assert [text.get_text() for text in legend.get_texts()] == ["people", "list"]
