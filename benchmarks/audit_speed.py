"""Audits a million prompts: seconds, memory, and its word counts compared with plain pandas.

    python benchmarks/audit_speed.py [--prompts N]

Generates the prompts (seeded, more than nine tenths of them distinct, with openers that depend on the label), audits
them in one process, counts them with pandas in another, checks that the counts are equal, and prints the ratio.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

SAFE, UNSAFE = ["What", "What is", "Which", "How", "Can you", "Describe"], ["Share", "Can you", "Please", "Explain"]
WORDS, SEED = 30_000, 0  # words to draw from, by Zipf's law as in natural language


def generate(path: Path, count: int) -> None:
    """A CSV file with columns question and label."""
    draw = np.random.default_rng(SEED)
    letters = np.array(list("abcdefghijklmnoprstuvw"))
    vocabulary = np.unique(["".join(draw.choice(letters, draw.integers(2, 10))) for _ in range(2 * WORDS)])
    draw.shuffle(vocabulary)
    vocabulary = vocabulary[:WORDS]
    chances = 1 / np.arange(1, len(vocabulary) + 1)
    lengths, unsafe = draw.integers(5, 16, count), draw.random(count) < 0.6
    drawn = draw.choice(vocabulary, lengths.sum(), p=chances / chances.sum())
    ends = np.cumsum(lengths)
    with path.open("w", encoding="utf-8") as file:
        file.write("question,label\n")
        for i in range(count):
            openers = UNSAFE if unsafe[i] == (draw.random() < 0.9) else SAFE
            rest = " ".join(drawn[ends[i] - lengths[i] : ends[i]])
            file.write(f"{openers[draw.integers(len(openers))]} {rest}?,{'unsafe' if unsafe[i] else 'safe'}\n")


def audited(path: str) -> dict[str, object]:
    """Seconds and counts of this library: the whole audit from the file, and the counting alone."""
    from mirage_lib.audit.audit import audit
    from mirage_lib.datasets.own.queries import read_queries
    from mirage_lib.text import counts
    from mirage_lib.text.tokens import wording

    start = time.perf_counter()
    queries = read_queries(path)
    found = audit(queries, told=lambda what: print(f"  {what}", file=sys.stderr))
    whole = time.perf_counter() - start
    labels = np.where(queries.frame["unsafe"], "unsafe", "safe")
    start = time.perf_counter()
    words = wording(queries.frame["query"])
    tables = {where: counts.tabulate(words, labels, where) for where in ("first", "any")}
    return {"whole": whole, "counting": time.perf_counter() - start, "sampled": found.sampled, **_counts(tables)}


def plain(path: str) -> dict[str, object]:
    """The same counts as one would write them in pandas."""
    frame = pd.read_csv(path)
    start = time.perf_counter()
    found = frame["question"].str.lower().str.findall(r"[a-z0-9]+(?:['-][a-z0-9]+)*")
    first = pd.crosstab(found.str[0], frame["label"])
    pairs = pd.DataFrame({"row": frame.index, "word": found, "label": frame["label"]}).explode("word").drop_duplicates()
    anywhere = pairs.groupby(["word", "label"]).size().unstack(fill_value=0)
    tables = {"first": first.rename_axis("word").reset_index(), "any": anywhere.reset_index()}
    return {"counting": time.perf_counter() - start, **_counts(tables)}


def _counts(tables: dict[str, pd.DataFrame]) -> dict[str, object]:
    """One number per table that stands for all its counts, to compare them."""
    rows = {where: table.sort_values("word")[["word", "safe", "unsafe"]] for where, table in tables.items()}
    return {f"{where} counts": int(pd.util.hash_pandas_object(one, index=False).sum()) for where, one in rows.items()}


def alone(task: str, path: Path) -> dict[str, object]:
    """Run a task in its own process. Returns its results and its peak memory."""
    run = subprocess.run(
        [sys.executable, __file__, "--task", task, "--file", str(path)], stdout=subprocess.PIPE, check=True
    )
    return json.loads(run.stdout)


def main() -> None:
    """Generate, measure, compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=1_000_000)
    parser.add_argument("--task", choices=["audited", "plain"], help=argparse.SUPPRESS)
    parser.add_argument("--file", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.task:
        found = {"audited": audited, "plain": plain}[args.task](args.file)
        print(json.dumps({**found, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prompts.csv"
        generate(path, args.prompts)
        distinct = pd.read_csv(path)["question"].nunique() / args.prompts
        ours, theirs = alone("audited", path), alone("plain", path)
    equal = all(ours[key] == theirs[key] for key in ("first counts", "any counts"))
    print(f"{args.prompts} prompts, {distinct:.3f} of them distinct; classifiers on {ours['sampled']}")
    print(f"audit, from file to report: {ours['whole']:.1f} s, {ours['peak']:.2f} GiB")
    print(
        f"counting alone: {ours['counting']:.1f} s; plain pandas: {theirs['counting']:.1f} s, {theirs['peak']:.2f} GiB"
    )
    print(f"ratio {theirs['counting'] / ours['counting']:.1f}; counts equal: {equal}")
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
