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

WEIGHTS = "MIRAGE_WEIGHTS"
INDEX, ONE_FILE = "model.safetensors.index.json", "model.safetensors"
# One file of each line is enough: the hub has had several forms of processor settings and of tokenizers.
BESIDE = (
    ("config.json",),
    ("processor_config.json", "preprocessor_config.json"),
    ("tokenizer.json", "tokenizer.model"),
)


@dataclass(frozen=True)
class HubModel(Input):
    """A hub model as the base of a study."""

    repository: str

    def identity(self) -> str:
        """A text that changes with the model; see the function ``identity``."""
        return identity(locate(self.repository))

    def get(self, store: Store, tell: Tell | None = None) -> Path:
        """The model's folder."""
        del store, tell
        return locate(self.repository)


def locate(repository: str) -> Path:
    """The model's folder: the one MIRAGE_WEIGHTS names, otherwise the repository's folder in the hub's cache.

    Raises MirageError, with the remedy, if the model is missing or incomplete.
    """
    named = os.environ.get(WEIGHTS, "")
    try:
        folder = Path(named or snapshot_download(repository, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError) as error:
        raise MirageError(
            f"weights: {repository} is not in the hub's cache. Fetch it with `hf download {repository}`, "
            f"or name a folder that holds such a model in {WEIGHTS}."
        ) from error
    lost = [" or ".join(names) for names in BESIDE if not any((folder / name).is_file() for name in names)]
    lost += sorted(name for name in _files(folder) if not (folder / name).is_file())
    if lost:
        raise MirageError(f"weights: {folder} has no {', '.join(lost)}. Fetch {repository} again.")
    return folder


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
