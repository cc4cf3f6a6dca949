"""The mathematics of training: pure functions of tensors first, then thin objectives that call them.

An objective is called with a model and a batch of parts by role:
``{"train": part}`` or ``{"forget": part, "retain": part}``. A part is what ``vlm.encode`` returns, with the stored
reference beside it. The objective returns ``{"loss": …}`` and the terms of the loss. It is also its own configuration:
a frozen dataclass that can be called. Paper: equation 1 (forget and retain), 2 (RMU), 3 (NPO), 4 (the retain term).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mirage_lib.models.vlm import IGNORED

Part = dict[str, Any]
Batch = dict[str, Part]
Terms = dict[str, Tensor]


def token_logp(
    logits: Float[Tensor, "batch answer vocab"], labels: Int[Tensor, "batch answer"]
) -> Float[Tensor, "batch answer"]:
    """Natural log-probability of each label, 0 where it is ignored. ``logits[:, i]`` predicts ``labels[:, i]``."""
    known = labels != IGNORED
    chosen = logits.float().log_softmax(-1).gather(-1, labels.where(known, 0).unsqueeze(-1)).squeeze(-1)
    return chosen * known


def sequence_logp(
    logits: Float[Tensor, "batch answer vocab"], labels: Int[Tensor, "batch answer"], per: str = "sequence"
) -> Float[Tensor, " batch"]:
    """Log-probability of each answer, summed over its tokens; their mean with ``per="token"``."""
    logp = token_logp(logits, labels).sum(-1)
    return logp if per == "sequence" else logp / (labels != IGNORED).sum(-1).clamp(min=1)


def cross_entropy(
    logits: Float[Tensor, "batch answer vocab"], labels: Int[Tensor, "batch answer"]
) -> Float[Tensor, ""]:
    """Mean negative log-probability over all answer tokens of the batch, in nats."""
    return -token_logp(logits, labels).sum() / (labels != IGNORED).sum().clamp(min=1)


def npo_loss(logp: Float[Tensor, " batch"], ref_logp: Float[Tensor, " batch"], beta: float) -> Float[Tensor, ""]:
    """Negative preference optimisation (paper eq. 3): mean of -(2/beta) log sigmoid(-beta (logp - ref_logp)).

    (2/beta) ln 2 where the model equals its reference; its gradient tends to gradient ascent's as beta -> 0.
    """
    return (2 / beta) * F.softplus(beta * (logp - ref_logp)).mean()


def masked_mse(
    states: Float[Tensor, "batch answer width"],
    target: Float[Tensor, " width"] | Float[Tensor, "batch answer width"],
    mask: Bool[Tensor, "batch answer"],
) -> Float[Tensor, ""]:
    """Mean squared difference over the positions of ``mask`` (batch, answer) and the width (paper eq. 2)."""
    squared = (states.float() - target.float()).square().mean(-1)
    return (squared * mask).sum() / mask.sum().clamp(min=1)


def answer_logits(model: nn.Module, part: Part) -> Float[Tensor, "batch answer vocab"]:
    """One forward pass, with logits only where the answers are predicted: one position before each answer token."""
    answers = part["labels"].shape[1]
    return model(**part["inputs"], logits_to_keep=answers + 1).logits[:, :-1]


def answer_states(model: nn.Module, part: Part, layer: int) -> tuple[Tensor, Tensor]:
    """Answer logits, and hidden states after ``layer`` at the answer tokens, (batch, answer, width).

    ``layer`` is counted as in transformers' ``hidden_states``: 0 is the embedding; the last is taken after the
    final norm, the others before it.
    """
    answers = part["labels"].shape[1]
    out = model(**part["inputs"], logits_to_keep=answers + 1, output_hidden_states=True)
    return out.logits[:, :-1], out.hidden_states[layer][:, -answers:]


class Objective(Protocol):
    """A loss that is its own configuration: a frozen dataclass that can be called. One of your own inherits from it."""

    roles: tuple[str, ...] = ("train",)  # of the training data; the first sets how many examples a step has
    reference_layer: int | None = None  # the layer whose states under the base it needs, if any
    needs_reference: bool = False  # whether it needs the base's log-probabilities of the answers

    def __call__(self, model: nn.Module, batch: Batch) -> Terms:
        """The loss and its terms."""
        ...


@dataclass(frozen=True)
class SFT(Objective):
    """Supervised fine-tuning: cross-entropy of the answers. Also the base model's own training."""

    def __call__(self, model: nn.Module, batch: Batch) -> Terms:
        part = batch["train"]
        return {"loss": cross_entropy(answer_logits(model, part), part["labels"])}


@dataclass(frozen=True)
class GradDiff(Objective):
    """Gradient difference: lowers the log-probability of the forget answers, and keeps the retain answers."""

    forget_weight: float = 0.01  # of the summed log-probability of a forget answer
    retain_weight: float = 1.0  # of the retain answers' cross-entropy
    roles = ("forget", "retain")

    def __call__(self, model: nn.Module, batch: Batch) -> Terms:
        forget, retain = batch["forget"], batch["retain"]
        ascent = sequence_logp(answer_logits(model, forget), forget["labels"]).mean()
        keep = cross_entropy(answer_logits(model, retain), retain["labels"])
        return {"loss": self.forget_weight * ascent + self.retain_weight * keep, "forget": ascent, "retain": keep}


@dataclass(frozen=True)
class NPO(Objective):
    """Negative preference optimisation on the forget answers, cross-entropy on the retain answers.

    ``per="token"`` reproduces the released code, which averages over an answer's tokens instead of summing
    and so gives beta another meaning.
    """

    beta: float = 0.1  # inverse temperature; towards 0 the loss becomes gradient ascent
    forget_weight: float = 1.0  # of npo_loss
    retain_weight: float = 1.0  # of the retain answers' cross-entropy
    per: str = "sequence"  # "sequence": an answer's log-probability is a sum; "token": a mean
    roles = ("forget", "retain")
    needs_reference = True

    def __call__(self, model: nn.Module, batch: Batch) -> Terms:
        forget, retain = batch["forget"], batch["retain"]
        logp = sequence_logp(answer_logits(model, forget), forget["labels"], self.per)
        ref_logp = forget["reference"]["logp"]
        if self.per == "token":
            ref_logp = ref_logp / (forget["labels"] != IGNORED).sum(-1)
        lost = npo_loss(logp, ref_logp, self.beta)
        keep = cross_entropy(answer_logits(model, retain), retain["labels"])
        return {"loss": self.forget_weight * lost + self.retain_weight * keep, "forget": lost, "retain": keep}


@dataclass(frozen=True)
class RMU(Objective):
    """Representation misdirection: pushes the forget answers' states to one random direction, holds the retain states.

    The released code draws the direction from [0, 1) without a seed, so all its entries are positive, and it
    averages over padding and image tokens. Here the direction is seeded and the mean is over answer tokens only.
    """

    layer: int = 2  # of hidden_states
    coeff: float = 6.0  # length of the target vector
    hold_weight: float = 5.0  # of the distance between retain states and the reference's
    retain_weight: float = 1.0  # of the retain answers' cross-entropy
    seed: int = 0  # of the direction
    centred: bool = False  # entries from [-1, 1) instead of the released [0, 1)
    roles = ("forget", "retain")
    needs_reference = True

    @property
    def reference_layer(self) -> int:
        """The layer whose states the reference must have."""
        return self.layer

    def direction(self, width: int) -> Float[Tensor, " width"]:
        """The target: a seeded random vector of length ``coeff``."""
        drawn = torch.rand(width, generator=torch.Generator().manual_seed(self.seed))
        drawn = 2 * drawn - 1 if self.centred else drawn
        return self.coeff * drawn / drawn.norm()

    def __call__(self, model: nn.Module, batch: Batch) -> Terms:
        forget, retain = batch["forget"], batch["retain"]
        _, states = answer_states(model, forget, self.layer)
        target = self.direction(states.shape[-1]).to(states.device)
        away = masked_mse(states, target, forget["labels"] != IGNORED)
        logits, kept = answer_states(model, retain, self.layer)
        held = masked_mse(kept, retain["reference"]["states"], retain["labels"] != IGNORED)
        keep = cross_entropy(logits, retain["labels"])
        loss = away + self.hold_weight * held + self.retain_weight * keep
        return {"loss": loss, "forget": away, "hold": held, "retain": keep}


@dataclass(frozen=True)
class See(Objective):
    """Trains a vision tower to see: shape and colour from the mean of its patches, place from each patch.

    Where the heads sit decides how easily danger can be read from a picture later on.
    """

    def __call__(self, model: nn.Module, batch: Batch) -> Terms:
        part = batch["train"]
        out = model(part["inputs"]["pixel_values"])
        terms = {name: F.cross_entropy(out[name], part["labels"][name]) for name in ("shape", "colour")}
        patches = out["place"].shape[1]
        place = part["labels"]["place"].repeat_interleave(patches)
        terms["place"] = F.cross_entropy(out["place"].flatten(0, 1), place)
        return {"loss": torch.stack(list(terms.values())).sum(), **terms}
