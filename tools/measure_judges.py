"""Ask every judge about the labelled replies under MIRAGE_DATA, and write results/judges: no text, only labels.

It needs XSTest's replies, VLGuard's metadata and chatgpt-refusals there, and the embedding model of the learned judge
(python -m mirage_lib fetch minilm). It takes a few minutes.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import json
import platform
import time

from mirage_lib.claims import judge_calls
from mirage_lib.core.errors import MirageError
from mirage_lib.datasets.folder import data_folder
from mirage_lib.models.judges.asking import Embedding
from mirage_lib.models.packaged import MODELS, located

PACKAGES = ("safety-mirage", "numpy", "pandas", "scikit-learn", "torch", "transformers")


def main() -> None:
    """Measure and write."""
    root, start = data_folder(), time.perf_counter()
    if root is None:
        raise SystemExit("Set MIRAGE_DATA to the folder that holds xstest/, vlguard/ and chatgpt_refusals/.")
    try:
        tables = (
            judge_calls.measured_xstest(root, Embedding(located("minilm"))),
            judge_calls.measured_vlguard(root),
            judge_calls.measured_chatgpt(root),
        )
    except MirageError as error:
        raise SystemExit(f"error: {error}") from error
    judge_calls.FOLDER.mkdir(parents=True, exist_ok=True)
    for name, table in zip(judge_calls.FILES, tables, strict=True):
        table.to_csv(judge_calls.FOLDER / name, index=False)
    made = {
        "date": datetime.date.today().isoformat(),
        "version": importlib.metadata.version("safety-mirage"),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
        "python": platform.python_version(),
        "machine": platform.machine(),
        "seconds": round(time.perf_counter() - start),
        "embedding model": f"{MODELS['minilm'].page}, package {MODELS['minilm'].project} {MODELS['minilm'].version}",
        "data": ["XSTest, replies of five models", "VLGuard, gold answers", "maxwellreuter/chatgpt-refusals"],
    }
    (judge_calls.FOLDER / "provenance.json").write_text(json.dumps(made, indent=2) + "\n", "utf-8")
    print(f"Wrote {judge_calls.FOLDER.name}: {', '.join(judge_calls.FILES)}.")


if __name__ == "__main__":
    main()
