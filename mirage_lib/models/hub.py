"""The weights of a hub model: where they are, whether they are complete, what identifies them, how large they are.

``locate`` takes a repository's name and returns a folder in the hub's format. Nothing is downloaded here: if something
is missing, the error names it and says what to do.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from safetensors import SafetensorError, safe_open

from mirage_lib.core.errors import MirageError
from mirage_lib.core.progress import Tell
from mirage_lib.core.run import Input
from mirage_lib.core.store import Store
from mirage_lib.models.train import Settings

WEIGHTS = "MIRAGE_WEIGHTS"
INDEX, ONE_FILE = "model.safetensors.index.json", "model.safetensors"
# One file of each line is enough: the hub has had several forms of processor settings and of tokenizers.
PICTURES = ("processor_config.json", "preprocessor_config.json")  # only a model that takes pictures has one
BESIDE = (("config.json",), PICTURES, ("tokenizer.json", "tokenizer.model"))


# Bytes per parameter if all are tuned (float32 weight, gradient, two moments), if only a few are tuned (float32
# weight), and if none is (bfloat16 weight). The factors leave room for everything else.
TUNED, FEW_TUNED, FROZEN = 16 * 1.2, 4 * 1.2, 2 * 1.6


@dataclass(frozen=True)
class HubModel(Input):
    """A model from the hub, or in a folder of the hub's format, as the base of a study: the same for every seed."""

    repository: str  # on the hub, or a folder
    square: bool = False  # pad pictures to a square before the model gets them, as LLaVA-1.5 was trained

    def identity(self) -> str:
        """A text that changes with the model; see the function ``identity``."""
        return identity(self.folder())

    def get(self, store: Store, tell: Tell | None = None) -> Path:
        """The model's folder."""
        del store, tell
        return self.folder()

    def folder(self) -> Path:
        """Where the weights are. Raises MirageError if they are missing or incomplete."""
        return locate(self.repository)

    def base_run(self, seed: int) -> HubModel:
        """The model itself, the same for every seed."""
        del seed
        return self

    def missing(self, settings: Settings | None, computing: bool = True) -> list[str]:
        """What this machine lacks to tune it with these settings (None: to ask it): its weights, or memory."""
        frozen = settings is None or settings.lora_rank > 0
        each = FROZEN if frozen else FEW_TUNED if settings and settings.only else TUNED
        try:
            need, have = parameters(self.folder()) * each, memory()
        except MirageError as error:
            return [str(error)]
        if not computing or need <= have:
            return []
        remedy = "Use a larger machine." if frozen else "Keep to the LoRA methods, or use a larger machine."
        return [f"memory: about {need / 2**30:.0f} GiB needed, {have / 2**30:.0f} GiB here. {remedy}"]


def locate(repository: str) -> Path:
    """The model's folder: ``repository`` if it is one, else the one MIRAGE_WEIGHTS names, else its place in the cache.

    Raises MirageError, with the remedy, if the model is missing or incomplete.
    """
    named = os.environ.get(WEIGHTS, "")
    try:
        here = repository if Path(repository).is_dir() else named
        folder = Path(here or snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise MirageError(
            f"weights: {repository} is not in the hub's cache. Fetch it with `hf download {repository}`, "
            f"or name a folder that holds such a model in {WEIGHTS}."
        ) from error
    needed = [names for names in BESIDE if names != PICTURES or takes_pictures(folder)]
    lost = [" or ".join(names) for names in needed if not any((folder / name).is_file() for name in names)]
    lost += sorted(name for name in _files(folder) if not (folder / name).is_file())
    if lost:
        raise MirageError(f"weights: {folder} has no {', '.join(lost)}. Fetch {repository} again.")
    return folder


def takes_pictures(folder: Path) -> bool:
    """Whether the model in this folder takes pictures; true if its settings cannot be read, so that they are missed."""
    try:
        return "vision_config" in json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return True


def _files(folder: Path) -> set[str]:
    """The names of the files that hold the weights."""
    index = folder / INDEX
    if not index.is_file():
        return {ONE_FILE}
    try:
        return set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise MirageError(f"weights: {index} is no whole index of a model's files. Fetch it again.") from error


def parameters(folder: Path) -> int:
    """How many parameters the model has, from the headers of its files. Raises MirageError for a truncated file."""
    total = 0
    for name in _files(folder):
        try:
            with safe_open(folder / name, framework="pt") as opened:
                for tensor in opened.keys():  # noqa: SIM118, the file is not a mapping
                    total += functools.reduce(int.__mul__, opened.get_slice(tensor).get_shape(), 1)
        except SafetensorError as error:
            raise MirageError(f"weights: {folder / name} is not whole ({error}). Fetch it again.") from error
    return total


def identity(folder: Path) -> str:
    """A digest of the model, wherever it is stored: settings by content, weights by name, size, first and last MiB."""
    digest = hashlib.sha256()
    for file in sorted(
        path for path in folder.iterdir() if path.suffix in (".json", ".jinja", ".model", ".safetensors")
    ):
        size = file.stat().st_size
        digest.update(f"{file.name} {size}".encode())
        with file.open("rb") as opened:
            if file.suffix != ".safetensors":
                digest.update(opened.read())
                continue
            digest.update(opened.read(2**20))
            opened.seek(max(0, size - 2**20))
            digest.update(opened.read())
    return digest.hexdigest()


def memory() -> int:
    """Bytes of memory on the device that will hold the model."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
