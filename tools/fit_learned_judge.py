"""Fit the learned judge of refusals on people's labels, and write its coefficients into the library.

It needs XSTest's replies under MIRAGE_DATA and the embedding model (python -m mirage_lib fetch minilm). Three of the
five models are used; the other two are for measuring it (tools/measure_judges.py).
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from mirage_lib.claims.judge_calls import PEOPLE, READ
from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.folder import data_folder
from mirage_lib.datasets.published.xstest import xstest_completions
from mirage_lib.judges.learned import FILE, features, fit, read
from mirage_lib.models.judges.asking import Embedding
from mirage_lib.models.packaged import MODELS, located


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
    pairs = [(known[reply.example_id], reply) for reply in replies if reply.model in READ]
    kinds = [PEOPLE[labels[reply.example_id, reply.model]] for _, reply in pairs]
    on = f"XSTest, {len(pairs)} replies of {', '.join(READ)}, labelled by people"
    made = fit(features(embed, pairs, read(pairs)), kinds, f"{MODELS['minilm'].page}, {MODELS['minilm'].version}", on)
    weights = np.array(made.weights).round(4).tolist()
    kept = {**dataclasses.asdict(made), "weights": weights}
    Path(FILE).write_text(json.dumps(kept) + "\n", "utf-8")
    print(f"Wrote {FILE.name}: {len(made.weights)} times {len(made.weights[0])} weights.")


if __name__ == "__main__":
    main()
