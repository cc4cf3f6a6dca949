"""A tiny model trained from scratch on a drawn world, as the model of a study."""

from __future__ import annotations

from dataclasses import dataclass

from mirage_lib.core.run import Run
from mirage_lib.models.train import Settings
from mirage_lib.study.laboratory.base import BaseRecipe, train_base


@dataclass(frozen=True)
class FromScratch:
    """A base that each seed trains on its own world."""

    recipe: BaseRecipe

    square = False  # the world's pictures are square as they are

    def base_run(self, seed: int) -> Run:
        """The run that trains the base of this seed."""
        return Run("base", train_base, {"seed": seed, "recipe": self.recipe}, part="model")

    def missing(self, settings: Settings | None, computing: bool = True) -> list[str]:
        """Nothing: a tiny model is made wherever this runs."""
        del settings, computing
        return []
