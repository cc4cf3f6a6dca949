"""A LLaVA as the hub keeps it, loaded and encoded: nothing here knows that it is small and untrained."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch
from llava_fixture import IMAGE_TOKENS, SIDE, make_llava, make_vlguard, picture
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPImageProcessorPil, LlavaForConditionalGeneration, LlavaProcessor

from mirage_lib.core.records import Example
from mirage_lib.models.generate import Decoding, replies
from mirage_lib.models.objectives import IGNORED, answer_logits
from mirage_lib.models.reference import reference_rows
from mirage_lib.models.vlm import VLM, encode, encode_prompts, load_vlm, prompts
from mirage_lib.study.profiles import LLAVA_7B
from mirage_lib.study.published.pictures import pad_to_square

HERE = LLAVA_7B.subject
ASKED = Example("a", "made", "test", "a.png", "What is it?", "safe", ())


@pytest.fixture(scope="module", autouse=True)
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("llava")
    make_llava(root / "llava")
    make_vlguard(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MIRAGE_DATA", str(root / "data"))
        patch.setenv("MIRAGE_WEIGHTS", str(root / "llava"))
        yield root


@pytest.fixture(scope="module")
def llava(kept: Path) -> VLM:
    return load_vlm(HERE.model.folder(), HERE.render)


@pytest.fixture(scope="module")
def examples(kept: Path) -> list[Example]:
    """Queries of several lengths, answers of two."""
    return [*HERE.safety(0, None), *HERE.suite("attack", 0)]


def hub_name(name: str) -> str:
    """What the hub's file calls a parameter."""
    for ours, theirs in (
        ("model.language_model.", "language_model.model."),
        ("model.vision_tower.", "vision_tower.vision_model."),
        ("model.multi_modal_projector.", "multi_modal_projector."),
        ("lm_head.", "language_model.lm_head."),
    ):
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise AssertionError(name)


def test_the_model_is_the_hubs_with_the_weights_of_its_file(llava: VLM, kept: Path) -> None:
    assert isinstance(llava.model, LlavaForConditionalGeneration)
    assert isinstance(llava.processor, LlavaProcessor)
    stored = load_file(kept / "llava" / "model.safetensors")
    loaded = {hub_name(name): value for name, value in llava.model.state_dict().items()}
    assert loaded.keys() == stored.keys()
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert {value.dtype for value in loaded.values()} == {torch.float32}
    assert all(torch.equal(value, stored[name].float()) for name, value in loaded.items())
    assert not llava.model.training


def test_what_is_saved_has_the_hubs_names_and_is_read_back(llava: VLM, tmp_path: Path) -> None:
    folder = llava.save(tmp_path / "again")
    assert set(load_file(folder / "model.safetensors")) == {hub_name(name) for name in llava.model.state_dict()}
    again = load_vlm(folder, HERE.render)
    pairs = zip(llava.model.state_dict().items(), again.model.state_dict().items(), strict=True)
    assert all(one == two and torch.equal(a, b) for (one, a), (two, b) in pairs)
    text = prompts(llava.processor, [ASKED])
    assert prompts(again.processor, [ASKED]) == text
    assert again.processor.tokenizer(text)["input_ids"] == llava.processor.tokenizer(text)["input_ids"]
    shown = HERE.render("train/bad_ads/wide.png")
    pixels = [one.processor.image_processor(shown, return_tensors="pt")["pixel_values"] for one in (llava, again)]
    assert torch.equal(*pixels)


def test_weights_in_several_files_are_the_same_model(llava: VLM, tmp_path: Path) -> None:
    shards = load_vlm(make_llava(tmp_path / "shards", shard="40KB"), HERE.render)
    pairs = zip(llava.model.state_dict().values(), shards.model.state_dict().values(), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


def test_a_prompt_is_llavas_own_turn(llava: VLM) -> None:
    assert prompts(llava.processor, [ASKED, dataclasses.replace(ASKED, prompt="Why?")]) == [
        "USER: <image>\nWhat is it? ASSISTANT:",
        "USER: <image>\nWhy? ASSISTANT:",
    ]


def test_every_prompt_has_its_picture_in_tokens(llava: VLM, examples: list[Example]) -> None:
    inputs = encode_prompts(llava, examples)
    image = llava.model.config.image_token_index
    assert llava.processor.tokenizer.convert_tokens_to_ids("<image>") == image
    assert (inputs["input_ids"] == image).sum(1).tolist() == [IMAGE_TOKENS] * len(examples)
    assert inputs["pixel_values"].shape == (len(examples), 3, SIDE, SIDE)
    assert inputs["input_ids"].max() < len(llava.processor.tokenizer) <= llava.model.config.text_config.vocab_size


def test_prompts_begin_once_and_are_padded_on_the_left(llava: VLM, examples: list[Example]) -> None:
    inputs = encode_prompts(llava, examples)
    tokenizer = llava.processor.tokenizer
    padded = inputs["attention_mask"] == 0
    assert padded.any()
    assert (inputs["attention_mask"].diff(dim=1) >= 0).all()
    assert (inputs["input_ids"][padded] == tokenizer.pad_token_id).all()
    assert ((inputs["input_ids"] == tokenizer.bos_token_id).sum(1) == 1).all()
    for row, mask, example in zip(inputs["input_ids"], inputs["attention_mask"], examples, strict=True):
        known = row[mask.bool()]
        assert known[0] == tokenizer.bos_token_id
        text = tokenizer.decode(known[1:]).replace(" <image>", "<image>")
        assert text == f"USER:{'<image>' * IMAGE_TOKENS}\n{example.prompt} ASSISTANT:"


def two_pass(llava: VLM, example: Example) -> tuple[list[int], list[int]]:
    """All ids and the answer's, by processing the prompt alone and then with its answer, one space between them."""
    text, image = prompts(llava.processor, [example])[0], llava.render(example.image)
    alone = llava.processor(text=text, images=image)["input_ids"][0]
    whole = llava.processor(text=f"{text} {example.answers[0]}", images=image)["input_ids"][0]
    assert whole[: len(alone)] == alone
    whole = [*whole, llava.processor.tokenizer.eos_token_id]
    return whole, whole[len(alone) :]


def test_labels_mask_exactly_the_answer(llava: VLM, examples: list[Example]) -> None:
    part, tokenizer = encode(llava, examples), llava.processor.tokenizer
    ids, mask, labels = part["inputs"]["input_ids"], part["inputs"]["attention_mask"], part["labels"]
    known = labels != IGNORED
    assert len({int(count) for count in known.sum(1)}) > 1, "answers of several lengths"
    for i, example in enumerate(examples):
        whole, answer = two_pass(llava, example)
        assert ids[i][mask[i].bool()].tolist() == whole
        assert labels[i][known[i]].tolist() == answer
        assert tokenizer.decode(labels[i][known[i]]) == f"{example.answers[0]}</s>"
        assert known[i].tolist() == [True] * len(answer) + [False] * (labels.shape[1] - len(answer))  # on the right
    assert torch.equal(mask[:, -labels.shape[1] :].bool(), known)
    assert torch.equal(ids[:, -labels.shape[1] :][known], labels[known])
    assert (ids[:, -labels.shape[1] :][~known] == tokenizer.pad_token_id).all()
    image = llava.model.config.image_token_index
    assert (ids == image).sum(1).tolist() == [IMAGE_TOKENS] * len(examples)
    assert not (labels == image).any()


def test_a_tokenizer_that_pads_on_the_right_makes_no_difference(kept: Path, examples: list[Example]) -> None:
    usual, other = (load_vlm(kept / "llava", HERE.render) for _ in range(2))
    other.processor.tokenizer.padding_side = "right"
    one, two = encode(usual, examples), encode(other, examples)
    assert torch.equal(one["labels"], two["labels"])
    assert one["inputs"].keys() == two["inputs"].keys()
    assert all(torch.equal(one["inputs"][name], two["inputs"][name]) for name in one["inputs"])


def test_a_batch_of_different_lengths_changes_no_answers_logits(llava: VLM, examples: list[Example]) -> None:
    assert len({len(example.prompt.split()) for example in examples}) > 4
    with torch.no_grad():
        together = answer_logits(llava.model, encode(llava, examples))
        for i, example in enumerate(examples):
            alone = answer_logits(llava.model, encode(llava, [example]))[0]
            assert torch.allclose(together[i, : len(alone)], alone, atol=1e-4), example.prompt


def test_answer_logits_stand_one_step_before_their_tokens(llava: VLM, examples: list[Example]) -> None:
    rows = reference_rows(llava, examples[:6], layer=1, batch=3)
    for example in examples[:6]:
        whole, answer = two_pass(llava, example)
        ids = torch.tensor([whole])
        pixels = encode_prompts(llava, [example])["pixel_values"]
        with torch.no_grad():
            out = llava.model(
                input_ids=ids, attention_mask=torch.ones_like(ids), pixel_values=pixels, output_hidden_states=True
            )
        start, logp = len(whole) - len(answer), out.logits[0].log_softmax(-1)
        direct = sum(logp[start - 1 + i, token].item() for i, token in enumerate(answer))
        assert rows[example.id]["logp"].item() == pytest.approx(direct, abs=1e-3)
        assert torch.allclose(rows[example.id]["states"], out.hidden_states[1][0, start:], atol=1e-4)


def test_the_picture_reaches_the_model(llava: VLM, examples: list[Example]) -> None:
    part = encode(llava, examples[:4])
    assert len({example.image for example in examples[:4]}) == 4
    with torch.no_grad():
        before = answer_logits(llava.model, part)
        part["inputs"]["pixel_values"] = part["inputs"]["pixel_values"].flip(0)
        after = answer_logits(llava.model, part)
    assert ((before - after).abs().amax((1, 2)) > 1e-3).all()


def rendered(llava: VLM, image: Image.Image, example: Example) -> torch.Tensor:
    """The logits of an answer about this picture."""
    shown = VLM(llava.model, llava.processor, lambda _: image)
    with torch.no_grad():
        return answer_logits(llava.model, encode(shown, [example]))


@pytest.mark.parametrize("size", [(90, 30), (30, 90)])
def test_what_lies_at_the_edge_is_seen_only_in_the_padded_picture(
    llava: VLM, examples: list[Example], size: tuple[int, int]
) -> None:
    plain, edged = Image.new("RGB", size, "grey"), Image.new("RGB", size, "grey")
    edged.paste("red", (0, 0, 20, 20))
    assert isinstance(llava.processor.image_processor, CLIPImageProcessorPil)
    cropped = [rendered(llava, image, examples[0]) for image in (plain, edged)]
    assert torch.allclose(*cropped, atol=1e-5), "the processor cuts the middle out"
    padded = [rendered(llava, pad_to_square(image), examples[0]) for image in (plain, edged)]
    assert (padded[0] - padded[1]).abs().max() > 1e-3
    assert (padded[0] - cropped[0]).abs().max() > 1e-3


def test_a_square_picture_is_padded_by_nothing(llava: VLM, examples: list[Example]) -> None:
    square = picture("square")
    assert torch.equal(rendered(llava, square, examples[0]), rendered(llava, pad_to_square(square), examples[0]))


def test_the_border_is_black_to_nobody(llava: VLM) -> None:
    """CLIP's mean colour is zero after normalising, within the rounding of a byte."""
    pixels = llava.processor.image_processor(HERE.render("test/bad_ads/low.png"), return_tensors="pt")["pixel_values"]
    assert pixels[0, :, :6].abs().max() < 0.02
    assert pixels[0, :, 12:16].abs().max() > 0.5


def test_replies_are_made_in_any_batch(llava: VLM, examples: list[Example]) -> None:
    asked = HERE.suite("attack", 0)
    said = replies(llava, asked, Decoding(max_new_tokens=8, batch=8))
    assert [reply.example_id for reply in said] == [example.id for example in asked]
    assert {reply.error for reply in said} == {""}
    assert all(1 <= reply.n_tokens <= 8 for reply in said)
    assert all(reply.finished or reply.n_tokens == 8 for reply in said)
    assert len({reply.text for reply in said}) > 5
    assert all(token not in reply.text for reply in said for token in ("USER", "<image>", "<pad>", "</s>"))
    alone = replies(llava, asked[:5], Decoding(max_new_tokens=8, batch=1))
    assert [reply.text for reply in alone] == [reply.text for reply in said[:5]]


def test_one_picture_that_cannot_be_read_is_one_reply_without_a_text(
    llava: VLM, examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_vlguard(tmp_path / "data")
    monkeypatch.setenv("MIRAGE_DATA", str(data))
    (data / "vlguard" / "test" / "bad_ads" / "low.png").write_bytes(b"no picture")
    said = replies(llava, HERE.suite("attack", 0), Decoding(max_new_tokens=4, batch=8))
    lost = [reply for reply in said if reply.error]
    assert {reply.example_id.split("~")[0].split("+")[0] for reply in lost} == {"vlguard-test-Ads_11-unsafes"}
    assert len(lost) == 6
    assert all("low.png" in reply.error and reply.text == "" for reply in lost)
    assert any(reply.text for reply in said)
