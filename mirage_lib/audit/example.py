"""The example of chapter 5: a safety set with every fault such files have, made by tools/example_set.py."""

from __future__ import annotations

from pathlib import Path


def example_file() -> Path:
    """The CSV file. Its requests are the laboratory's, from a world that no result uses."""
    return Path(__file__).with_name("example_safety_set.csv")
