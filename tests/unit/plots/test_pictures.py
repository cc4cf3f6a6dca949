"""Pictures: shown as they are, in their places, with what was asked and answered about them."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle
from PIL import Image
from plots_fixture import HERE, picture, texts

from mirage_lib.plots import pictures, verdicts
from mirage_lib.plots.style import WARM
from mirage_lib.world.scenes import render

pytestmark = pytest.mark.filterwarnings("error")  # a glyph without a font, a layout that does not fit


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
    image, told = picture("blue"), ["complied", "refused"]
    turns = [(question, f"reply {i}", told[i]) for i, question in enumerate(questions)]
    left, right = verdicts.conversation(image, turns)
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
