"""The folder of data sets: the one of MIRAGE_DATA, or none."""

import pytest

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.folder import data_folder


def test_data_folder(tmp_path, monkeypatch):
    monkeypatch.delenv("MIRAGE_DATA", raising=False)
    assert data_folder() is None
    monkeypatch.setenv("MIRAGE_DATA", "")
    assert data_folder() is None
    monkeypatch.setenv("MIRAGE_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("MIRAGE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(MirageError, match="nowhere"):
        data_folder()
