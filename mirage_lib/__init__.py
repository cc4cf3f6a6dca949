"""Safety Mirage: see, rerun and extend one finding about vision-language models.

Rows flow one way, from data through attacks, models and judges to tables, figures and chapters; a folder is one stage
of that way. A chapter begins with ``open_study`` or ``open_laboratory``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mirage_lib.study.study import open_laboratory, open_study

__version__ = "0.1.0"
__all__ = ["open_laboratory", "open_study"]


def __getattr__(name: str) -> Any:
    """What a chapter opens, imported when it is asked for: tables and audits need no torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mirage_lib.study import study

    return getattr(study, name)
