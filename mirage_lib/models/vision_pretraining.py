"""Vision pretraining: how the laboratory's vision tower learns to see, before the model learns any words.

The vision tower of a fresh tiny VLM is trained on a world's drawings, to tell shape and colour from the mean of its
patch features and place from each patch, at the layer that LLaVA reads. Where the heads sit matters: with shape and
colour on every patch, danger is so easy to see that fine-tuning leans less on words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mirage_lib.core.progress import Tell
from mirage_lib.models.objectives import See
from mirage_lib.models.train import Settings, run
from mirage_lib.models.vlm import VLM
from mirage_lib.world.scenes import COLOURS, CONCEPTS, PLACES, SHAPES, VARIANTS, address, scene_at

NAMES = {"shape": list(SHAPES), "colour": list(COLOURS), "place": list(PLACES)}


class Sight(nn.Module):
    """A vision tower with three linear heads; pixels (batch, 3, height, width) -> logits by name."""

    def __init__(self, vlm: VLM, seed: int) -> None:
        super().__init__()
        self.tower = vlm.model.model.vision_tower
        self.layer: int = vlm.model.config.vision_feature_layer
        width = vlm.model.config.vision_config.hidden_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.heads = nn.ModuleDict({name: nn.Linear(width, len(names)) for name, names in NAMES.items()})

    def forward(self, pixel_values: Tensor) -> dict[str, Tensor]:
        """Logits: shape and colour (batch, names), place (batch, patches, names)."""
        states = self.tower(pixel_values, output_hidden_states=True).hidden_states[self.layer][:, 1:]
        mean = states.mean(1)
        return {name: head(states if name == "place" else mean) for name, head in self.heads.items()}


@dataclass
class _Collate:
    """Turns draws of addresses into pixels and the three true names; every drawing is processed only once."""

    pixels: dict[str, Tensor]

    def __call__(self, draws: Sequence[dict[str, list[str]]]) -> dict:
        addresses = [where for draw in draws for where in draw["train"]]
        scenes = [scene_at(where) for where in addresses]
        labels = {name: torch.tensor([names.index(getattr(s, name)) for s in scenes]) for name, names in NAMES.items()}
        pixels = torch.stack([self.pixels[where] for where in addresses])
        return {"train": {"inputs": {"pixel_values": pixels}, "labels": labels}}


def pretrain_vision(vlm: VLM, seed: int, settings: Settings, out: Path, progress: Tell | None = None) -> VLM:
    """Train the vision tower in place on the training variants of world ``seed``'s drawings."""
    addresses = [
        address(seed, shape, colour, place, variant)
        for shape, colour in CONCEPTS
        for place in PLACES
        for variant in range(*VARIANTS["train"])
    ]
    pictures = [vlm.render(where) for where in addresses]
    pixels = vlm.processor.image_processor(pictures, return_tensors="pt")["pixel_values"]
    collate = _Collate(dict(zip(addresses, pixels, strict=True)))
    run(Sight(vlm, seed), See(), {"train": addresses}, settings, out, collate, progress)
    return vlm
