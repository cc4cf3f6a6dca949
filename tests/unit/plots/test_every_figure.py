"""Every figure: Axes of one figure that warn of nothing, and leave nothing open or on the disk."""

import inspect
import os
import subprocess
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import pytest
from matplotlib.axes import Axes
from plots_fixture import DRAWINGS, ON_GIVEN_AXES

from mirage_lib.plots import pictures, style, verdicts, words

pytestmark = pytest.mark.filterwarnings("error")  # a glyph without a font, a layout that does not fit


def test_every_public_function_is_drawn_here():
    public = {
        name
        for module in (style, words, verdicts, pictures)
        for name, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__ and not name.startswith("_")
    }
    assert public == {*DRAWINGS, "use_style", "save", "stacked_bars", "text_colour_on", "label_at"}
    functions = {**vars(words), **vars(verdicts), **vars(pictures)}
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


def test_a_machine_without_a_display_draws(tmp_path):
    code = """
import matplotlib, pandas, pathlib, sys
before = dict(matplotlib.rcParams)
from mirage_lib.plots import pictures, style, verdicts, words
assert dict(matplotlib.rcParams) == before, "importing changes the style"
assert "torch" not in sys.modules
table = pandas.DataFrame({"line": ["base"], "refused": [1.0]})
style.save(verdicts.verdict_shares(table), pathlib.Path(sys.argv[1]))
print(matplotlib.get_backend().lower())
"""
    shown = ("DISPLAY", "WAYLAND_DISPLAY", "MPLBACKEND")
    plain = {name: value for name, value in os.environ.items() if name not in shown}
    path = tmp_path / "base.png"
    run = subprocess.run([sys.executable, "-c", code, str(path)], env=plain, capture_output=True, text=True, timeout=60)
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["agg"]
    assert Path(path).read_bytes().startswith(b"\x89PNG")
