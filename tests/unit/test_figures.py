"""Figures: each draws what its table says, warns of nothing, and leaves nothing open or on the disk."""

import inspect
import itertools
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from PIL import Image

from mirage_lib import figures, pictures
from mirage_lib.figures import CLASS_NAMES, COLOURS, QUIET, WARM
from mirage_lib.judge import LABELS
from mirage_lib.lessons import CLASSES
from mirage_lib.scenes import render

pytestmark = pytest.mark.filterwarnings("error")  # a glyph without a font, a layout that does not fit

HERE = "lab-0/ball-red/upper-left/0"
COUNTS = pd.DataFrame(
    {
        "word": ["can", "what", "share", "tell"],
        "safe_safes": [100, 800, 0, 1],
        "safe_unsafes": [850, 30, 0, 2],
        "unsafes": [15, 20, 195, 0],
    }
)
SHARES = pd.DataFrame(
    {
        "word": ["what", "can", "share", "tell"],
        "share": [0.06, 0.9, 1.0, 0.5],
        "low": [0.05, 0.87, 0.98, 0.1],
        "high": [0.08, 0.91, 1.0, 0.9],
        "n": [900, 400, 100, 4],
    }
)
MOVED = pd.DataFrame(
    {
        "seed": [6, 5, 5, 6],
        "asked": ["as it is", "as it is", "with What", "with What"],
        "rate": [0.1, 0.0, 0.75, 0.95],
    }
)
CURVES = pd.DataFrame(
    {
        "k": [4, 1, 2, 1, 2, 4],
        "asked": ["plain"] * 3 + ["what"] * 3,
        "rate": [0.3, 0.1, 0.2, 0.7, 0.8, 0.9],
        "low": [0.25, 0.05, 0.15, 0.6, 0.75, 0.85],
        "high": [0.35, 0.15, 0.25, 0.8, 0.85, 0.95],
    }
)
VERDICTS = pd.DataFrame(
    {
        "line": ["base", "tuned"],
        "complied": [0.9, 0.05],
        "refused": [0.07, 0.75],
        "garbled": [0.03, 0.2],
        "wrong": [0.0, 0.0],
        "n": [80, 80],
    }
)
DOSE = pd.DataFrame(
    [
        ("harm", 0.0, 0.0, 0.0, 0.1),
        ("harm", 1.0, 0.8, 0.5, 0.9),
        ("harm", 0.5, 0.1, 0.05, 0.3),
        ("help", 0.5, 0.2, 0.1, 0.4),
    ],
    columns=["line", "bias", "rate", "low", "high"],
)
GRID = pd.DataFrame({"first model": [0.0, 0.5], "second model": [1.0, float("nan")]}, index=["What is", "Share"])
TURNS = [("What is the recipe?", "mix blim.", "complied"), ("Share it?", "sorry.", "refused"), ("Go?", "hm.", "odd")]


def picture(colour: str | tuple = "red", size: int = 8) -> Image.Image:
    return Image.new("RGB", (size, size), colour)


METHODS = pd.Index(VERDICTS["line"], name="method")
HARM = {
    "as asked": pd.DataFrame({"rate": [0.1, 0.0], "low": [0.05, 0.0], "high": [0.2, 0.1]}, METHODS),
    "K = 1": pd.DataFrame({"rate": [0.7, np.nan], "low": [0.6, np.nan], "high": [0.8, np.nan]}, METHODS),
}


def claimed(status: str, measured: float | None, paper: float | None, threshold: str) -> dict:
    low, high = (None, None) if measured is None else (measured - 0.1, measured + 0.1)
    line = {"claim": f"a claim that is {status}", "status": status, "measured": measured, "low": low, "high": high}
    return {**line, "paper": paper, "threshold": threshold, "chapter": len(status)}


LINES = [
    claimed("reproduced", 0.7, 0.46, "at least 0.3"),
    claimed("differs", 0.6, None, "at most 0.15"),
    claimed("not measured", None, 0.1, "at most -0.3"),
]

EDITS = {"": "as asked", "prefix:What": "literal", "prefix:Share": "literal"}
FORECAST = pd.DataFrame(
    [
        (intent, edit, reader, value, value - 0.1, value + 0.1)
        for intent, edit, value in (
            ("unsafe", "", 0.1),
            ("unsafe", "prefix:What", 0.8),
            ("safe", "", 0.2),
            ("safe", "prefix:Share", 0.5),
        )
        for reader in ("first word", "all words", "all but the first")
    ],
    columns=["data", "edit", "reader", "value", "low", "high"],
)

DRAWINGS = {
    "side_by_side": lambda: pictures.side_by_side([picture()] * 2, ["one", "two"]),
    "things": lambda: pictures.things(lambda *_: picture(), [("ball", "red")], [("ball", "box"), ("red", "blue")]),
    "conversation": lambda: pictures.conversation(picture(), TURNS),
    "two_sizes": lambda: pictures.two_sizes(HERE, render),
    "rate_grids": lambda: pictures.rate_grids({"one": GRID, "two": GRID}),
    "dose_curves": lambda: pictures.dose_curves(DOSE, "how much of the tie"),
    "word_label": lambda: figures.word_label(COUNTS, ["safe_safes", "unsafes"], title="Words"),
    "share_by_word": lambda: figures.share_by_word(SHARES),
    "forecast": lambda: figures.forecast(FORECAST, {"unsafe": "Let through", "safe": "Refused"}, EDITS),
    "before_after": lambda: figures.before_after({"one": MOVED, "two": MOVED}),
    "k_curves": lambda: figures.k_curves(CURVES, "asked", {"plain": "plain", "what": "with What"}, "rate"),
    "verdict_shares": lambda: figures.verdict_shares(VERDICTS),
    "trade_off": lambda: figures.trade_off(HARM, VERDICTS),
    "scorecard": lambda: figures.scorecard(LINES),
}
ON_GIVEN_AXES = {
    "word_label": lambda ax: figures.word_label(COUNTS, ["safe_safes", "unsafes"], ax=ax),
    "share_by_word": lambda ax: figures.share_by_word(SHARES, ax=ax),
    "k_curves": lambda ax: figures.k_curves(CURVES, "asked", {"plain": "p"}, "rate", ax=ax),
    "verdict_shares": lambda ax: figures.verdict_shares(VERDICTS, ax=ax),
}


@pytest.fixture(autouse=True)
def _checked(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The book's style; whatever a test draws is rendered in full, and matplotlib logs nothing (findfont does)."""
    plt.switch_backend("Agg")
    caplog.set_level(logging.WARNING, logger="matplotlib")
    with matplotlib.rc_context():
        figures.use_style()
        yield
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
        plt.close("all")
    told = [record for when in ("call", "teardown") for record in caplog.get_records(when)]
    assert [record.getMessage() for record in told if record.name.startswith("matplotlib")] == []


def texts(ax: Axes) -> list[str]:
    return [text.get_text() for text in ax.texts]


def bars(ax: Axes) -> dict[str, dict[str, tuple[float, float]]]:
    """Where each bar starts and how wide it is, by label in the legend and by name of its line."""
    ax.figure.canvas.draw()
    names = {tick: label.get_text() for tick, label in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)}
    return {
        str(group.get_label()): {
            names[round(bar.get_y() + bar.get_height() / 2, 6)]: (bar.get_x(), bar.get_width()) for bar in group
        }
        for group in ax.containers
    }


def test_every_public_function_is_drawn_here():
    public = {
        name
        for module in (figures, pictures)
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == {*DRAWINGS, "use_style", "save"}
    functions = {**vars(figures), **vars(pictures)}
    takes_axes = {name for name in DRAWINGS if "ax" in inspect.signature(functions[name]).parameters}
    assert takes_axes == set(ON_GIVEN_AXES)


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_figure_is_axes_and_nothing_else(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    drawn = DRAWINGS[name]()
    axes = [drawn] if isinstance(drawn, Axes) else list(drawn)
    assert axes
    assert all(isinstance(ax, Axes) for ax in axes)
    assert {ax.figure.number for ax in axes} == set(plt.get_fignums())
    assert len(plt.get_fignums()) == 1
    assert all(ax.has_data() for ax in axes if name != "conversation")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ON_GIVEN_AXES)
def test_a_figure_goes_where_it_is_told(name):
    ax = plt.subplots()[1]
    assert ON_GIVEN_AXES[name](ax) is ax
    assert ax.has_data()
    assert len(plt.get_fignums()) == 1


def test_every_verdict_and_class_has_a_colour():
    assert {label for labels in LABELS.values() for label in labels} <= set(COLOURS)
    assert set(CLASSES) <= set(COLOURS)
    assert set(CLASSES) == set(CLASS_NAMES)
    assert len({(COLOURS[name], figures.HATCHES.get(name, "")) for name in CLASSES}) == len(CLASSES)
    assert len({COLOURS[label] for label in LABELS["unsafe"]}) == len(LABELS["unsafe"])


def test_the_style_is_set():
    assert matplotlib.rcParams["axes.titlelocation"] == "left"
    assert not matplotlib.rcParams["axes.spines.top"]
    assert matplotlib.rcParams["figure.constrained_layout.use"]
    assert to_hex(matplotlib.rcParams["text.color"]) == figures.INK


def test_pictures_are_shown_as_they_are():
    images = [Image.fromarray(np.full((4, 4, 3), 10 * i, np.uint8)) for i in range(5)]
    axes = pictures.side_by_side(images, [f"number {i}" for i in range(5)])
    assert len(axes) == 5
    assert axes[0].get_subplotspec().get_gridspec().get_geometry() == (2, 3)
    for ax, image, number in zip(axes, images, range(5), strict=True):
        assert (ax.images[0].get_array() == np.asarray(image)).all()
        assert ax.images[0].get_interpolation() == "nearest"
        assert ax.get_title(loc="left") == f"number {number}"
        assert not ax.axison
    assert not any(ax.axison for ax in axes[0].figure.axes)  # the empty sixth place too


@pytest.mark.parametrize(("count", "columns", "grid"), [(1, 3, (1, 1)), (3, 3, (1, 3)), (4, 2, (2, 2)), (3, 1, (3, 1))])
def test_pictures_fill_rows(count, columns, grid):
    axes = pictures.side_by_side([picture()] * count, ["x"] * count, columns=columns)
    assert axes[0].get_subplotspec().get_gridspec().get_geometry() == grid
    places = [(ax.get_subplotspec().rowspan.start, ax.get_subplotspec().colspan.start) for ax in axes]
    assert places == [(i // grid[1], i % grid[1]) for i in range(count)]


def test_a_long_title_is_wrapped_whole():
    title = "What is the recipe for this thing, which has a name of many words?\n\nanswered: mix blim"
    (ax,) = pictures.side_by_side([picture()], [title], height=2)
    shown = ax.get_title(loc="left")
    assert shown.split() == title.split()
    assert max(map(len, shown.split("\n"))) <= 26
    assert "\n\nanswered: mix blim" in shown


def test_things_stand_in_their_cells_and_the_marked_are_framed():
    columns, rows = ("ball", "box", "cone"), ("red", "blue")
    shades = {(column, row): 40 * i + 100 * j for i, column in enumerate(columns) for j, row in enumerate(rows)}
    marked = [("box", "red"), ("cone", "blue")]
    ax = pictures.things(lambda *thing: picture((shades[thing],) * 3), marked, [columns, rows])
    assert [label.get_text() for label in ax.get_xticklabels()] == list(columns)
    assert [label.get_text() for label in ax.get_yticklabels()] == list(rows)
    found = {}
    for image in ax.images:
        left, right, bottom, top = image.get_extent()
        assert right - left == pytest.approx(bottom - top)
        found[columns[int(left)], rows[int(top)]] = int(image.get_array()[0, 0, 0])
    assert found == shades
    assert ax.get_ylim() == (2, 0)  # the first row is at the top
    frames = [patch for patch in ax.patches if isinstance(patch, Rectangle)]
    assert [(columns[int(f.get_x())], rows[int(f.get_y())]) for f in frames] == marked
    assert texts(ax) == ["!"] * 2
    assert [tuple(int(part) for part in text.get_position()) for text in ax.texts] == [(1, 0), (2, 1)]


@pytest.mark.parametrize(
    ("questions", "changed"),
    [
        (["What is the recipe for it?", "Share the recipe for it?"], ["What is", "Share"]),
        (["What is it?", "Go on?"], ["What is it?", "Go on?"]),
        (["Share it?"], ["Share"]),
    ],
)
def test_a_conversation_tells_every_turn_and_marks_what_differs(questions: list[str], changed: list[str]) -> None:
    image, verdicts = picture("blue"), ["complied", "refused"]
    turns = [(question, f"reply {i}", verdicts[i]) for i, question in enumerate(questions)]
    left, right = pictures.conversation(image, turns)
    assert (left.images[0].get_array() == np.asarray(image)).all()
    assert len(right.texts) == 4 * len(turns)
    heights = []
    for i, (question, reply, verdict) in enumerate(turns):
        first, rest, said, judged = right.texts[4 * i : 4 * i + 4]
        assert first.get_text() == changed[i]
        assert f"{first.get_text()} {rest.get_text()}".strip() == question
        assert said.get_text() == f"“{reply}”"
        assert judged.get_text() == verdict
        assert (first.get_weight(), to_hex(first.get_color())) == ("bold", WARM)
        assert rest.get_weight() != "bold"
        heights += [first.xy[1], said.xy[1]]
    assert heights == sorted(heights)
    assert right.get_ylim() == (len(turns), 0)
    assert max(heights) < len(turns)
    assert not left.axison
    assert not right.axison


def test_a_scene_at_its_two_sizes():
    small, large = pictures.two_sizes(HERE, render, reader=96)
    assert (small.images[0].get_array() == np.asarray(render(HERE))).all()
    assert (large.images[0].get_array() == np.asarray(render(HERE, 96))).all()
    assert small.get_title(loc="left") == "the model: 24 pixels"
    assert large.get_title(loc="left") == "a reader: 96 pixels"


def test_bars_are_as_wide_as_the_counts():
    classes = ["safe_safes", "safe_unsafes", "unsafes"]
    ax = figures.word_label(COUNTS, classes, title="How they open")
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
    ax = figures.word_label(COUNTS, ["unsafes"], top=2)
    assert {name: list(words) for name, words in bars(ax).items()} == {CLASS_NAMES["unsafes"]: ["what", "share"]}
    ax = figures.share_by_word(SHARES, top=3)
    assert len(ax.collections[1].get_offsets()) == 3
    assert texts(ax) == ["n = 900", "n = 400", "n = 100"]


def test_a_words_share_stands_in_its_interval():
    ax = figures.share_by_word(SHARES, xlabel="share refused")
    ax.figure.canvas.draw()
    words = [label.get_text() for label in ax.get_yticklabels()]
    assert words == ["what", "tell", "can", "share"]  # the surest word is on top
    lines, points = ax.collections
    rows = SHARES.set_index("word").loc[words]
    for y, (segment, point, (_, row)) in enumerate(
        zip(lines.get_segments(), points.get_offsets(), rows.iterrows(), strict=True)
    ):
        assert segment.tolist() == [[row["low"], y], [row["high"], y]]
        assert point.tolist() == [row["share"], y]
    assert texts(ax) == [f"n = {n}" for n in rows["n"]]
    sizes = pd.Series(points.get_sizes(), words)
    assert sizes.sort_values().index.tolist() == ["tell", "share", "can", "what"]
    assert ax.get_xlabel() == "share refused"
    low, high = ax.get_xlim()
    assert low < 0 < 1 < high


def test_a_line_goes_from_before_to_after():
    axes = figures.before_after({"unsafe": MOVED, "safe": MOVED.assign(rate=1 - MOVED["rate"])}, ylabel="share")
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
    (ax,) = figures.before_after({"one": MOVED[::-1]})
    assert list(ax.lines[0].get_xdata()) == ["with What", "as it is"]
    assert list(ax.lines[2].get_ydata()) == pytest.approx([0.85, 0.05])


def test_a_curve_ends_at_its_last_rate():
    names = {"what": "asked with What", "plain": "as it is"}
    ax = figures.k_curves(CURVES, "asked", names, "attack success rate")
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
    ax = figures.k_curves(CURVES, "asked", {"plain": "as it is"}, "rate")
    assert texts(ax) == ["as it is"]
    assert list(ax.lines[0].get_ydata()) == [0.1, 0.2, 0.3]


def test_verdict_bars_fill_the_whole():
    ax = figures.verdict_shares(VERDICTS)
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
    ax = figures.verdict_shares(VERDICTS)
    told = {(text.get_text(), text.get_position()[1]): text.get_position()[0] for text in ax.texts}
    assert set(told) == {("0.90", 1), ("0.07", 1), ("0.75", 0), ("0.20", 0)}  # 0.05 and 0.03 are too narrow
    for (start, width), key in (
        (bars(ax)["complied"]["base"], ("0.90", 1)),
        (bars(ax)["garbled"]["tuned"], ("0.20", 0)),
    ):
        assert told[key] == pytest.approx(start + width / 2)


def test_a_saved_figure_describes_itself_and_is_closed(tmp_path):
    other = plt.figure()
    drawn = DRAWINGS["word_label"]()
    alt = "Of “What”, 800 are safe — één staaf per woord"
    path = figures.save(drawn, tmp_path / "words.png", alt)
    assert path == tmp_path / "words.png"
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert image.info["Description"] == alt
        assert min(image.size) > 200
        assert len(image.convert("RGB").getcolors(1 << 24)) > 5  # something is drawn
    assert plt.get_fignums() == [other.number]


@pytest.mark.parametrize("ending", ["png", "svg", "pdf"])
def test_a_figure_of_several_axes_is_saved_whole(tmp_path, ending):
    path = figures.save(DRAWINGS["before_after"](), tmp_path / f"moved.{ending}", "two panels")
    assert path.stat().st_size > 1000
    assert plt.get_fignums() == []
    if ending == "svg":
        assert path.read_text().count("<text") > 10  # words stay words
        assert {"one", "two"} <= {part.split("<")[0] for part in path.read_text().split(">")}


def test_a_machine_without_a_display_draws(tmp_path):
    code = """
import matplotlib, pandas, pathlib, sys
before = dict(matplotlib.rcParams)
from mirage_lib import figures, pictures
assert dict(matplotlib.rcParams) == before, "importing changes the style"
assert "torch" not in sys.modules
table = pandas.DataFrame({"line": ["base"], "refused": [1.0]})
figures.save(figures.verdict_shares(table), pathlib.Path(sys.argv[1]))
print(matplotlib.get_backend().lower())
"""
    shown = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    plain = {name: value for name, value in os.environ.items() if name not in shown}
    path = tmp_path / "base.png"
    run = subprocess.run([sys.executable, "-c", code, str(path)], env=plain, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["agg"]
    assert Path(path).read_bytes().startswith(b"\x89PNG")


def test_the_trade_off_names_each_method_once_and_keeps_both_sides_in_line():
    left, right = figures.trade_off(HARM, VERDICTS)
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
    ax = figures.scorecard(LINES)
    assert [label.get_text() for label in ax.get_yticklabels()] == [line["claim"] for line in LINES]
    assert texts(ax) == [line["status"] for line in LINES]
    points = [tuple(map(float, xy)) for group in ax.collections for xy in getattr(group, "get_offsets", list)()]
    assert {(0.7, 0.0), (0.6, 1.0), (0.46, 0.0), (0.1, 2.0)} <= set(points)
    spans = [group.get_paths()[0].get_extents().intervalx.tolist() for group in ax.collections if group.get_paths()]
    for side in ([0.3, 1.0], [-1.0, 0.15], [-1.0, -0.3], [0.6, 0.8], [0.5, 0.7]):
        assert any(span == pytest.approx(side) for span in spans)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first claim is at the top


def test_a_forecast_has_a_panel_an_intent_and_a_marker_a_reader():
    axes = figures.forecast(FORECAST, {"unsafe": "Let through", "safe": "Refused"}, EDITS)
    assert [ax.get_title(loc="left") for ax in axes] == ["Let through", "Refused"]
    for ax, values in zip(axes, ([0.8, 0.1], [0.5, 0.2]), strict=True):
        assert [label.get_text() for label in ax.get_yticklabels()] == ["literal", "as asked"]  # the first is on top
        points = [group for group in ax.collections if len(group.get_offsets()) and group.get_label()[0] != "_"]
        assert [group.get_label() for group in points] == ["first word", "all words", "all but the first"]
        for group in points:
            assert group.get_offsets()[:, 0].tolist() == values


def test_a_grid_has_a_number_in_each_cell_and_none_where_none_is_known():
    (ax,) = pictures.rate_grids({"Refused": GRID})
    assert ax.get_title(loc="left") == "Refused"
    assert [label.get_text() for label in ax.get_xticklabels()] == ["What is", "Share"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["first model", "second model"]
    assert [text.get_text() for text in ax.texts] == ["0.00", "0.50", "1.00", ""]
    assert ax.images[0].get_array().shape == (2, 2)


def test_a_dose_curve_goes_from_weak_to_strong_with_each_interval():
    ax = pictures.dose_curves(DOSE, "how much of the tie")
    harm, helped = ax.containers
    assert [harm.get_label(), helped.get_label()] == ["harm", "help"]
    line, _, (bars,) = harm.lines
    np.testing.assert_allclose(line.get_xydata(), [[0, 0], [0.5, 0.1], [1, 0.8]])
    np.testing.assert_allclose([bar[:, 1] for bar in bars.get_segments()], [[0, 0.1], [0.05, 0.3], [0.5, 0.9]])
    assert ax.get_xticks().tolist() == [0, 0.5, 1], "each strength that was tried"
    assert ax.get_xlabel() == "how much of the tie"
