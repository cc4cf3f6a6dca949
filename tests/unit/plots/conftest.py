"""Every figure is drawn in the book's style, and drawn in full."""

import logging
from collections.abc import Iterator

import matplotlib
import matplotlib.pyplot as plt
import pytest

from mirage_lib.plots import style


@pytest.fixture(autouse=True)
def _checked(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """The book's style; whatever a test draws is rendered in full, and matplotlib logs nothing (findfont does)."""
    plt.switch_backend("Agg")
    caplog.set_level(logging.WARNING, logger="matplotlib")
    with matplotlib.rc_context():
        style.use_style()
        yield
        for number in plt.get_fignums():
            plt.figure(number).canvas.draw()
        plt.close("all")
    told = [record for when in ("call", "teardown") for record in caplog.get_records(when)]
    assert [record.getMessage() for record in told if record.name.startswith("matplotlib")] == []
