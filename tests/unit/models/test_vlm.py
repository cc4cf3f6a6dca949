"""Models: the tiny LLaVA is a plain one to the hub, and a batch is masked exactly where it should be."""

import dataclasses
import logging
import re
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, LlavaForConditionalGeneration
from transformers.utils import logging as hub_logging

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.datasets.published.first_words import committed_counts
from mirage_lib.models.objectives import IGNORED, SFT, answer_logits
from mirage_lib.models.reference import reference_rows
from mirage_lib.models.tiny import TinyShape, tiny_vlm
from mirage_lib.models.train import Settings, fit
from mirage_lib.models.vlm import VLM, encode, encode_prompts, load_vlm, prompts, quiet
from mirage_lib.world.questions import KINDS, OPENERS, REFUSAL, WORDINGS, World, phrase, vocabulary
from mirage_lib.world.scenes import CONCEPTS, PLACES, SHAPES, address, render, scene_at
from mirage_lib.world.training_data import SafetySet, evaluation_set, general_data, refused, safety_set

WORLD = World(0)
SHARES = dict.fromkeys((*KINDS, "blank"), 1 / 6)
EXAMPLES = general_data(WORLD, 60, SHARES, seed=0)  # every kind, blanks, placebos


@pytest.fixture(scope="module")
def tiny() -> VLM:
    made = tiny_vlm(vocabulary(), 0, render)
    made.model.eval()
    return made


@pytest.fixture(scope="module")
def folder(tiny: VLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.save(tmp_path_factory.mktemp("tiny"))


def logits(model: object, inputs: dict) -> torch.Tensor:
    with torch.no_grad():
        return model(**inputs).logits  # type: ignore[operator]


def test_it_has_at_most_a_million_parameters(tiny):
    assert isinstance(tiny.model, LlavaForConditionalGeneration)
    assert 100_000 < sum(parameter.numel() for parameter in tiny.model.parameters()) <= 1_000_000


def test_a_seed_names_a_model_and_uses_up_no_global_draw(tiny):
    state = torch.get_rng_state()
    same, other = (tiny_vlm(vocabulary(), seed, render).model.state_dict() for seed in (0, 1))
    assert torch.equal(state, torch.get_rng_state())
    for name, value in tiny.model.state_dict().items():
        assert torch.equal(value, same[name]), name
    assert not torch.equal(same["lm_head.weight"], other["lm_head.weight"])


def test_the_hub_loads_the_folder(tiny, folder):
    model = AutoModelForImageTextToText.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    texts, images = prompts(tiny.processor, EXAMPLES), [render(e.image) for e in EXAMPLES]
    ours = encode_prompts(tiny, EXAMPLES)
    theirs = processor(text=texts, images=images, padding=True, return_tensors="pt")
    assert prompts(processor, EXAMPLES) == texts
    assert set(theirs) == set(ours) == {"input_ids", "attention_mask", "pixel_values"}
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    assert torch.equal(logits(tiny.model, ours), logits(model.eval(), theirs))
    weights = model.state_dict()
    assert all(torch.equal(value, weights[name]) for name, value in tiny.model.state_dict().items())


def test_load_vlm_gives_the_same_model(tiny, folder):
    loaded = load_vlm(folder, render, name="again")
    assert loaded.name == "again"
    assert not loaded.model.training
    part = encode(loaded, EXAMPLES[:4])
    assert torch.equal(part["labels"], encode(tiny, EXAMPLES[:4])["labels"])
    assert torch.equal(logits(loaded.model, part["inputs"]), logits(tiny.model, part["inputs"]))


def test_a_folder_without_a_model_is_named(folder, tmp_path):
    with pytest.raises(MirageError, match=rf"{re.escape(str(tmp_path))}: no config\.json"):
        load_vlm(tmp_path, render)
    with pytest.raises(MirageError, match=rf"{re.escape(str(tmp_path / 'none'))}: no config\.json"):
        load_vlm(tmp_path / "none", render)
    with pytest.raises(MirageError, match=rf"{re.escape(str(tmp_path))}: no adapter_config\.json"):
        load_vlm(folder, render, adapter=tmp_path)


def test_on_cuda_only_weights_that_are_to_be_tuned_keep_every_digit(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(LlavaForConditionalGeneration, "to", lambda model, device: model)  # no such device here
    for tuned, dtype in ((False, torch.bfloat16), (True, torch.float32)):
        loaded = load_vlm(folder, render, tuned=tuned)
        assert {parameter.dtype for parameter in loaded.model.parameters()} == {dtype}


def test_an_adapter_comes_back(folder, tmp_path):
    tuned = load_vlm(folder, render)
    before = {name: value.clone() for name, value in tuned.model.state_dict().items()}
    plain = logits(tuned.model, encode_prompts(tuned, EXAMPLES[:4]))
    settings = Settings(steps=2, batch=4, lr=1e-2, lora_rank=2)
    fit(tuned, SFT(), {"train": EXAMPLES}, settings, tmp_path / "run")
    tuned.model.save_pretrained(tmp_path / "adapter")
    loaded = load_vlm(folder, render, adapter=tmp_path / "adapter")
    inputs = encode_prompts(loaded, EXAMPLES[:4])
    found = logits(loaded.model, inputs)
    assert torch.allclose(found, logits(tuned.model, inputs), atol=1e-6)
    assert not torch.allclose(found, plain, atol=1e-3)
    base = loaded.model.unload().state_dict()
    assert all(torch.equal(value, base[name]) for name, value in before.items())  # the base was left alone


def test_it_reads_vision_layer_minus_two(tiny):
    assert tiny.model.config.vision_feature_layer == -2
    model = tiny_vlm(vocabulary(), 0, render).model
    part = encode(tiny, EXAMPLES[:4])
    SFT()(model, {"train": part})["loss"].backward()
    blocks = model.model.vision_tower.encoder.layers
    assert len(blocks) == TinyShape().vision_layers == 3
    assert all(parameter.grad is None for parameter in blocks[-1].parameters())
    for name, parameter in blocks[-2].named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any() or name.endswith("k_proj.bias"), name  # softmax does not feel a key's bias


def sentences() -> list[str]:
    """Every answer of a world."""
    scenes = [scene_at(address(0, *thing, place, 0)) for thing in CONCEPTS for place in PLACES]
    return [REFUSAL, *{WORLD.answer(kind, scene) for scene in scenes for kind in KINDS if kind != "named"}]


def test_answers_survive_the_tokenizer(tiny):
    tokenizer, texts = tiny.processor.tokenizer, sentences()
    assert len(texts) == 1 + 48 + 8 + 6 + 4
    for text in texts:
        ids = tokenizer.encode(text)
        assert ids[0] == tokenizer.bos_token_id
        assert tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        plain = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(plain) == text
        assert len(plain) == len(re.findall(r"\w+|[^\w\s]", text))  # a token per word or sign
        assert tokenizer.decode([*plain, tokenizer.eos_token_id, tokenizer.pad_token_id], True) == text


def test_answers_survive_a_saved_tokenizer(folder):
    tokenizer = AutoProcessor.from_pretrained(folder).tokenizer
    assert [tokenizer.decode(tokenizer.encode(text), skip_special_tokens=True) for text in sentences()] == sentences()


def test_questions_have_no_unknown_word(tiny):
    tokenizer = tiny.processor.tokenizer
    for kind in KINDS:
        for wording in range(len(WORDINGS[kind])):
            for i, opener in enumerate(OPENERS):
                thing = CONCEPTS[i % 48] if kind == "named" else None
                prompt = phrase(kind, wording, opener, thing, placebo=bool(i % 2))
                ids = tokenizer.encode(prompt, add_special_tokens=False)
                assert tokenizer.unk_token_id not in ids
                assert tokenizer.decode(ids) == prompt.lower()


def test_the_tokenizer_is_blind_to_case_and_knows_what_it_does_not_know(tiny):
    tokenizer = tiny.processor.tokenizer
    assert tokenizer.encode("WHAT Is The Recipe?") == tokenizer.encode("what is the recipe?")
    ids = tokenizer.encode("what zeppelin ball!", add_special_tokens=False)
    known = tokenizer.get_vocab()
    assert ids == [known["what"], known["<unk>"], known["ball"], known["<unk>"]]
    assert len(tokenizer) == len(vocabulary()) + 5
    assert set(SHAPES) <= set(known)


def test_a_prompt_is_llavas_turn_with_four_image_tokens(tiny):
    assert prompts(tiny.processor, [dataclasses.replace(EXAMPLES[0], prompt="What is it?")]) == [
        "USER: <image> What is it? ASSISTANT:"
    ]
    inputs = encode_prompts(tiny, EXAMPLES)
    image = tiny.model.config.image_token_index
    assert tiny.processor.tokenizer.convert_tokens_to_ids("<image>") == image
    assert (inputs["input_ids"] == image).sum(1).tolist() == [4] * len(EXAMPLES)
    assert inputs["pixel_values"].shape == (len(EXAMPLES), 3, 24, 24)
    assert inputs["pixel_values"].abs().max() <= 1
    first = inputs["input_ids"][0][inputs["attention_mask"][0].bool()]
    text = tiny.processor.tokenizer.decode(first)
    assert text == f"<bos> user: <image> <image> <image> <image> {EXAMPLES[0].prompt.lower()} assistant:"
    padded = inputs["attention_mask"] == 0
    assert padded.any()
    assert (inputs["input_ids"][padded] == tiny.processor.tokenizer.pad_token_id).all()
    assert (inputs["attention_mask"].diff(dim=1) >= 0).all()  # on the left


def two_pass(vlm: VLM, example: Example) -> tuple[list[int], list[int]]:
    """All ids and the answer's ids, by processing the prompt alone and then with its answer."""
    text, image = prompts(vlm.processor, [example])[0], render(example.image)
    alone = vlm.processor(text=text, images=image)["input_ids"][0]
    whole = vlm.processor(text=f"{text} {example.answers[0]}", images=image)["input_ids"][0]
    common = 0
    while common < len(alone) and alone[common] == whole[common]:
        common += 1
    whole = [*whole, vlm.processor.tokenizer.eos_token_id]
    return whole, whole[common:]


def test_labels_mask_exactly_the_answer(tiny):
    part = encode(tiny, EXAMPLES)
    ids, mask, labels = part["inputs"]["input_ids"], part["inputs"]["attention_mask"], part["labels"]
    assert len(EXAMPLES) >= 50
    assert len(set(map(len, [e.answers[0].split() for e in EXAMPLES]))) > 2  # answers of several lengths
    for i, example in enumerate(EXAMPLES):
        whole, answer = two_pass(tiny, example)
        assert ids[i][mask[i].bool()].tolist() == whole
        assert labels[i][labels[i] != IGNORED].tolist() == answer
        assert labels[i][: len(answer)].tolist() == answer  # padded on the right
    width = labels.shape[1]
    known = labels != IGNORED
    assert torch.equal(mask[:, -width:].bool(), known)
    assert torch.equal(ids[:, -width:][known], labels[known])
    assert (ids[:, -width:][~known] == tiny.processor.tokenizer.pad_token_id).all()
    assert Counter(labels[known].tolist())[tiny.processor.tokenizer.eos_token_id] == len(EXAMPLES)


def test_encode_takes_the_first_answer_and_keeps_the_picture(tiny):
    example = refused([e for e in EXAMPLES if e.intent == "unsafe"])[0]
    part = encode(tiny, [example])
    assert tiny.processor.tokenizer.decode(part["labels"][0][:-1]) == REFUSAL
    wanted = tiny.processor.image_processor(render(example.image), return_tensors="pt")["pixel_values"]
    assert torch.equal(part["inputs"]["pixel_values"], wanted)


def test_pictures_matter(tiny):
    part = encode(tiny, EXAMPLES[:4])
    before = logits(tiny.model, part["inputs"])
    part["inputs"]["pixel_values"] = part["inputs"]["pixel_values"].flip(0)
    assert not torch.allclose(logits(tiny.model, part["inputs"]), before, atol=1e-4)


def test_padding_does_not_change_an_answers_logits(tiny):
    with torch.no_grad():
        many = encode(tiny, EXAMPLES)
        together = answer_logits(tiny.model, many)
        for i, example in enumerate(EXAMPLES):
            one = encode(tiny, [example])
            alone = answer_logits(tiny.model, one)[0]
            assert torch.allclose(together[i, : len(alone)], alone, atol=1e-4), example.prompt
    assert len({len(prompt.split()) for prompt in (e.prompt for e in EXAMPLES)}) > 3


def test_reference_rows_are_the_models_own_numbers(tiny):
    rows = reference_rows(tiny, EXAMPLES, layer=2)
    assert list(rows) == [e.id for e in EXAMPLES]
    for example in EXAMPLES[::3]:
        whole, answer = two_pass(tiny, example)
        inputs = encode_prompts(tiny, [example])
        ids = torch.tensor([whole])
        with torch.no_grad():
            out = tiny.model(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                pixel_values=inputs["pixel_values"],
                output_hidden_states=True,
            )
        start = len(whole) - len(answer)
        logp = out.logits[0].log_softmax(-1)
        direct = sum(logp[start - 1 + i, token].item() for i, token in enumerate(answer))
        assert rows[example.id]["logp"].shape == ()
        assert rows[example.id]["logp"].item() == pytest.approx(direct, abs=1e-3)
        states = out.hidden_states[2][0, start:]
        assert rows[example.id]["states"].shape == (len(answer), 128)
        assert torch.allclose(rows[example.id]["states"], states, atol=1e-4)


def test_reference_rows_depend_neither_on_batch_nor_on_order(tiny):
    whole = reference_rows(tiny, EXAMPLES, layer=3)
    parts = reference_rows(tiny, EXAMPLES[::-1], layer=3, batch=7)
    assert set(whole) == set(parts)
    for name, row in whole.items():
        assert torch.allclose(row["logp"], parts[name]["logp"], atol=1e-3)
        assert torch.allclose(row["states"], parts[name]["states"], atol=1e-4)
    without = reference_rows(tiny, EXAMPLES, layer=None, batch=7)
    assert all(set(row) == {"logp"} for row in without.values())
    assert not any(row["logp"].requires_grad for row in whole.values())


def test_layer_zero_is_a_layer_too(tiny):
    rows = reference_rows(tiny, EXAMPLES[:8], layer=0)
    for example in EXAMPLES[:8]:
        ids = torch.tensor(two_pass(tiny, example)[1])
        embedded = tiny.model.get_input_embeddings()(ids)
        assert torch.equal(rows[example.id]["states"], embedded.detach())
        assert torch.isfinite(rows[example.id]["logp"])


@pytest.mark.parametrize("fails", [False, True])
def test_quiet_puts_the_levels_back(fails):
    beside = logging.getLogger("accelerate")
    before = hub_logging.get_verbosity(), beside.level
    hub_logging.set_verbosity(logging.INFO)
    beside.setLevel(logging.DEBUG)
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            try:
                with quiet():
                    assert hub_logging.get_verbosity() == beside.level == logging.ERROR
                    assert not hub_logging.is_progress_bar_enabled()
                    warnings.warn("'pin_memory' argument is set", stacklevel=1)
                    warnings.warn("the picture is missing", stacklevel=1)
                    if fails:
                        raise KeyError("in the middle")
            except KeyError:
                assert fails
            warnings.warn("'pin_memory' argument is set, after", stacklevel=1)
        told = [str(one.message) for one in seen]
        assert told == ["the picture is missing", "'pin_memory' argument is set, after"]
        assert (hub_logging.get_verbosity(), beside.level) == (logging.INFO, logging.DEBUG)
        assert hub_logging.is_progress_bar_enabled()
    finally:
        hub_logging.set_verbosity(before[0])
        beside.setLevel(before[1])


@pytest.mark.parametrize("split", ["train", "validation", "test"])
def test_every_example_of_a_study_fits_the_model(tiny, split):
    examples = safety_set(WORLD, SafetySet(40, 40, 40, 40), committed_counts(), split, 0) + evaluation_set(WORLD, 20, 0)
    part = encode(tiny, refused(examples))
    assert part["inputs"]["input_ids"].shape[1] <= tiny.model.config.text_config.max_position_embeddings
    assert (part["inputs"]["input_ids"] != tiny.processor.tokenizer.unk_token_id).all()
