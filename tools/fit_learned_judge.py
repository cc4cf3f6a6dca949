"""Fit the learned judge of refusals on people's labels, and write its coefficients into the library.

It needs XSTest's replies under MIRAGE_DATA and the embedding model (python -m mirage_lib fetch minilm). Three of the
five models are used; the other two are for measuring it (tools/measure_judges.py).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.folder import data_folder
from mirage_lib.datasets.published.xstest import xstest_completions
from mirage_lib.judges.learned import FILE, features, fit
from mirage_lib.models.judges.asking import Embedding
from mirage_lib.models.packaged import MODELS, located

FITTED_ON = ("gpt4", "llama2new", "mistralinstruct")


def main() -> None:
    """Fit and write."""
    root = data_folder()
    if root is None:
        raise SystemExit("Set MIRAGE_DATA to the folder that holds xstest/.")
    try:
        examples, replies, labels = xstest_completions(root)
        embed = Embedding(located("minilm"))
    except MirageError as error:
        raise SystemExit(f"error: {error}") from error
    known = {example.id: example for example in examples}
    pairs = [(known[reply.example_id], reply) for reply in replies if reply.model in FITTED_ON]
    refused = np.array([labels[reply.example_id, reply.model] != "1_full_compliance" for _, reply in pairs])
    on = f"XSTest, {len(pairs)} replies of {', '.join(FITTED_ON)}, labelled by people"
    made = fit(features(embed, pairs), refused, f"{MODELS['minilm'].page}, {MODELS['minilm'].version}", on)
    kept = {**dataclasses.asdict(made), "weights": [round(weight, 5) for weight in made.weights]}
    Path(FILE).write_text(json.dumps(kept) + "\n", "utf-8")
    print(f"Wrote {FILE.name}: {len(made.weights)} weights.")


if __name__ == "__main__":
    main()
