"""Browser export: what a page needs to run a laboratory model in the reader's browser.

``pack`` turns a model into ``Packed``: one JSON object (words, the form of a prompt) and one run of bytes (weights).
``scripts/vlm.js`` reads them; it is the same forward pass in a few hundred lines. ``write_models`` writes them as
scripts, with what models have in common written once. Matrices are int8 with a scale for each row, or 16-bit floats;
the rest are 32-bit floats.
"""

from __future__ import annotations

import base64
import copy
import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from transformers import LlavaForConditionalGeneration

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.models.vlm import VLM, encode_prompts

Kind = Literal["int8", "float16"]
SHARED = "shared"  # the file with what several models have in common
VISION = {
    "vision.class": "embeddings.class_embedding",
    "vision.patch": "embeddings.patch_embedding.weight",
    "vision.position": "embeddings.position_embedding.weight",
    "vision.before.weight": "pre_layrnorm.weight",
    "vision.before.bias": "pre_layrnorm.bias",
}
VISION_LAYER = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "out": "self_attn.out_proj",
    "up": "mlp.fc1",
    "down": "mlp.fc2",
}
TEXT_LAYER = {
    "norm1": "input_layernorm",
    "norm2": "post_attention_layernorm",
    "q": "self_attn.q_proj",
    "k": "self_attn.k_proj",
    "v": "self_attn.v_proj",
    "out": "self_attn.o_proj",
    "gate": "mlp.gate_proj",
    "up": "mlp.up_proj",
    "down": "mlp.down_proj",
}


@dataclass(frozen=True)
class Packed:
    """A model for a page."""

    manifest: dict[str, Any]  # shape, words, prompt, tensors: name -> shape, kind, place in ``data``
    data: bytes
    model: VLM  # the same model with the weights that the page will use


def pack(vlm: VLM, kind: Kind = "int8") -> Packed:
    """Pack a laboratory model. The result has a copy with the rounded weights, for comparisons.

    Raises MirageError for any other model (an adapter must be merged first).
    """
    if type(vlm.model) is not LlavaForConditionalGeneration:
        kind_of = type(vlm.model).__name__
        raise MirageError(f"{vlm.name} is a {kind_of}; a page runs the laboratory's own models, adapters merged.")
    rounded = _copied(vlm)
    named = dict(rounded.model.named_parameters())
    tensors: dict[str, dict[str, Any]] = {}
    data = bytearray()
    for name, theirs in _names(rounded.model.config):
        parameter = next((value for key, value in named.items() if key.endswith(theirs)), None)
        if parameter is None:
            raise MirageError(f"{vlm.name}: no weight {theirs!r}; a page runs the laboratory's own models only.")
        values = parameter.detach().float().cpu().numpy()
        kept = kind if values.ndim > 1 else "float32"
        parts, back = _rounded(values, kept)
        tensors[name] = {"shape": list(values.shape), "kind": kept, "part": "own", "at": len(data)}
        for part in parts:
            data += part + bytes(-len(part) % 4)
        with torch.no_grad():
            parameter.copy_(torch.from_numpy(back))
    return Packed({"shape": _shape(rounded), **_language(rounded), "tensors": tensors}, bytes(data), rounded)


def write_models(packs: Mapping[str, Packed], folder: Path) -> None:
    """Write each model as ``<name>.js``, and ``shared.js`` with the tensors that more than one of them has.

    A script sets ``mirage[name]`` to ``{manifest, data}``, with the bytes as text: a page opened from a file may run
    scripts in its folder, but may not fetch files. Raises MirageError for a model named like the shared file.
    """
    if SHARED in packs:
        raise MirageError(f"A model of a page cannot be called {SHARED!r}.")
    pieces = {name: _pieces(packed) for name, packed in packs.items()}
    held = Counter(digest for own in pieces.values() for digest in {digest for digest, _ in own.values()})
    common, place = bytearray(), dict[str, int]()
    for name, packed in packs.items():
        data, tensors = bytearray(), {}
        for tensor, (digest, piece) in pieces[name].items():
            told = packed.manifest["tensors"][tensor]
            if held[digest] == 1:
                tensors[tensor] = {**told, "at": len(data)}
                data += piece
                continue
            if digest not in place:
                place[digest] = len(common)
                common += piece
            tensors[tensor] = {**told, "part": SHARED, "at": place[digest]}
        write_script(
            folder, name, {"manifest": {**packed.manifest, "tensors": tensors}, "data": base64.b64encode(data).decode()}
        )
    write_script(folder, SHARED, {"data": base64.b64encode(common).decode()})


def write_script(folder: Path, name: str, value: Any) -> Path:
    """Write ``<name>.js``, which sets ``mirage[name]`` to a value. It holds no "<", so it may stand in any page."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    path = folder / f"{name}.js"
    path.write_text(f"(globalThis.mirage ??= {{}})[{json.dumps(name)}] = {text};\n", encoding="utf-8")
    return path


def _pieces(packed: Packed) -> dict[str, tuple[str, bytes]]:
    """The bytes of each tensor, with a digest that equal tensors share."""
    tensors = sorted(packed.manifest["tensors"].items(), key=lambda item: item[1]["at"])
    ends = [told["at"] for _, told in tensors[1:]] + [len(packed.data)]
    found = {}
    for (name, told), end in zip(tensors, ends, strict=True):
        piece = packed.data[told["at"] : end]
        found[name] = (hashlib.sha256(f"{told['kind']}{told['shape']}".encode() + piece).hexdigest(), piece)
    return found


def _copied(vlm: VLM) -> VLM:
    return dataclasses.replace(vlm, model=copy.deepcopy(vlm.model).float().cpu().eval())


def _rounded(values: np.ndarray, kind: str) -> tuple[list[bytes], np.ndarray]:
    """The bytes of a tensor, and the float32 values that they stand for."""
    if kind == "int8":
        rows = values.reshape(len(values), -1)
        scales = (np.abs(rows).max(axis=1) / 127).astype(np.float32)
        scales[scales == 0] = 1
        whole = np.rint(rows / scales[:, None]).astype(np.int8)
        back = (whole.astype(np.float32) * scales[:, None]).reshape(values.shape)
        return [whole.tobytes(), scales.tobytes()], back
    if kind == "float16":
        half = values.astype(np.float16)
        return [half.tobytes()], half.astype(np.float32)
    return [values.astype(np.float32).tobytes()], values.astype(np.float32)


def _names(config: Any) -> Iterator[tuple[str, str]]:
    """For each weight that is used: the page's name, and the end of the model's own name."""
    for name, theirs in VISION.items():
        yield name, f"vision_tower.{theirs}"
    for layer in range(_vision_layers(config)):
        for name, theirs in VISION_LAYER.items():
            for part in ("weight", "bias"):
                yield f"vision.{layer}.{name}.{part}", f"vision_tower.encoder.layers.{layer}.{theirs}.{part}"
    for number in (1, 2):
        for part in ("weight", "bias"):
            yield f"bridge.{number}.{part}", f"multi_modal_projector.linear_{number}.{part}"
    for layer in range(config.text_config.num_hidden_layers):
        for name, theirs in TEXT_LAYER.items():
            yield f"text.{layer}.{name}", f"language_model.layers.{layer}.{theirs}.weight"
    yield "text.embed", "language_model.embed_tokens.weight"
    yield "text.norm", "language_model.norm.weight"
    yield "text.words", "lm_head.weight"


def _vision_layers(config: Any) -> int:
    """How many blocks of the vision tower are used. The model reads the states after them; later blocks are idle."""
    read = config.vision_feature_layer
    return read + config.vision_config.num_hidden_layers + 1 if read < 0 else read


def _shape(vlm: VLM) -> dict[str, Any]:
    config = vlm.model.config
    vision, text = config.vision_config, config.text_config
    return {
        "side": vision.image_size,
        "patch": vision.patch_size,
        "vision": vision.hidden_size,
        "visionHeads": vision.num_attention_heads,
        "visionLayers": _vision_layers(config),
        "visionEpsilon": vision.layer_norm_eps,
        "width": text.hidden_size,
        "heads": text.num_attention_heads,
        "layers": text.num_hidden_layers,
        "epsilon": text.rms_norm_eps,
        "theta": text.rope_parameters["rope_theta"],
    }


def _language(vlm: VLM) -> dict[str, Any]:
    """The vocabulary, and the token numbers that stand before and after a question."""
    tokenizer = vlm.processor.tokenizer
    mark = max((word for word in tokenizer.get_vocab() if word.isalpha()), key=len)  # stands for a question
    example = Example("page", "page", "test", "any", mark, "safe", ())
    ids = _prompt(vlm, example)
    (at,) = [i for i, token in enumerate(ids) if token == tokenizer.convert_tokens_to_ids(mark)]
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    numbers = {
        "unknown": tokenizer.unk_token_id,
        "end": tokenizer.eos_token_id,
        "image": vlm.model.config.image_token_id,
        "special": sorted(tokenizer.all_special_ids),
    }
    return {"words": words, "before": ids[:at], "after": ids[at + 1 :], **numbers}


def _prompt(vlm: VLM, example: Example) -> list[int]:
    blank = dataclasses.replace(
        vlm, render=lambda _: Image.new("RGB", (vlm.model.config.vision_config.image_size,) * 2)
    )
    return encode_prompts(blank, [example])["input_ids"][0].tolist()
