"""What a command prints: its messages without progress, and the one message of a call that it refuses."""

from __future__ import annotations

import re

import pytest

from mirage_lib.__main__ import main

Capture = pytest.CaptureFixture[str]


def message(capsys: Capture) -> str:
    """What stands on stderr, without progress."""
    text = capsys.readouterr().err
    assert "Traceback" not in text
    return "\n".join(line for line in re.split(r"[\r\n]+", text) if line.strip() and "%|" not in line)


def refused_call(capsys: Capture, *arguments: str) -> str:
    """The one message of a call that is refused with exit code 2."""
    assert main(list(arguments)) == 2
    last = message(capsys).splitlines()[-1]
    assert last.startswith("error: ")
    return last
