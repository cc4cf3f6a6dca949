"""The style: a colour for every label, and figures that are saved whole."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex, to_rgb
from PIL import Image
from plots_fixture import DRAWINGS

from mirage_lib.core.errors import MirageError
from mirage_lib.core.labels import LABELS
from mirage_lib.plots import style
from mirage_lib.plots.style import CLASS_NAMES, COLOURS
from mirage_lib.world.training_data import CLASSES

pytestmark = pytest.mark.filterwarnings("error")  # a glyph without a font, a layout that does not fit


def test_every_verdict_and_class_has_a_colour():
    assert {label for labels in LABELS.values() for label in labels} <= set(COLOURS)
    assert set(CLASSES) <= set(COLOURS)
    assert set(CLASSES) == set(CLASS_NAMES)
    assert len({(COLOURS[name], style.HATCHES.get(name, "")) for name in CLASSES}) == len(CLASSES)
    assert len({COLOURS[label] for label in LABELS["unsafe"]}) == len(LABELS["unsafe"])


def test_the_style_is_set():
    assert matplotlib.rcParams["axes.titlelocation"] == "left"
    assert not matplotlib.rcParams["axes.spines.top"]
    assert matplotlib.rcParams["figure.constrained_layout.use"]
    assert to_hex(matplotlib.rcParams["text.color"]) == style.INK


def test_a_label_without_a_colour_is_named():
    with pytest.raises(MirageError, match=r"no colour for the label 'polite'; see style\.COLOURS"):
        style.stacked_bars(plt.subplots()[1], pd.DataFrame({"refused": [0.5], "polite": [0.5]}, ["base"]))


@pytest.mark.parametrize("colour", [*COLOURS.values(), "white", "black"])
def test_what_is_written_on_a_colour_can_be_read(colour):
    def light(of: str) -> float:
        return float(np.array(to_rgb(of)) @ [0.3, 0.6, 0.1])

    assert abs(light(style.text_colour_on(colour)) - light(colour)) > 0.4


def test_a_saved_figure_describes_itself_and_is_closed(tmp_path):
    other = plt.figure()
    drawn = DRAWINGS["word_label"]()
    alt = "Of “What”, 800 are safe — één staaf per woord"
    path = style.save(drawn, tmp_path / "words.png", alt)
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
    path = style.save(DRAWINGS["before_after"](), tmp_path / f"moved.{ending}", "two panels")
    assert path.stat().st_size > 1000
    assert plt.get_fignums() == []
    if ending == "svg":
        assert path.read_text().count("<text") > 10  # words stay words
        assert {"one", "two"} <= {part.split("<")[0] for part in path.read_text().split(">")}
