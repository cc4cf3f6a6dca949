"""Vision pretraining: the heads read where LLaVA reads, and the tower learns in place."""

import json

import pytest
import torch

from mirage_lib.models.tiny import tiny_vlm
from mirage_lib.models.train import Settings
from mirage_lib.models.vision_pretraining import NAMES, Sight, pretrain_vision
from mirage_lib.models.vlm import VLM
from mirage_lib.world.questions import vocabulary
from mirage_lib.world.scenes import COLOURS, PLACES, SHAPES, VARIANTS, render, scene_at

PIXELS = torch.randn(5, 3, 24, 24, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def tiny() -> VLM:
    return tiny_vlm(vocabulary(), 0, render)


def weights(vlm: VLM) -> dict[str, torch.Tensor]:
    return {name: parameter.detach().clone() for name, parameter in vlm.model.named_parameters()}


def test_the_names_are_the_scenes_own():
    names = {"shape": list(SHAPES), "colour": list(COLOURS), "place": list(PLACES)}
    assert names == NAMES


def test_the_heads_read_layer_minus_two(tiny):
    vision = Sight(tiny, 0).eval()
    assert vision.layer == tiny.model.config.vision_feature_layer == -2
    with torch.no_grad():
        found = vision(PIXELS)
        states = tiny.model.model.vision_tower(PIXELS, output_hidden_states=True).hidden_states[-2]
        patches = states[:, 1:]  # without the class token
        assert torch.allclose(found["shape"], vision.heads["shape"](patches.mean(1)), atol=1e-6)
        assert torch.allclose(found["colour"], vision.heads["colour"](patches.mean(1)), atol=1e-6)
        assert torch.allclose(found["place"], vision.heads["place"](patches), atol=1e-6)
    assert {name: tuple(logits.shape) for name, logits in found.items()} == {
        "shape": (5, 8),
        "colour": (5, 6),
        "place": (5, 4, 4),
    }


def test_the_last_block_is_not_read(tiny):
    vision = Sight(tiny, 0).eval()
    blocks = tiny.model.model.vision_tower.encoder.layers
    with torch.no_grad():
        before = vision(PIXELS)
        for parameter in blocks[-1].parameters():
            parameter.add_(1.0)
        assert all(torch.equal(logits, before[name]) for name, logits in vision(PIXELS).items())
        for parameter in blocks[-2].parameters():
            parameter.add_(0.1)
        assert not any(torch.equal(logits, before[name]) for name, logits in vision(PIXELS).items())


def test_the_heads_have_their_own_seed(tiny):
    state = torch.get_rng_state()
    first, same, other = (Sight(tiny, seed).heads["shape"].weight for seed in (1, 1, 2))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())
    assert Sight(tiny, 1).tower is tiny.model.model.vision_tower


def test_a_few_steps_lower_the_loss(tiny, tmp_path):
    seen, before, told = [], weights(tiny), []

    def look(where):
        seen.append(where)
        return render(where)

    tiny.render = look
    settings = Settings(steps=60, batch=48, lr=1e-3, seed=1)
    same = pretrain_vision(tiny, 4, settings, tmp_path / "vision", lambda *step: told.append(step))
    assert same is tiny
    lines = [json.loads(line) for line in (tmp_path / "vision" / "loss.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(60))
    assert told[-1][1:] == (60, 60)
    for name in ("loss", "shape", "colour", "place"):
        early, late = (sum(line[name] for line in part) for part in (lines[:10], lines[-10:]))
        assert late < early * (0.99 if name == "place" else 0.6), name  # one patch tells little of the place
    for line in lines:
        assert line["loss"] == pytest.approx(line["shape"] + line["colour"] + line["place"], abs=1e-4)
    assert len(seen) == len(set(seen)) == 48 * 4 * 12
    assert {scene_at(where).seed for where in seen} == {4}
    assert {scene_at(where).variant for where in seen} == set(range(*VARIANTS["train"]))
    changed = {name for name, value in weights(tiny).items() if not torch.equal(value, before[name])}
    assert any("vision_tower.encoder.layers.1." in name for name in changed)
    assert all("vision_tower" in name for name in changed)  # neither projector nor language model
    assert not any("encoder.layers.2." in name or "post_layernorm" in name for name in changed)
