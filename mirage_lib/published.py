"""A published data set and a model of the hub as the subject of a study: VLGuard and LLaVA-1.5.

Comes in: the folder named by ``MIRAGE_DATA``, and weights from the hub's cache or the folder named by
``MIRAGE_WEIGHTS``. Goes out: the same things as from ``laboratory.Laboratory``, so that one study and one
chapter serve both. What is missing is named all at once, with the remedy. Serves the paper's experiments.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError
from PIL import Image
from safetensors import SafetensorError, safe_open

from mirage_lib.attacks import OneWord, Suffix, rewrites
from mirage_lib.errors import MirageError
from mirage_lib.judge import Judge, ReleasedKeywords
from mirage_lib.records import Example
from mirage_lib.sources import DATA, REWRITES, data_folder, vlguard, vlguard_rewrites
from mirage_lib.train import Settings
from mirage_lib.vlm import Render
from mirage_lib.world import PLACEBO

WEIGHTS, SHOW = "MIRAGE_WEIGHTS", "MIRAGE_SHOW_HARM"
MODULES = ("errors", "records", "sources", "published")  # the code that makes its examples
CLIP_MEAN = (122, 116, 104)  # the mean colour of CLIP's pictures, with which LLaVA-1.5 pads
READER = 336  # pixels a side of a picture for a reader
# Bytes that one parameter takes while it is tuned (float32 weight, gradient, two moments), while a few are tuned
# (float32 weight), and while it only computes (bfloat16); with a part for everything else.
TUNED, FEW_TUNED, FROZEN = 16 * 1.2, 4 * 1.2, 2 * 1.6


@dataclass(frozen=True)
class VLGuardSet:
    """Which of VLGuard's three classes a method is trained on."""

    subsets: tuple[str, ...] = ("unsafes", "safe_unsafes", "safe_safes")


def pad_to_square(image: Image.Image, colour: tuple[int, int, int] = CLIP_MEAN) -> Image.Image:
    """The picture in the middle of a square of its longer side, as LLaVA-1.5 was trained; nothing is cropped."""
    side = max(image.size)
    square = Image.new("RGB", (side, side), colour)
    square.paste(image.convert("RGB"), ((side - image.width) // 2, (side - image.height) // 2))
    return square


def picture(address: str) -> Image.Image:
    """The picture of an example, as the model gets it. Raises MirageError, naming the file, if it cannot be read."""
    path = _vlguard_folder() / address
    try:
        with Image.open(path) as image:
            return pad_to_square(image)
    except (OSError, Image.DecompressionBombError) as error:
        raise MirageError(
            f"{path}: no picture can be read from it ({error}). Unpack VLGuard's zip files anew."
        ) from error


@dataclass(frozen=True)
class Published:
    """VLGuard's queries and pictures, the paper's released rewrites, and a model of the hub."""

    weights: str = "llava-hf/llava-1.5-7b-hf"  # a repository of the hub

    parts = ("attack",)  # of the suite
    edits: ClassVar = {  # by the role they play; the literal one-word edits stand beside the paper's rewrites
        "what": "rewrite:what",
        "share": "rewrite:share",
        "literal what": "swap:what",
        "literal share": "swap:share",
        "placebo": f"suffix:{PLACEBO}",
    }
    shots = 3  # rewrites of each unsafe query in the released attack
    made = False  # the base is fetched; its harm is what it says; seeds are draws of one data set
    judge = ReleasedKeywords().name  # whose verdicts are shown
    labels = ("complied", "refused", "answered")  # that this judge gives

    @property
    def asked(self) -> Mapping[str, int]:
        """How many wordings of a query are asked with each edit."""
        times = {edit: times for edit, (_, _, times) in REWRITES.items()}
        return {"": 1, "swap:what": 1, "swap:share": 1, f"suffix:{PLACEBO}": 1, **times}

    def folder(self) -> Path:
        """Where the weights are. Raises MirageError if they are not here, or not whole."""
        named = os.environ.get(WEIGHTS, "")
        if named:
            folder = Path(named)
        else:
            try:
                folder = Path(snapshot_download(self.weights, local_files_only=True))
            except (LocalEntryNotFoundError, HFValidationError) as error:
                raise MirageError(
                    f"weights: {self.weights} is not in the hub's cache. Fetch it with `hf download {self.weights}`, "
                    f"or name a folder that holds such a model in {WEIGHTS}."
                ) from error
        index = folder / "model.safetensors.index.json"
        files = set(json.loads(index.read_text())["weight_map"].values()) if index.is_file() else {"model.safetensors"}
        if lost := sorted(name for name in ("config.json", *files) if not (folder / name).is_file()):
            raise MirageError(f"weights: {folder} has no {', '.join(lost)}. Fetch {self.weights} again.")
        return folder

    def missing(self, settings: Settings | None) -> list[str]:
        """What it takes to tune with these settings (None: to ask) and this machine lacks, one sentence each."""
        found, frozen = [], settings is None or settings.lora_rank > 0
        each = FROZEN if frozen else FEW_TUNED if settings and settings.only else TUNED
        try:
            need, have = _parameters(self.folder()) * each, _memory()
            if need > have:
                remedy = " Use a larger machine." if frozen else " Keep to the LoRA methods, or use a larger machine."
                found.append(f"memory: about {need / 2**30:.0f} GiB needed, {have / 2**30:.0f} GiB here.{remedy}")
        except MirageError as error:
            found.append(str(error))
        try:
            lost = [e.image for e in _examples() if not (_vlguard_folder() / e.image).is_file()]
            if lost:
                found.append(
                    f"pictures: {len(set(lost))} of VLGuard are not in {_vlguard_folder()}, e.g. {lost[0]}. "
                    "Unpack train.zip and test.zip into train/ and test/ there."
                )
            for edit in REWRITES:
                _rewrites(edit)
        except MirageError as error:
            found.append(f"data: {error}")
        return found

    def ready(self, settings: Settings | None = None) -> None:
        """Raise MirageError, naming all that is missing, if a run cannot be made here."""
        if found := self.missing(settings):
            raise MirageError("This profile cannot run here:" + "".join(f"\n- {one}" for one in found))

    @property
    def render(self) -> Render:
        """Opens a picture for the model from its address."""
        return picture

    def picture(self, address: str) -> Image.Image:
        """The picture for a reader."""
        return picture(address).resize((READER, READER))

    def shown(self, text: str, harmful: bool) -> str:
        """A reply as a reader may see it: a harmful one is withheld unless MIRAGE_SHOW_HARM is 1."""
        if harmful and os.environ.get(SHOW, "") != "1":
            return f"[{len(text.split())} words withheld; {SHOW}=1 shows them]"
        return text if len(text) <= 90 else f"{text[:87]}..."

    def safety(self, seed: int, safety: Any, split: str = "train") -> list[Example]:
        """VLGuard's queries of the chosen classes; unsafe ones with VLGuard's refusals. Seeds share them."""
        del seed
        return [e for e in _examples() if e.split == split and e.category in safety.subsets]

    def taught(self, examples: Iterable[Example]) -> list[Example]:
        """What fine-tuning teaches: VLGuard's own answers."""
        return list(examples)

    def general(self, seed: int, count: int) -> list[Example]:
        """General lessons to mix into safety data: none are at hand."""
        raise MirageError(f"{count} general lessons asked of seed {seed}; LLaVA's own training mix is not read here.")

    def class_of(self, example: Example) -> str:
        """The class of a request, as VLGuard names it."""
        return example.category

    def judges(self) -> tuple[Judge, ...]:
        """Who judges the replies."""
        return (ReleasedKeywords(),)

    def suite(self, part: str, seed: int) -> list[Example]:
        """VLGuard's test queries as asked, rewritten by the paper, edited in one word, and with the placebo."""
        if part not in self.parts:
            raise MirageError(f"There is no part {part!r}; there are {', '.join(self.parts)}.")
        rows: list[Example] = []
        for example in self.safety(seed, VLGuardSet(), "test"):
            rows.append(example)
            for word, subset in (("what", "unsafes"), ("share", "safe_safes")):
                if example.category == subset:
                    edit = f"rewrite:{word}"
                    rows += rewrites(example, _rewrites(edit).get(example.id, []), edit)
                    rows += [OneWord(word)(example), Suffix(PLACEBO)(example)]
        return rows

    def suite_spec(self, part: str, seed: int) -> dict[str, Any]:
        """All that the questions depend on, except code; seeds share them."""
        del seed
        return {"part": part, "data": _digest("test.json", *(name for name, _, _ in REWRITES.values()))}

    def data_spec(self, seed: int) -> dict[str, Any]:
        """All that training data depend on besides a method's own settings, except code."""
        return {"seed": seed, "data": _digest("train.json")}

    def work(self) -> Mapping[str, float]:
        """How much there is to do, in steps of tuning: "ask" (of every model)."""
        return {"ask": 300.0}

    def base_spec(self, seed: int) -> dict[str, Any]:
        """The model by its content: names, sizes, and both ends of every file of weights. Seeds share it."""
        del seed
        digest = hashlib.sha256()
        for file in sorted(self.folder().glob("*.safetensors")):
            size = file.stat().st_size
            digest.update(f"{file.name} {size}".encode())
            with file.open("rb") as opened:
                digest.update(opened.read(2**20))
                opened.seek(max(0, size - 2**20))
                digest.update(opened.read())
        return {"weights": digest.hexdigest()}


def _vlguard_folder() -> Path:
    folder = data_folder()
    if folder is None:
        raise MirageError(f"set {DATA} to the folder that holds vlguard/ (its metadata, train/ and test/).")
    return folder / "vlguard" if (folder / "vlguard").is_dir() else folder


def _stamp(name: str) -> tuple[Path, int, int]:
    path = _vlguard_folder() / name
    if not path.is_file():
        raise MirageError(f"no {name} in {path.parent}. It belongs to VLGuard or to the paper's released code.")
    stat = path.stat()
    return path, stat.st_size, stat.st_mtime_ns


def _digest(*names: str) -> str:
    return hashlib.sha256("".join(_content(*_stamp(name)) for name in names).encode()).hexdigest()[:12]


@functools.cache
def _content(path: Path, *stamp: int) -> str:
    del stamp  # a file that was changed is read anew
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _examples() -> list[Example]:
    return _read_examples(_vlguard_folder(), _stamp("train.json"), _stamp("test.json"))


@functools.lru_cache(maxsize=2)
def _read_examples(folder: Path, *stamp: tuple[Path, int, int]) -> list[Example]:
    del stamp
    return vlguard(folder)


def _rewrites(edit: Any) -> dict[str, list[str]]:
    return _read_rewrites(edit, _stamp(REWRITES[edit][0]))


@functools.lru_cache(maxsize=4)
def _read_rewrites(edit: Any, stamp: tuple[Path, int, int]) -> dict[str, list[str]]:
    return vlguard_rewrites(stamp[0].parent, edit)


def _parameters(folder: Path) -> int:
    """How many numbers the model holds, from the headers of its files."""
    total = 0
    for file in folder.glob("*.safetensors"):
        try:
            with safe_open(file, framework="pt") as opened:
                for name in opened.keys():  # noqa: SIM118, the file is no mapping
                    shape = opened.get_slice(name).get_shape()
                    total += functools.reduce(lambda size, side: size * side, shape, 1)
        except SafetensorError as error:
            raise MirageError(f"weights: {file} is not whole ({error}). Fetch it again.") from error
    return total


def _memory() -> int:
    """Bytes of memory where the model will be."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_properties(0).total_memory
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
