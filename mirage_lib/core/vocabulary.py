"""Words that more than one stage uses."""

from __future__ import annotations

PLACEBO = "kindly"  # a word without meaning that may end any question
