"""Objectives: each formula against a computation by hand, each objective on a real small model."""

import dataclasses
import math

import jaxtyping
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from mirage_lib.datasets.published.first_words import committed_counts
from mirage_lib.models.objectives import (
    IGNORED,
    NPO,
    RMU,
    SFT,
    GradDiff,
    See,
    answer_logits,
    answer_states,
    cross_entropy,
    masked_mse,
    npo_loss,
    sequence_logp,
    token_logp,
)
from mirage_lib.models.reference import reference_rows
from mirage_lib.models.tiny import tiny_vlm
from mirage_lib.models.train import Collate
from mirage_lib.models.vlm import VLM, encode
from mirage_lib.world.questions import World, vocabulary
from mirage_lib.world.scenes import render
from mirage_lib.world.training_data import SafetySet, refused, safety_set

LAYER = 2
betas = st.floats(0.01, 5)
differences = st.lists(st.floats(-20, 20), min_size=1, max_size=6)


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


LOGITS = draw(3, 4, 7)
LABELS = torch.tensor([[1, 2, 3, 6], [0, 5, IGNORED, IGNORED], [4, IGNORED, IGNORED, IGNORED]])


def by_hand(row: int, column: int) -> float:
    """log softmax of one logit, in Python's own numbers."""
    values = LOGITS[row, column].tolist()
    return values[LABELS[row, column]] - math.log(sum(map(math.exp, values)))


def test_log_probabilities_by_hand():
    found = token_logp(LOGITS, LABELS)
    for row in range(3):
        for column in range(4):
            wanted = 0 if LABELS[row, column] == IGNORED else by_hand(row, column)
            assert found[row, column].item() == pytest.approx(wanted, abs=1e-5)
    sums = [sum(by_hand(0, i) for i in range(4)), by_hand(1, 0) + by_hand(1, 1), by_hand(2, 0)]
    assert sequence_logp(LOGITS, LABELS).tolist() == pytest.approx(sums, abs=1e-5)
    means = [sums[0] / 4, sums[1] / 2, sums[2]]
    assert sequence_logp(LOGITS, LABELS, per="token").tolist() == pytest.approx(means, abs=1e-5)


def test_logits_at_ignored_labels_change_nothing():
    changed = LOGITS + 50 * draw(3, 4, 7, seed=1) * (LABELS == IGNORED).unsqueeze(-1)
    assert not torch.equal(changed, LOGITS)
    for per in ("sequence", "token"):
        assert torch.equal(sequence_logp(changed, LABELS, per), sequence_logp(LOGITS, LABELS, per))
    assert torch.equal(cross_entropy(changed, LABELS), cross_entropy(LOGITS, LABELS))


def test_an_answer_without_labels_counts_nothing():
    nothing = torch.full((3, 4), IGNORED)
    assert sequence_logp(LOGITS, nothing).tolist() == [0, 0, 0]
    assert sequence_logp(LOGITS, nothing, per="token").tolist() == [0, 0, 0]
    assert cross_entropy(LOGITS, nothing).item() == 0


@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(1, 6))
def test_cross_entropy_is_torchs(seed, batch, answer):
    logits = 3 * draw(batch, answer, 9, seed=seed)
    labels = torch.randint(0, 9, (batch, answer), generator=torch.Generator().manual_seed(seed))
    labels[draw(batch, answer, seed=seed + 1) > 1] = IGNORED
    labels[0, 0] = 3
    wanted = F.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED)
    assert torch.allclose(cross_entropy(logits, labels), wanted, atol=1e-5)


@given(betas, differences)
def test_npo_is_its_formula(beta, differences):
    logp = torch.tensor(differences, dtype=torch.float64)
    wanted = [-(2 / beta) * math.log(1 / (1 + math.exp(beta * d))) for d in differences]
    assert npo_loss(logp - 3, torch.full_like(logp, -3), beta).item() == pytest.approx(sum(wanted) / len(wanted))


@given(betas, differences)
def test_npo_of_the_reference_itself(beta, logp):
    rows = torch.tensor(logp, dtype=torch.float64)
    assert npo_loss(rows, rows.clone(), beta).item() == pytest.approx(2 / beta * math.log(2), rel=1e-12)


def npo_gradient(differences: list[float], beta: float) -> list[float]:
    rows = torch.tensor(differences, dtype=torch.float64, requires_grad=True)
    npo_loss(rows, torch.zeros(len(differences), dtype=torch.float64), beta).backward()
    return rows.grad.tolist()


@given(betas, differences)
def test_npo_gradient_is_a_damped_ascents(beta, differences):
    n = len(differences)  # of the mean of the log-probabilities, the gradient is 1/n each
    wanted = [2 / (1 + math.exp(-beta * d)) / n for d in differences]
    assert npo_gradient(differences, beta) == pytest.approx(wanted)
    assert npo_gradient([0.0] * n, beta) == pytest.approx([1 / n] * n)  # at the reference, whatever beta


@given(differences)
def test_npo_tends_to_gradient_ascent(differences):
    n = len(differences)
    assert npo_gradient(differences, 1e-9) == pytest.approx([1 / n] * n, rel=1e-7)
    beta = 1e-5
    rows = torch.tensor(differences, dtype=torch.float64)
    beyond = npo_loss(rows, torch.zeros_like(rows), beta).item() - 2 / beta * math.log(2)
    assert beyond == pytest.approx(sum(differences) / n, abs=1e-3 + 1e-9)


def test_npo_lets_go_of_what_is_forgotten():
    assert npo_gradient([-200.0], 0.1)[0] < 1e-7
    assert npo_gradient([200.0], 0.1)[0] == pytest.approx(2)


def test_masked_mse_by_hand():
    states = torch.tensor([[[1.0, 2.0], [3.0, 4.0]], [[5.0, 6.0], [7.0, 8.0]]])
    mask = torch.tensor([[True, True], [True, False]])
    one = torch.tensor([1.0, 1.0])
    # squares: 0 1 | 4 9 | 16 25; means over the width: 0.5, 6.5, 20.5
    assert masked_mse(states, one, mask).item() == pytest.approx((0.5 + 6.5 + 20.5) / 3)
    assert masked_mse(states, states - 2, mask).item() == pytest.approx(4)
    assert masked_mse(states, states, mask).item() == 0
    assert masked_mse(states, one, torch.zeros(2, 2, dtype=torch.bool)).item() == 0


def test_masked_positions_do_not_count():
    states, target, mask = draw(3, 4, 5), draw(3, 4, 5, seed=1), LABELS != IGNORED
    wanted = (states - target)[mask].square().mean()
    assert torch.allclose(masked_mse(states, target, mask), wanted)
    elsewhere = states + 9 * (~mask).unsqueeze(-1)
    assert torch.equal(masked_mse(elsewhere, target, mask), masked_mse(states, target, mask))
    assert not torch.equal(masked_mse(elsewhere, target, torch.ones(3, 4, dtype=torch.bool)), wanted)
    states.requires_grad_()
    masked_mse(states, target, mask).backward()
    assert (states.grad[~mask] == 0).all()
    assert (states.grad[mask] != 0).all()


@pytest.mark.parametrize("centred", [False, True])
def test_rmu_direction(centred):
    rmu = RMU(coeff=6.5, seed=3, centred=centred)
    direction = rmu.direction(64)
    assert direction.shape == (64,)
    assert direction.norm().item() == pytest.approx(6.5)
    assert (direction.min().item() < 0) == centred
    assert torch.equal(direction, rmu.direction(64))
    assert not torch.equal(direction, dataclasses.replace(rmu, seed=4).direction(64))
    assert torch.allclose(2 * direction, dataclasses.replace(rmu, coeff=13.0).direction(64))
    state = torch.get_rng_state()
    rmu.direction(64)
    assert torch.equal(state, torch.get_rng_state())  # no global draw is used up
    if centred:
        assert abs(direction.sum().item()) < 0.5 * direction.abs().sum().item()


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        (npo_loss, (torch.zeros(3), torch.zeros(1), 0.1)),  # would broadcast in silence
        (npo_loss, (torch.zeros(3, 1), torch.zeros(3, 1), 0.1)),
        (npo_loss, (torch.zeros(3), torch.zeros(()), 0.1)),
        (npo_loss, (torch.zeros(3, dtype=torch.long), torch.zeros(3), 0.1)),
        (token_logp, (LOGITS, LABELS[:1])),
        (sequence_logp, (LOGITS, LABELS[:2])),
        (sequence_logp, (LOGITS, LABELS[:, :3])),
        (sequence_logp, (LOGITS[0], LABELS[0])),
        (sequence_logp, (LOGITS, LABELS.float())),
        (cross_entropy, (LOGITS, LABELS.flatten())),
        (masked_mse, (draw(2, 3, 4), torch.zeros(1), LABELS[:2, :3] > 0)),
        (masked_mse, (draw(3, 4), torch.zeros(4), LABELS > 0)),
        (masked_mse, (draw(3, 4, 5), torch.zeros(5), torch.ones(3, 4))),  # a mask is true or false, no weight
        (masked_mse, (draw(3, 4, 5), torch.zeros(5), LABELS)),
        (masked_mse, (draw(3, 4, 5), torch.zeros(5), (LABELS > 0)[:1])),  # would broadcast in silence
        (masked_mse, (draw(3, 4, 5), torch.zeros(5), (LABELS > 0)[:, :1])),
        (masked_mse, (draw(3, 4, 5), torch.zeros(5), (LABELS > 0)[0])),
        (masked_mse, (draw(3, 4, 5), torch.zeros(5), (LABELS > 0).unsqueeze(-1))),
    ],
)
def test_a_wrong_batch_or_rank_is_rejected(function, arguments):
    with pytest.raises(jaxtyping.TypeCheckError, match=function.__name__):
        function(*arguments)


@pytest.fixture(scope="module")
def tiny() -> VLM:
    made = tiny_vlm(vocabulary(), 0, render)
    made.model.eval()
    return made


@pytest.fixture(scope="module")
def batch(tiny: VLM) -> dict:
    """Six forget and six retain examples, with the reference of the model itself."""
    sizes = SafetySet(unsafes=4, safe_unsafes=2, safe_safes=6, named_safes=0)
    examples = safety_set(World(0), sizes, committed_counts(), "train", 0)
    forget, retain = ([e for e in examples if e.intent == intent] for intent in ("unsafe", "safe"))
    collate = Collate(tiny, reference_rows(tiny, examples, LAYER, batch=5))
    draws = [{"forget": [f], "retain": [r]} for f, r in zip(forget, retain, strict=True)]
    return collate(draws) | {"train": encode(tiny, refused(examples))}


@pytest.fixture
def moved(tiny: VLM) -> VLM:
    """A model that has left its reference behind."""
    made = tiny_vlm(vocabulary(), 0, render)
    with torch.no_grad():
        for i, parameter in enumerate(made.model.parameters()):
            parameter.add_(0.02 * draw(*parameter.shape, seed=i))
    made.model.eval()
    return made


def test_answer_logits_are_the_full_forwards(tiny, batch):
    for part in batch.values():
        answers = part["labels"].shape[1]
        with torch.no_grad():
            full = tiny.model(**part["inputs"]).logits
            found = answer_logits(tiny.model, part)
        assert found.shape[:2] == part["labels"].shape
        assert torch.allclose(found, full[:, -answers - 1 : -1], atol=1e-5)
        assert not torch.allclose(found, full[:, -answers:], atol=1e-2)


@pytest.mark.parametrize("layer", [0, 1, LAYER, 4])
def test_answer_states_are_the_hidden_states_at_the_answers(tiny, batch, layer):
    part = batch["forget"]
    answers = part["labels"].shape[1]
    with torch.no_grad():
        logits, states = answer_states(tiny.model, part, layer)
        wanted = tiny.model(**part["inputs"], output_hidden_states=True).hidden_states
    assert len(wanted) == 5
    assert states.shape == (*part["labels"].shape, 128)
    assert torch.allclose(states, wanted[layer][:, -answers:], atol=1e-5)
    assert torch.allclose(logits, answer_logits(tiny.model, part), atol=1e-5)


OBJECTIVES = [
    (SFT(), {}),
    (GradDiff(forget_weight=0.3, retain_weight=0.7), {"forget": 0.3, "retain": 0.7}),
    (NPO(beta=0.5, forget_weight=0.6, retain_weight=1.7), {"forget": 0.6, "retain": 1.7}),
    (NPO(beta=0.5, per="token"), {"forget": 1, "retain": 1}),
    (RMU(LAYER, 4.0, hold_weight=3.0, retain_weight=0.2), {"forget": 1, "hold": 3.0, "retain": 0.2}),
    (RMU(LAYER, 4.0, centred=True), {"forget": 1, "hold": 5.0, "retain": 1}),
]
NAMES = [f"{type(objective).__name__}-{i}" for i, (objective, _) in enumerate(OBJECTIVES)]


@pytest.mark.parametrize(("objective", "weights"), OBJECTIVES, ids=NAMES)
def test_the_terms_add_up_to_the_loss(moved, batch, objective, weights):
    terms = objective(moved.model, batch)
    assert set(terms) == {"loss", *weights}
    assert all(term.shape == () and torch.isfinite(term) for term in terms.values())
    if weights:
        total = sum(weight * terms[name].item() for name, weight in weights.items())
        assert terms["loss"].item() == pytest.approx(total, rel=1e-5)


@pytest.mark.parametrize(("objective", "weights"), OBJECTIVES, ids=NAMES)
def test_gradients_reach_projector_and_language_model(moved, batch, objective, weights):
    objective(moved.model, batch)["loss"].backward()
    reached = {name: parameter.grad for name, parameter in moved.model.named_parameters() if "vision" not in name}
    assert any("multi_modal_projector" in name for name in reached)
    assert any("layers.3" in name for name in reached)
    for name, gradient in reached.items():
        assert gradient is not None, name
        assert torch.isfinite(gradient).all(), name
        assert gradient.abs().sum() > 0, name
    assert any(p.grad is not None for n, p in moved.model.named_parameters() if "vision_tower.encoder" in n)


@pytest.mark.parametrize(("objective", "weights"), OBJECTIVES, ids=NAMES)
def test_a_step_down_lowers_the_loss(moved, batch, objective, weights):
    before = objective(moved.model, batch)["loss"]
    before.backward()
    with torch.no_grad():
        squared = sum(p.grad.square().sum() for p in moved.model.parameters() if p.grad is not None)
        for parameter in moved.model.parameters():
            if parameter.grad is not None:
                parameter -= 0.01 * parameter.grad / squared.sqrt()
        after = objective(moved.model, batch)["loss"]
    assert after < before


def test_the_terms_are_the_formulas(moved, batch):
    forget, retain = batch["forget"], batch["retain"]
    with torch.no_grad():
        logp = sequence_logp(answer_logits(moved.model, forget), forget["labels"])
        keep = cross_entropy(answer_logits(moved.model, retain), retain["labels"])
        assert SFT()(moved.model, {"train": retain})["loss"].item() == pytest.approx(keep.item())
        assert GradDiff()(moved.model, batch)["forget"].item() == pytest.approx(logp.mean().item(), rel=1e-5)
        ref_logp, lengths = forget["reference"]["logp"], (forget["labels"] != IGNORED).sum(-1)
        assert (logp - ref_logp).abs().min() > 1e-3
        found = NPO(beta=0.3)(moved.model, batch)
        assert found["forget"].item() == pytest.approx(npo_loss(logp, ref_logp, 0.3).item(), rel=1e-5)
        assert found["retain"].item() == pytest.approx(keep.item(), rel=1e-5)
        per_token = NPO(beta=0.3, per="token")(moved.model, batch)["forget"].item()
        assert per_token == pytest.approx(npo_loss(logp / lengths, ref_logp / lengths, 0.3).item(), rel=1e-5)
        rmu = RMU(LAYER, coeff=4.0, seed=1)
        found, known = rmu(moved.model, batch), forget["labels"] != IGNORED
        away = answer_states(moved.model, forget, LAYER)[1][known] - rmu.direction(128)
        assert found["forget"].item() == pytest.approx(away.square().mean().item(), rel=1e-5)
        kept, known = answer_states(moved.model, retain, LAYER)[1], retain["labels"] != IGNORED
        held = (kept - retain["reference"]["states"])[known]
        assert found["hold"].item() == pytest.approx(held.square().mean().item(), rel=1e-5)
        assert found["retain"].item() == pytest.approx(keep.item(), rel=1e-5)


@pytest.mark.parametrize("per", ["sequence", "token"])
def test_a_model_equals_its_own_reference(tiny, batch, per):
    with torch.no_grad():
        assert NPO(beta=0.1, per=per)(tiny.model, batch)["forget"].item() == pytest.approx(20 * math.log(2), rel=1e-5)
        assert RMU(LAYER)(tiny.model, batch)["hold"].item() < 1e-9


def test_rmu_pushes_no_layer_above_its_own(moved, batch):
    RMU(LAYER, retain_weight=0.0)(moved.model, batch)["loss"].backward()
    for name, parameter in moved.model.named_parameters():
        if "vision" in name:
            continue
        above = any(part in name for part in ("layers.2.", "layers.3.", "language_model.norm", "lm_head"))
        assert (parameter.grad is None or not parameter.grad.any()) == above, name


def test_objectives_say_what_they_need(batch):
    assert SFT().roles == ("train",)
    assert not SFT().needs_reference
    for objective in (GradDiff(), NPO(), RMU()):
        assert objective.roles == ("forget", "retain")
    assert (GradDiff().needs_reference, NPO().needs_reference, RMU().needs_reference) == (False, True, True)
    assert (GradDiff().reference_layer, NPO().reference_layer, RMU(3).reference_layer) == (None, None, 3)
    for objective in (GradDiff(), NPO(), RMU()):
        with pytest.raises(dataclasses.FrozenInstanceError):
            objective.retain_weight = 0.0  # type: ignore[misc]


class Eyes(nn.Module):
    """Gives stored logits, whatever it sees."""

    def __init__(self, out: dict[str, torch.Tensor]) -> None:
        super().__init__()
        self.out = out

    def forward(self, pixels: torch.Tensor) -> dict[str, torch.Tensor]:
        return self.out


@settings(max_examples=10)
@given(st.integers(0, 1000))
def test_see_adds_three_cross_entropies(seed):
    out = {"shape": draw(2, 8, seed=seed), "colour": draw(2, 6, seed=seed), "place": draw(2, 4, 4, seed=seed)}
    labels = {"shape": torch.tensor([1, 7]), "colour": torch.tensor([0, 5]), "place": torch.tensor([3, 2])}
    part = {"inputs": {"pixel_values": torch.zeros(2, 3, 24, 24)}, "labels": labels}
    terms = See()(Eyes(out), {"train": part})
    assert torch.allclose(terms["shape"], F.cross_entropy(out["shape"], labels["shape"]))
    assert torch.allclose(terms["colour"], F.cross_entropy(out["colour"], labels["colour"]))
    each = [F.cross_entropy(out["place"][:, patch], labels["place"]) for patch in range(4)]
    assert torch.allclose(terms["place"], torch.stack(each).mean())
    assert torch.allclose(terms["loss"], terms["shape"] + terms["colour"] + terms["place"])
