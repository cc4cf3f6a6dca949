"""Charts: each draws what its table says."""

import itertools

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from plots_fixture import COUNTS, EDITS, FORECAST, GRID, HARM, LINES, MOVED, SHARES, VERDICTS, bars, texts

from mirage_lib.plots import verdicts, words
from mirage_lib.plots.style import CLASS_NAMES, COLOURS, QUIET, WARM

pytestmark = pytest.mark.filterwarnings("error")  # a glyph without a font, a layout that does not fit


def test_bars_are_as_wide_as_the_counts():
    classes = ["safe_safes", "safe_unsafes", "unsafes"]
    ax = words.word_label(COUNTS, classes, title="How they open")
    found = bars(ax)
    assert list(found) == [CLASS_NAMES[name] for name in classes]
    for _, row in COUNTS.iterrows():
        left = 0
        for name in classes:
            assert found[CLASS_NAMES[name]][row["word"]] == (left, row[name])
            left += row[name]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["tell", "share", "what", "can"]  # can is on top
    assert [text.get_text() for text in ax.get_legend().get_texts()] == list(found)
    assert (ax.get_title(loc="left"), ax.get_xlabel()) == ("How they open", "requests")
    assert [to_hex(group[0].get_facecolor()) for group in ax.containers] == [COLOURS[name] for name in classes]
    assert [group[0].get_hatch() or "" for group in ax.containers] == ["", "///", ""]


def test_only_the_most_frequent_words_are_shown():
    ax = words.word_label(COUNTS, ["unsafes"], top=2)
    assert {name: list(words) for name, words in bars(ax).items()} == {CLASS_NAMES["unsafes"]: ["what", "share"]}
    ax = words.share_by_word(SHARES, top=3)
    assert len(ax.collections[1].get_offsets()) == 3
    assert texts(ax) == ["n = 900", "n = 400", "n = 100"]


def test_a_words_share_stands_in_its_interval():
    ax = words.share_by_word(SHARES, xlabel="share refused")
    ax.figure.canvas.draw()
    told = [label.get_text() for label in ax.get_yticklabels()]
    assert told == ["what", "tell", "can", "share"]  # the surest word is on top
    lines, points = ax.collections
    rows = SHARES.set_index("word").loc[told]
    for y, (segment, point, (_, row)) in enumerate(
        zip(lines.get_segments(), points.get_offsets(), rows.iterrows(), strict=True)
    ):
        assert segment.tolist() == [[row["low"], y], [row["high"], y]]
        assert point.tolist() == [row["share"], y]
    assert texts(ax) == [f"n = {n}" for n in rows["n"]]
    sizes = pd.Series(points.get_sizes(), told)
    assert sizes.sort_values().index.tolist() == ["tell", "share", "can", "what"]
    assert ax.get_xlabel() == "share refused"
    low, high = ax.get_xlim()
    assert low < 0 < 1 < high


def test_a_line_goes_from_before_to_after():
    axes = verdicts.before_after({"unsafe": MOVED, "safe": MOVED.assign(rate=1 - MOVED["rate"])}, ylabel="share")
    assert [ax.get_title(loc="left") for ax in axes] == ["unsafe", "safe"]
    assert axes[0].get_ylabel() == "share"
    wanted = {"unsafe": [[0.0, 0.75], [0.1, 0.95], [0.05, 0.85]], "safe": [[1.0, 0.25], [0.9, 0.05], [0.95, 0.15]]}
    for ax, values in zip(axes, wanted.values(), strict=True):
        assert len(ax.lines) == 3  # two seeds and their mean
        for drawn, expected in zip(ax.lines, values, strict=True):
            assert list(drawn.get_xdata()) == ["as it is", "with What"]
            assert list(drawn.get_ydata()) == pytest.approx(expected)
        assert [drawn.get_label() for drawn in ax.lines[:2]] == ["seed 5", "seed 6"]
        assert [to_hex(drawn.get_color()) for drawn in ax.lines] == [QUIET, QUIET, WARM]
        assert ax.lines[2].get_linewidth() > 2 * ax.lines[0].get_linewidth()
        assert texts(ax) == [f"{value:.2f}" for value in values[2]]
        assert [text.xy[1] for text in ax.texts] == pytest.approx(values[2])
        assert ax.get_ylim()[0] < 0 < 1 < ax.get_ylim()[1]


def test_the_moments_keep_the_order_of_the_table():
    (ax,) = verdicts.before_after({"one": MOVED[::-1]})
    assert list(ax.lines[0].get_xdata()) == ["with What", "as it is"]
    assert list(ax.lines[2].get_ydata()) == pytest.approx([0.85, 0.05])


def test_verdict_bars_fill_the_whole():
    ax = verdicts.verdict_shares(VERDICTS)
    found = bars(ax)
    assert set(found) == {"complied", "refused", "garbled"}  # nothing was wrong
    for _, row in VERDICTS.iterrows():
        pieces = sorted(found[label][row["line"]] for label in found)
        assert sum(width for _, width in pieces) == pytest.approx(1)
        assert pieces[0][0] == 0
        for (start, width), (following, _) in itertools.pairwise(pieces):
            assert following == pytest.approx(start + width)
        assert {label: found[label][row["line"]][1] for label in found} == pytest.approx(row[list(found)].to_dict())
    assert [label.get_text() for label in ax.get_yticklabels()] == ["tuned", "base"]  # the first line is on top
    assert ax.get_xlim() == (0, 1)
    (legend,) = ax.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == list(found)


def test_a_wide_piece_says_its_share_in_the_middle():
    ax = verdicts.verdict_shares(VERDICTS)
    told = {(text.get_text(), text.get_position()[1]): text.get_position()[0] for text in ax.texts}
    assert set(told) == {("0.90", 1), ("0.07", 1), ("0.75", 0), ("0.20", 0)}  # 0.05 and 0.03 are too narrow
    for (start, width), key in (
        (bars(ax)["complied"]["base"], ("0.90", 1)),
        (bars(ax)["garbled"]["tuned"], ("0.20", 0)),
    ):
        assert told[key] == pytest.approx(start + width / 2)


def test_the_trade_off_names_each_method_once_and_keeps_both_sides_in_line():
    left, right = verdicts.trade_off(HARM, VERDICTS)
    left.figure.canvas.draw()
    lines = VERDICTS["line"].tolist()
    assert [label.get_text() for label in left.get_yticklabels()] == lines[::-1]  # the first is at the top
    marks = {str(group.get_label()): group.get_offsets() for group in left.collections if group.get_label() in HARM}
    drawn = {name: {int(y): x for x, y in marks[name] if not np.ma.is_masked(x)} for name in HARM}
    assert drawn["as asked"] == {0: 0.0, 1: 0.1}
    assert {y: x for y, x in drawn["K = 1"].items() if not np.isnan(x)} == {1: 0.7}  # what is missing has no mark
    assert {str(group.get_label()) for group in right.containers} >= {"complied", "refused"}
    asked, shown = ([text.get_text() for text in ax.get_legend().get_texts()] for ax in (left, right))
    assert asked == list(HARM)
    assert "refused" in shown


def test_a_scorecard_shows_value_interval_paper_and_status_of_each_claim():
    ax = verdicts.claim_intervals(LINES)
    assert [label.get_text() for label in ax.get_yticklabels()] == [line["claim"] for line in LINES]
    assert texts(ax) == [line["status"] for line in LINES]
    points = [tuple(map(float, xy)) for group in ax.collections for xy in getattr(group, "get_offsets", list)()]
    assert {(0.7, 0.0), (0.6, 1.0), (0.46, 0.0), (0.1, 2.0)} <= set(points)
    spans = [group.get_paths()[0].get_extents().intervalx.tolist() for group in ax.collections if group.get_paths()]
    for side in ([0.3, 1.0], [-1.0, 0.15], [-1.0, -0.3], [0.6, 0.8], [0.5, 0.7]):
        assert any(span == pytest.approx(side) for span in spans)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first claim is at the top


def test_a_forecast_has_a_panel_an_intent_and_a_marker_a_reader():
    axes = words.forecast(FORECAST, {"unsafe": "Let through", "safe": "Refused"}, EDITS)
    assert [ax.get_title(loc="left") for ax in axes] == ["Let through", "Refused"]
    for ax, values in zip(axes, ([0.8, 0.1], [0.5, 0.2]), strict=True):
        assert [label.get_text() for label in ax.get_yticklabels()] == ["literal", "as asked"]  # the first is on top
        points = [group for group in ax.collections if len(group.get_offsets()) and group.get_label()[0] != "_"]
        assert [group.get_label() for group in points] == ["first word", "all words", "all but the first"]
        for group in points:
            assert group.get_offsets()[:, 0].tolist() == values


def test_a_grid_has_a_number_in_each_cell_and_none_where_none_is_known():
    (ax,) = words.rate_grids({"Refused": GRID})
    assert ax.get_title(loc="left") == "Refused"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["What is", "Share"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first model", "second model"]
    assert [text.get_text() for text in ax.texts] == ["0.00", "0.50", "1.00", ""]
    assert ax.images[0].get_array().shape == (2, 2)
