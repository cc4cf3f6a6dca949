"""Safety Mirage: see, rerun and extend one finding about vision-language models.

Rows flow one way, from data through attacks, models and judges to tables, figures and chapters; a folder is one stage
of that way. A chapter begins with ``open_study`` or ``open_laboratory`` and ends with ``scorecard``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirage_lib.claims.scorecard import scorecard
    from mirage_lib.explorer.widget import Explorer
    from mirage_lib.study.study import open_laboratory, open_study

__version__ = "0.1.0"
__all__ = ["Explorer", "open_laboratory", "open_study", "scorecard"]

HOMES = {"Explorer": "explorer.widget", "scorecard": "claims.scorecard"}


def __getattr__(name: str) -> Any:
    """What a chapter opens, imported when it is asked for: tables and audits need no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{HOMES.get(name, 'study.study')}"), name)
