"""The named profiles: every number that decides how large a study is, and what to expect of it.

``NANO`` is for tests: it takes seconds, proves that the whole path runs, and measures nothing. ``TINY`` is the book's
own: minutes on two CPU cores. ``LLAVA_7B`` is the paper's scale: hours on a large GPU. ``LLAVA_NANO`` is its test.
``study.py`` reads a profile. The functions below it take explicit arguments, and none asks whether a model is tiny.
"""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import Any

from mirage_lib.core.errors import MirageError
from mirage_lib.judges.refusal import RefusalRules
from mirage_lib.judges.released_keywords import ReleasedKeywords
from mirage_lib.models.generate import Decoding
from mirage_lib.models.hub import HubModel
from mirage_lib.models.objectives import NPO, RMU, SFT, GradDiff
from mirage_lib.models.tiny import TinyShape
from mirage_lib.models.train import Settings
from mirage_lib.study.laboratory.base import BaseRecipe
from mirage_lib.study.laboratory.model import FromScratch
from mirage_lib.study.laboratory.subject import Laboratory
from mirage_lib.study.own import own_profile
from mirage_lib.study.profile import Method, Profile
from mirage_lib.study.published.data import Classes
from mirage_lib.study.published.released import RELEASED
from mirage_lib.study.published.subject import Published
from mirage_lib.study.published.vlguard import VLGuard
from mirage_lib.world.training_data import SafetySet

SAFETY = SafetySet()
PAIRS = (("retain", 2),)  # retain examples per forget example at a step


def _methods(scale: float, safety: SafetySet) -> tuple[Method, ...]:
    """The paper's methods, with steps multiplied by ``scale``.

    The settings were chosen on worlds 100 and up. *Posthoc* and *Mixed* are VLGuard's two ways to fine-tune (paper,
    section 5). "unbiased" is Posthoc on data whose openers do not depend on the label: it tests that the bias is the
    cause. Between these two are the "bias" methods, with part of the word–label bias in the same data.
    """

    def steps(count: int) -> int:
        return max(2, round(count * scale))

    sft = Settings(steps=steps(220), batch=32, lr=3e-4)
    forget = Settings(steps=steps(120), batch=16, lr=2e-4, per_item=PAIRS)
    steer = dataclasses.replace(forget, steps=steps(160), lr=3e-4)
    unbiased = dataclasses.replace(safety, bias=0.0)
    uniform = dataclasses.replace(safety, openers="uniform")
    npo = NPO(beta=0.1, forget_weight=0.03)

    def biased(percent: int) -> Method:
        weaker = dataclasses.replace(safety, bias=percent / 100)
        return Method(f"bias_{percent}", f"SFT, bias .{percent}", SFT(), weaker, sft)

    return (
        Method("posthoc", "SFT (Posthoc)", SFT(), safety, sft),
        Method("mixed", "SFT (Mixed)", SFT(), safety, sft, general=safety.unsafes),
        Method("posthoc_lora", "SFT, LoRA", SFT(), safety, dataclasses.replace(sft, lr=2e-3, lora_rank=8)),
        *(biased(percent) for percent in (90, 75, 50)),
        Method("unbiased", "SFT, unbiased openers", SFT(), unbiased, sft),
        Method("diversified", "SFT, diversified openers", SFT(), uniform, sft),
        Method("npo", "NPO", npo, safety, forget),
        Method("npo_lora", "NPO, LoRA", npo, safety, dataclasses.replace(forget, lr=2e-3, lora_rank=8)),
        Method("npo_diversified", "NPO, diversified openers", npo, uniform, forget),
        Method("graddiff", "GradDiff", GradDiff(forget_weight=0.01), safety, forget),
        Method("rmu_early", "RMU, early layer", RMU(layer=2), safety, steer),
        Method("rmu", "RMU, last layer", RMU(layer=4), safety, steer),
        Method("rmu_early_diversified", "RMU, early, diversified", RMU(layer=2), uniform, steer),
        Method("rmu_diversified", "RMU, last, diversified", RMU(layer=4), uniform, steer),
    )


# The first recipe whose results are seen on a block of five seeds uses that block up; CHANGELOG keeps the count.
FIRST_SEEDS = (10, 11, 12)

_BASE = BaseRecipe(
    shape=TinyShape(),
    vision=Settings(400, 128, 3e-3, "cosine", betas=(0.9, 0.98), weight_decay=0.01, freeze=()),
    # The vision tower stays frozen, as in LLaVA-1.5: tuned at this rate too, it forgets where things are.
    language=Settings(400, 64, 4e-3, "cosine", betas=(0.9, 0.98), weight_decay=0.01),
    kinds=(
        ("recipe", 0.33),
        ("named", 0.17),
        ("shape", 0.1125),
        ("colour", 0.1125),
        ("place", 0.225),
        ("blank", 0.05),
    ),
    bar=0.95,
    evaluation=100,
)
_TEST = SafetySet(unsafes=160, safe_unsafes=80, safe_safes=200, named_safes=80, placebo=0.0)
TINY = Profile(
    name="tiny",
    reported=True,
    seeds=FIRST_SEEDS,
    subject=Laboratory(FromScratch(_BASE), _TEST, shots=6),
    methods=_methods(1.0, SAFETY),
    decoding=Decoding(max_new_tokens=16, batch=256),
)
"""The book's own."""

_FEW = SafetySet(unsafes=32, safe_unsafes=32, safe_safes=32, named_safes=16)
NANO = dataclasses.replace(
    TINY,
    name="nano",
    reported=False,
    seeds=(0, 1),
    subject=Laboratory(
        FromScratch(
            dataclasses.replace(
                _BASE,
                vision=dataclasses.replace(_BASE.vision, steps=20, batch=32),
                language=dataclasses.replace(_BASE.language, steps=20, batch=32),
                bar=0.0,
                evaluation=5,
            )
        ),
        SafetySet(unsafes=16, safe_unsafes=8, safe_safes=16, named_safes=8, placebo=0.0),
        shots=2,
    ),
    methods=_methods(0.03, _FEW),
)
"""For tests."""

_VLGUARD, _PAPERS = Classes(), Classes(("unsafes", "safe_safes"))
_DOWN = tuple(f"layers.{layer}.mlp.down_proj" for layer in (5, 6, 7))  # what the released RMU tunes
_EPOCH, _EIGHTHS = 1023, 1279  # steps: one epoch of the unsafe requests, one a step; ten epochs, eight a step
_TUNE = Settings(steps=70, batch=4, accumulate=32, lr=2e-5, schedule="cosine", warmup=0.03)
_UNLEARN = Settings(steps=_EPOCH, batch=1, lr=5e-7, schedule="cosine", warmup=0.03)
_UNLEARN_LORA = dataclasses.replace(_UNLEARN, steps=_EIGHTHS, batch=8, lr=1.1e-5, lora_rank=128, lora_alpha=256)
_PAPER = Published(
    VLGuard(),
    HubModel("llava-hf/llava-1.5-7b-hf", square=True),
    RELEASED,
    judges=(RefusalRules(), ReleasedKeywords()),
)
LLAVA_7B = Profile(
    name="llava-7b",
    reported=True,
    seeds=(0,),
    subject=_PAPER,
    methods=(
        Method("posthoc", "SFT (Posthoc)", SFT(), _VLGUARD, _TUNE),
        Method(
            "posthoc_lora",
            "SFT, LoRA",
            SFT(),
            _VLGUARD,
            dataclasses.replace(_TUNE, lr=2e-4, lora_rank=128, lora_alpha=256),
        ),
        # finetune_unlearn_npo.sh; the released loss is a mean over tokens, hence per="token"
        Method("npo", "NPO", NPO(beta=0.9, per="token"), _PAPERS, _UNLEARN),
        # finetune_unlearn_lora.sh
        Method("npo_lora", "NPO, LoRA", NPO(beta=0.7, per="token"), _PAPERS, _UNLEARN_LORA),
        # finetune_unlearn.sh: it sets ten epochs, but the retain data end after one, and no later step trains.
        # The output of decoder layer 7, counted from 0, is hidden_states[8].
        Method(
            "rmu_early",
            "RMU, layer 7",
            RMU(8, coeff=10.0, hold_weight=1.0),
            _PAPERS,
            dataclasses.replace(_UNLEARN, lr=1e-6, only=_DOWN),
        ),
        # finetune_unlearn_lora.sh
        Method(
            "rmu_lora",
            "RMU, layer 15, LoRA",
            RMU(16, coeff=10.0, hold_weight=0.0, retain_weight=1.2),
            _PAPERS,
            _UNLEARN_LORA,
        ),
    ),
    decoding=Decoding(max_new_tokens=256, batch=16),
    reference_batch=8,
)
"""The paper's scale: LLaVA-1.5-7B on VLGuard, asked VLGuard's test queries and the paper's released rewrites.

Data: VLGuard's train.json, test.json and unpacked pictures, and the released test_what_3shot.json and
test_share_1shot.json, in the folder of MIRAGE_DATA. Settings of NPO and RMU: the released scripts named
beside them (OPTML-Group/VLM-Safety-Unlearn @ 1f89239); of SFT: LLaVA-1.5's own (haotian-liu/LLaVA,
scripts/v1_5/finetune.sh and finetune_lora.sh: learning rate, batch of 128, warm-up, LoRA rank), for three
epochs of VLGuard, which is our choice: the epochs behind the paper's checkpoints are not known. *Mixed* needs
LLaVA's own training mix and is left out. Harmful answers are the base's own; where vlguard/candidates holds other
models' replies (tables with example_id, model, text), one that complies is drawn among them all.

Machine: CUDA, bfloat16 arithmetic and gradient checkpointing. Memory: about 126 GiB to tune all weights (kept
in float32: at these rates bfloat16 weights would round every step away), 32 GiB for RMU, which tunes three
matrices, 21 GiB for LoRA and to ask. Disk: 14 GB a tuned model. Time, worked out and not measured: on one H200
about an hour to tune a LoRA method, 10 to 30 minutes for the others, half an hour to ask each model.
Numbers to expect, from the paper (share of replies, before -> after; K = 3 for ASR): untuned ASR .64 -> .90, RR
.00 -> .00; Posthoc ASR .00 -> .47, RR .03 -> .91; NPO ASR .02 -> .13, RR .03 -> .12; RMU ASR .01 -> .10, RR .01
-> .08. The paper's judge of harm is a large model; rules for refusals, as used here, count more replies as harm.
"""


def _short(method: Method) -> Method:
    """The same method with two training steps, for a model with two layers."""
    objective: Any = method.objective
    if objective.reference_layer is not None:
        objective = dataclasses.replace(objective, layer=1)
    rank = 2 if method.settings.lora_rank else 0
    only = ("layers.0.mlp.down_proj",) if method.settings.only else ()
    settings = dataclasses.replace(method.settings, steps=2, batch=2, accumulate=1, lora_rank=rank, only=only)
    return dataclasses.replace(method, objective=objective, settings=settings)


LLAVA_NANO = dataclasses.replace(
    LLAVA_7B,
    name="llava-nano",
    reported=False,
    # A random model speaks no language, and the rules would score none of its replies: here the list comes first.
    subject=dataclasses.replace(_PAPER, judges=_PAPER.judges[::-1]),
    methods=tuple(_short(method) for method in LLAVA_7B.methods),
    decoding=Decoding(max_new_tokens=8, batch=8),
)
"""For tests: the same path, for any small LLaVA in the hub's format that MIRAGE_WEIGHTS names."""

PROFILES = {profile.name: profile for profile in (NANO, TINY, LLAVA_NANO, LLAVA_7B)}


def named_profile(name: str | None = None, seeds: int | None = None) -> Profile:
    """The profile of that name or in that Python file, else the one that MIRAGE_PROFILE names, else TINY.

    ``seeds``, else MIRAGE_SEEDS, says how many seeds it has, if not its own number.
    Raises MirageError for an unknown name, a file that defines no profile, or a number of seeds that is not at least 1.
    """
    name = name or os.environ.get("MIRAGE_PROFILE") or TINY.name
    if name not in PROFILES and not name.endswith(".py"):
        known = f"choose one of {', '.join(PROFILES)}, or name a Python file that defines PROFILE"
        raise MirageError(f"There is no profile {name!r} (MIRAGE_PROFILE or --profile); {known}.")
    profile = PROFILES[name] if name in PROFILES else own_profile(Path(name))
    wanted = seeds if seeds is not None else os.environ.get("MIRAGE_SEEDS", "")
    if wanted == "":
        return profile
    if not str(wanted).isdecimal() or int(wanted) < 1:
        raise MirageError(f"MIRAGE_SEEDS or --seeds is {wanted!r}; expected a whole number of at least 1.")
    first = profile.seeds[0]
    return dataclasses.replace(profile, seeds=tuple(range(first, first + int(wanted))))
