"""The browser export: the page's own forward pass against PyTorch's, on the same weights, in Node."""

from __future__ import annotations

import base64
import copy
import dataclasses
import math
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from page_fixture import as_json, first_chances, in_node, one_thread, pieces, speaker, written

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.explorer.export import Packed, pack, write_models, write_script
from mirage_lib.explorer.laboratory_content import page_world
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.saliency import refusal_probability, without_each_word
from mirage_lib.models.tiny import tiny_vlm
from mirage_lib.models.vlm import VLM, encode_prompts
from mirage_lib.study.profiles import TINY
from mirage_lib.world.questions import REFUSAL, vocabulary
from mirage_lib.world.scenes import render

ASK = """
import {World} from "./laboratory.js";
import {VLM} from "./vlm.js";
const world = new World(told.world);
function asked(model) {
  return told.examples.map(([picture, question]) => {
    const image = model.see(world.pixels(world.scene(picture))), {ids, unknown} = model.tokens(question), said = [];
    let first;
    for (const {token, chances} of model.reply(image, ids, 12)) {
      first ??= Array.from(chances);
      said.push(token);
    }
    if (said.at(-1) === model.manifest.end) said.pop();
    return {ids, unknown, said, text: model.text(said), first};
  });
}
"""
DIRECT = "const found = asked(new VLM(told.model.manifest, {own: bytes(told.model.data)}));"
FROM_FILES = """
import vm from "node:vm";
const load = (name) => vm.runInThisContext(fs.readFileSync(`${told.folder}/${name}.js`, "utf8"));
["shared", ...told.names].forEach(load);
const {shared} = globalThis.mirage;
const found = told.names.map((name) => {
  const {manifest, data} = globalThis.mirage[name];
  return asked(new VLM(manifest, {own: bytes(data), shared: bytes(shared.data)}));
});
"""
IN_PAGE = """
import vm from "node:vm";
import {InPage} from "./asking.js";
const fetches = [];
const way = new InPage(told.content, async (name) => {
  fetches.push(name);
  vm.runInThisContext(fs.readFileSync(`${told.folder}/${name}.js`, "utf8"));
  return globalThis.mirage[name];
});
const found = {fetches, answers: {}};
for (const name of told.names) {
  found.answers[name] = [];
  for (const [picture, question] of told.examples) {
    const answer = await way.answer(name, picture, question);
    const chances = [], without = [];
    for await (const chance of way.chances(name, picture, [question, "Share it?"])) chances.push(chance);
    for await (const chance of way.without(name, picture, question)) without.push(chance);
    found.answers[name].push({...answer, chances, without});
  }
}
"""


@pytest.fixture(scope="module", autouse=True)
def threads() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def model() -> VLM:
    return tiny_vlm(vocabulary(), 3, render)


@pytest.fixture(scope="module")
def examples() -> list[Example]:
    return TINY.subject.suite("attack", 100)[::40][:40]


def told(examples: list[Example], **more: Any) -> dict[str, Any]:
    return {"world": page_world(100), "examples": [[e.image, e.prompt] for e in examples], **more}


def asked(packed: Packed, examples: list[Example], folder: Path) -> list[dict[str, Any]]:
    """What the page's code makes of the examples, drawn by the page's code too."""
    return in_node(ASK + DIRECT, told(examples, model=as_json(packed)), folder)


@pytest.mark.parametrize("kind", ["int8", "float16"])
def test_the_page_says_what_pytorch_says(model: VLM, examples: list[Example], kind: Any, tmp_path: Path) -> None:
    packed = pack(model, kind)
    found = asked(packed, examples, tmp_path)
    said = replies(packed.model, examples, Decoding(max_new_tokens=12, batch=8))
    for line, example, reply in zip(found, examples, said, strict=True):
        assert line["ids"] == encode_prompts(packed.model, [example])["input_ids"][0].tolist()
        assert line["unknown"] == []
        assert line["text"] == reply.text
        assert line["first"] == pytest.approx(first_chances(packed.model, example).tolist(), abs=1e-5)
    assert len({line["text"] for line in found}) > 3, "these prompts are answered differently"


def test_words_it_does_not_know_are_told(model: VLM, examples: list[Example], tmp_path: Path) -> None:
    (line,) = asked(pack(model), [dataclasses.replace(examples[0], prompt="Share the Zebra's way, über it?")], tmp_path)
    assert line["unknown"] == ["zebra", "'", "s", "über"]
    assert line["ids"].count(model.processor.tokenizer.unk_token_id) == 4


def test_packing_keeps_the_model_and_rounds_its_copy(model: VLM) -> None:
    before = {name: value.clone() for name, value in model.model.state_dict().items()}
    whole, half = pack(model, "int8"), pack(model, "float16")
    assert all(torch.equal(value, before[name]) for name, value in model.model.state_dict().items())
    assert len(whole.data) < 0.55 * len(half.data) < 1e6
    name = "lm_head.weight"
    row = before[name].abs().amax(dim=1, keepdim=True)
    error = (whole.model.model.state_dict()[name] - before[name]).abs()
    assert (error <= row / 254 + 1e-7).all()
    assert error.max() > 0
    assert torch.equal(half.model.model.state_dict()[name], before[name].half().float())


def test_an_idle_block_of_the_tower_is_left_out(model: VLM) -> None:
    names = pack(model).manifest["tensors"]
    assert "vision.1.q.weight" in names
    assert "vision.2.q.weight" not in names
    assert {told["part"] for told in names.values()} == {"own"}


def test_another_kind_of_model_is_refused(model: VLM) -> None:
    other = dataclasses.replace(model, model=torch.nn.Linear(1, 1), name="other")
    with pytest.raises(MirageError, match="other is a Linear"):
        pack(other)


# --- script files -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def packs() -> dict[str, Packed]:
    """Two models that share all but a few matrices, as tuned models share their tower, and one in half precision."""
    first = speaker(0)
    second = dataclasses.replace(first, model=copy.deepcopy(first.model))
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(1)
        for name, value in second.model.named_parameters():
            if "lm_head" in name or "language_model.layers.1.mlp" in name:
                value.add_(0.2 * torch.randn_like(value))
    return {"first": pack(first), "second": pack(second), "half": pack(second, "float16")}


@pytest.fixture(scope="module")
def folder(packs: dict[str, Packed], tmp_path_factory: pytest.TempPathFactory) -> Path:
    where = tmp_path_factory.mktemp("models")
    write_models(packs, where)
    return where


def size(told: dict[str, Any]) -> int:
    """Bytes of a tensor, each of its parts filled up to a multiple of four."""
    count = math.prod(told["shape"])
    each = {"int8": 1, "float16": 2, "float32": 4}[told["kind"]]
    return -(-count * each // 4) * 4 + (4 * told["shape"][0] if told["kind"] == "int8" else 0)


def test_any_bytes_come_back_from_their_text(tmp_path: Path) -> None:
    data = random.Random(0).randbytes(4000) + bytes([0, 0, 0, 0, 255, 255, 255, 255])
    text = base64.b64encode(data).decode()
    assert bytes(in_node("const found = [...new Uint8Array(bytes(told))];", text, tmp_path)) == data


def test_what_models_share_is_stored_once(packs: dict[str, Packed], folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == {"first.js", "second.js", "half.js", "shared.js"}
    found = {path.stem: written(path) for path in folder.iterdir()}
    data = {name: base64.b64decode(value["data"]) for name, value in found.items()}
    held: dict[tuple[str, bytes], set[str]] = {}
    for name, packed in packs.items():
        for one in packed.manifest["tensors"].values():
            piece = packed.data[one["at"] : one["at"] + size(one)]
            held.setdefault((f"{one['kind']} {one['shape']}", piece), set()).add(name)
    common = {key for key, names in held.items() if len(names) > 1}
    assert len(data["shared"]) == sum(len(piece) for _, piece in common)
    for name, packed in packs.items():
        assert found[name]["manifest"].keys() == packed.manifest.keys()
        total = 0
        for tensor, before in packed.manifest["tensors"].items():
            after = found[name]["manifest"]["tensors"][tensor]
            piece = packed.data[before["at"] : before["at"] + size(before)]
            total += size(before) * (after["part"] == "own")
            assert {**after, "at": 0, "part": ""} == {**before, "at": 0, "part": ""}
            assert after["part"] == ("shared" if (f"{before['kind']} {before['shape']}", piece) in common else "own")
            assert data["shared" if after["part"] == "shared" else name][after["at"] :].startswith(piece), tensor
        assert len(data[name]) == total, "nothing else is in a model's own file"
    parts = {
        name: {t for t, one in found[name]["manifest"]["tensors"].items() if one["part"] == "own"} for name in packs
    }
    assert parts["first"] == {"text.words", "text.1.gate", "text.1.up", "text.1.down"}


def test_models_of_script_files_say_what_packed_ones_say(
    packs: dict[str, Packed], folder: Path, examples: list[Example], tmp_path: Path
) -> None:
    files = told(examples, folder=str(folder), names=list(packs))
    found = dict(zip(packs, in_node(ASK + FROM_FILES, files, tmp_path), strict=True))
    for name, packed in packs.items():
        assert found[name] == asked(packed, examples, tmp_path)
        assert len({line["text"] for line in found[name]}) > 3, "these prompts are answered differently"
    assert found["first"] != found["second"]


def test_a_model_cannot_have_the_name_of_the_shared_file(packs: dict[str, Packed], tmp_path: Path) -> None:
    with pytest.raises(MirageError, match="'shared'"):
        write_models({"first": packs["first"], "shared": packs["second"]}, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_script_can_end_the_page_it_stands_in(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        assert "<" not in path.read_text("utf-8")
    value = {"text": "</script><!-- ü “\u2028 \\ <script>", "rates": [0.5, None, True]}
    path = write_script(tmp_path, "content", value)
    assert "<" not in path.read_text("utf-8")
    assert written(path) == value
    loaded = "import './content.js';\nconst found = globalThis.mirage.content;"
    assert in_node(loaded, None, tmp_path) == value


# --- InPage -----------------------------------------------------------------------------------


def test_the_way_in_the_page_answers_as_python_does(packs: dict[str, Packed], folder: Path, tmp_path: Path) -> None:
    rows = [*TINY.subject.suite("attack", 100)[::150][:40], *TINY.subject.suite("evaluation", 100)[::55]]
    strange = ("Share the Zebra's way, über it?", "IS it a_b 3 or 3.5 ... ring-ball", "  tell   me\tnow ", "?!", "word")
    rows += [dataclasses.replace(rows[i], id=f"s{i}", prompt=text) for i, text in enumerate(strange)]
    content = {"world": page_world(100), "most": 7, "refuses": REFUSAL.split(",")[0]}
    names = ["first", "half"]
    found = in_node(IN_PAGE, told(rows, content=content, folder=str(folder), names=names), tmp_path)
    assert sorted(found["fetches"]) == ["first", "half", "shared", "shared"], "a model is loaded once"
    assert len(rows) >= 50
    for name in names:
        vlm = packs[name].model
        said, known = replies(vlm, rows, Decoding(max_new_tokens=7)), vlm.processor.tokenizer.get_vocab()
        first = refusal_probability(vlm, rows)
        other = refusal_probability(vlm, [dataclasses.replace(row, prompt="Share it?") for row in rows])
        for i, (line, row, reply) in enumerate(zip(found["answers"][name], rows, said, strict=True)):
            assert (line["text"], line["finished"]) == (reply.text, reply.finished), row.prompt
            assert line["first"] == pytest.approx(first[i], abs=1e-5)
            assert line["chances"] == pytest.approx([first[i], other[i]], abs=1e-5)
            assert line["without"] == pytest.approx(refusal_probability(vlm, without_each_word(row)), abs=1e-5)
            assert line["unknown"] == [piece for piece in pieces(vlm, row.prompt) if piece not in known]
            assert (line["tokens"] or [""])[-1] == reply.text, "the last step is the whole reply"
        assert {reply.finished for reply in said} == {True, False}
        assert first.max() - first.min() > 0.01
