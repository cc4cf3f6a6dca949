"""A model without pictures is one more kind of model: loaded, asked, tuned and studied by the same code."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import torch
from text_fixture import WORDS, Locks, make_text_model

from mirage_lib.attacks import Attack, OneWord
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.core.store import Store
from mirage_lib.models import hub
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.objectives import NPO, SFT
from mirage_lib.models.train import Settings
from mirage_lib.models.vlm import IGNORED, VLM, encode, encode_prompts, load_vlm, prompts
from mirage_lib.study.profile import Method, Profile
from mirage_lib.study.published.data import Classes
from mirage_lib.study.published.subject import Published
from mirage_lib.study.study import BASE, Study

PLAIN = [dataclasses.replace(one, image="") for one in Locks().examples("test")[:2]]


def unseen(address: str) -> None:
    """There are no pictures to open."""
    raise AssertionError(f"{address} was opened")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_text_model(tmp_path_factory.mktemp("text") / "llama")


@pytest.fixture(scope="module")
def model(folder: Path) -> VLM:
    return load_vlm(folder, unseen)


def test_a_prompt_is_the_tokenizers_own_template(model: VLM) -> None:
    assert prompts(model.processor, PLAIN) == [f"<s>user: {one.prompt} assistant:" for one in PLAIN]
    inputs = encode_prompts(model, PLAIN)
    assert set(inputs) >= {"input_ids", "attention_mask"}
    starts = (inputs["input_ids"] == model.processor.tokenizer.bos_token_id).sum(1)
    assert starts.tolist() == [1, 1], "the start is told once"
    assert (inputs["attention_mask"][:, -1] == 1).all(), "padded on the left"
    assert (inputs["attention_mask"].sum(1)[0] != inputs["attention_mask"].sum(1)[1]).item()


def test_labels_cover_exactly_the_answer(model: VLM) -> None:
    batch = encode(model, PLAIN)
    tokenizer = model.processor.tokenizer
    for example, row in zip(PLAIN, batch["labels"], strict=True):
        said = tokenizer.decode(row[row != IGNORED][:-1])
        assert said.split() == example.answers[0].split()
        assert row[row != IGNORED][-1] == tokenizer.eos_token_id
    assert model.model(**batch["inputs"]).logits.shape[:2] == batch["inputs"]["input_ids"].shape


def test_a_picture_is_refused_with_the_remedy(model: VLM) -> None:
    with pytest.raises(MirageError, match=r"takes no pictures: leave them out \(Published\(..., pictures=False\)\)"):
        prompts(model.processor, [dataclasses.replace(PLAIN[0], image="a.png")])


def test_a_tokenizer_without_a_template_is_named(tmp_path: Path) -> None:
    folder = make_text_model(tmp_path / "base", template=None)
    with pytest.raises(MirageError, match=r"base: its tokenizer has no chat template; expected a model tuned to chat"):
        load_vlm(folder, unseen)


def test_it_comes_back_from_where_it_was_saved(model: VLM, tmp_path: Path) -> None:
    again = load_vlm(model.save(tmp_path / "saved"), unseen)
    one, two = (encode(vlm, PLAIN) for vlm in (model, again))
    assert torch.equal(one["inputs"]["input_ids"], two["inputs"]["input_ids"])
    assert torch.equal(model.model(**one["inputs"]).logits, again.model(**two["inputs"]).logits)


def test_it_answers_without_opening_a_picture(model: VLM) -> None:
    said = replies(model, PLAIN, Decoding(max_new_tokens=4, batch=2))
    assert [(reply.example_id, reply.error) for reply in said] == [(one.id, "") for one in PLAIN]
    assert all(reply.n_tokens for reply in said)
    assert set(" ".join(reply.text for reply in said).split()) <= {*WORDS, "<unk>"}


def test_a_folder_is_located_and_needs_no_pictures_processor(folder: Path, tmp_path: Path) -> None:
    assert hub.HubModel(str(folder)).folder() == folder
    assert hub.HubModel(str(folder)).missing(None) == []
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    (broken / "tokenizer.json").unlink()
    with pytest.raises(MirageError, match=r"has no tokenizer\.json or tokenizer\.model"):
        hub.HubModel(str(broken)).folder()


def test_a_study_of_text_alone_runs_whole(folder: Path, tmp_path: Path) -> None:
    """A data set of our own with a text model, fine-tuned and unlearned, attacked and judged."""
    settings = Settings(steps=2, batch=2, freeze=())
    what = Attack(OneWord("what"), "what", "opening with “What”", ("unsafes",))
    profile = Profile(
        name="locks",
        reported=False,
        seeds=(0,),
        subject=Published(Locks(), hub.HubModel(str(folder)), (what,), pictures=False),
        methods=(
            Method("posthoc", "SFT", SFT(), Classes(), settings),
            Method("npo", "NPO", NPO(), Classes(), dataclasses.replace(settings, lora_rank=2)),
        ),
        decoding=Decoding(max_new_tokens=4, batch=8),
    )
    study = Study(profile, Store(tmp_path / "runs"))
    table = study.table([BASE, "posthoc", "npo"])
    assert table.groupby(["method", "edit"]).size().to_dict() == {
        (name, edit): count for name in (BASE, "posthoc", "npo") for edit, count in (("", 20), ("swap:what", 10))
    }
    assert set(table["asked"]) == {"as asked", "opening with “What”"}
    assert set(table["image"]) == {""}
    rows: list[Example] = study.training_data(profile.method("posthoc"), 0)["train"]
    assert len(rows) == 20
    assert {one.image for one in rows} == {""}
    assert study.title("npo") == "NPO"
