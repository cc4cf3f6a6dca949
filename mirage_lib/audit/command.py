"""The command ``python -m mirage_lib audit``: its options, its outputs, its exit codes.

It prints the report on the terminal, and writes files if you ask for them. It only overwrites its own earlier outputs,
never the data or any other file.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path

from mirage_lib.core.errors import MirageError

WEIGHTS_HEAD = "file,row,id,word,label,weight"
OURS = {  # ending of an output -> what every output of this command has near its start
    ".html": "<title>What the words of ",
    ".json": '"format": 1,\n  "name": ',
    ".csv": WEIGHTS_HEAD,
}


def add_options(one: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    one.epilog = (
        "Exit codes: 0; 1 if over --fail-over; 2 if rows or pictures cannot be used (unless --skip-bad), or "
        "nothing can be read. Example: python -m mirage_lib audit train.csv test.csv --html audit.html"
    )
    path = (
        "table (.csv .tsv .json .jsonl .parquet, also .gz or in a .zip), folder or zip with a file for each split "
        "(train.jsonl, test.jsonl), or hub:OWNER/NAME"
    )
    one.add_argument("paths", nargs="+", metavar="PATH", help=path)
    for role, what in (
        ("query", "the user's words"),
        ("label", "safe or unsafe"),
        ("answer", "the taught reply: labels by refusals where there is no label"),
        ("image", "the picture's path"),
        ("split", "train or test"),
        ("id", "a name for the row"),
    ):
        one.add_argument(f"--{role}", default="", metavar="COLUMN", help=f"{what} (default: guessed)")
    for side in ("unsafe", "safe"):
        what = f"a value of the label that means {side}; may be given more than once"
        one.add_argument(f"--{side}", action="append", default=[], metavar="VALUE", help=what)
    one.add_argument("--turns", choices=["first", "all"], default="first", help="which requests of a conversation")
    one.add_argument("--encoding", default="utf-8", help="of files of text (default: utf-8)")
    segmenters = "words (default), characters, or a function as module:function, e.g. jieba:lcut"
    one.add_argument("--segmenter", default="words", metavar="NAME", help=segmenters)
    one.add_argument(
        "--images", type=Path, metavar="FOLDER", help="where the pictures' paths start (default: beside the data)"
    )
    one.add_argument("--no-images", action="store_true", help="open no picture")
    one.add_argument("--seed", type=_whole, default=0, help="of the sample and the folds (default: 0)")
    sample = "queries that classifiers see, at most (default: 100000); counts are always of all"
    one.add_argument("--sample", type=at_least_one, default=100_000, metavar="N", help=sample)
    one.add_argument("--html", nargs="?", const="", metavar="FILE", help="write a page (default: NAME-audit.html)")
    as_json = "write an object; without a name, or with -, to the terminal"
    one.add_argument("--json", nargs="?", const="-", metavar="FILE", help=as_json)
    weights = "write a weight for each row that makes opener and label independent, as far as weights can"
    one.add_argument("--balance", nargs="?", const="", metavar="FILE", help=weights)
    over = "exit with 1 if the balanced accuracy of the first word is over X (.5 tells nothing, 1 gives the label away)"
    one.add_argument("--fail-over", type=_share, metavar="X", help=over)
    one.add_argument("--skip-bad", action="store_true", help="rows that cannot be used are listed, and no failure")


def run(args: argparse.Namespace) -> int:
    """Audit, report, write. Returns 0; 1 if over ``--fail-over``; 2 for bad rows or pictures, unless ``--skip-bad``."""
    from mirage_lib.audit import audit, report
    from mirage_lib.datasets.own.columns import Columns
    from mirage_lib.datasets.own.pictures import images_beside
    from mirage_lib.datasets.own.queries import read_queries
    from mirage_lib.judges import refusal
    from mirage_lib.text.tokens import segmenter

    roles = {role: getattr(args, role) for role in ("query", "label", "answer", "image", "split", "id")}
    columns = Columns(**roles, unsafe=tuple(args.unsafe), safe=tuple(args.safe))
    name = ", ".join(_name(one) for one in args.paths)
    html = _target(args.paths, args.html, ".html")
    as_json = _target(args.paths, args.json, ".json") if args.json != "-" else None
    balance = _target(args.paths, args.balance, ".csv")
    segment = segmenter(args.segmenter)
    queries = read_queries(args.paths, columns, refusal.refusal, args.turns, args.encoding)
    images = None if args.no_images else args.images or images_beside(queries)
    found = audit.audit(queries, name, args.seed, args.sample, segment, images, lambda what: _tell(f"{what} ..."))
    as_text = json.dumps(report.data(found), indent=2, ensure_ascii=False)
    print(as_text if args.json == "-" else "\n".join(report.lines(found)))
    _write(html, lambda: report.page(found))
    _write(as_json, lambda: as_text)
    if balance:
        _write(balance, lambda: found.weights.to_csv(index=False, float_format="%.6g"))
        _tell("\n".join(report.balanced_lines(found)))
    if found.bad and not args.skip_bad:
        _tell(
            f"error: {len(found.bad)} rows or pictures cannot be used, the first: {found.bad[0]}. Mend them, or accept "
            "that with --skip-bad. Rows that cannot be read are not in the report."
        )
    over = args.fail_over is not None and found.score > args.fail_over
    if over:
        _tell(f"Failed: the first word alone has a balanced accuracy of {found.score:.3f}, over {args.fail_over}.")
    return 2 if found.bad and not args.skip_bad else int(over)


def _tell(what: str) -> None:
    print(what, file=sys.stderr)


def _name(data: str) -> str:
    """A data set's name in the report: that of its file or folder, or its name on the hub."""
    return data if data.startswith("hub:") else Path(data).resolve().name


def _target(data: list[str], option: str | None, ending: str) -> Path | None:
    """Where an output goes: nowhere (None), into the current folder under the data's name (""), or to the path given.

    Raises MirageError if the path has another ending, is a folder or is in a folder that does not exist, or if the file
    exists and is not an earlier output.
    """
    if option is None:
        return None
    stem = _name(data[0]).rpartition("/")[2].rpartition(":")[2].partition(".")[0]
    path = Path(option or f"{stem}-audit{ending}")
    if path.suffix != ending:
        raise MirageError(f"{path} is to be written, and does not end in {ending}. Name the data before the options.")
    if not path.parent.is_dir():
        raise MirageError(f"{path.parent}: no such folder, for {path.name}.")
    if path.is_dir():
        raise MirageError(f"{path} is a folder; expected a file to write.")
    if path.exists() and OURS[ending] not in path.read_bytes()[:2000].decode("utf-8", "replace"):
        raise MirageError(f"{path} is there already, and no earlier output of an audit: it is not written over.")
    return path


def _write(path: Path | None, text: Callable[[], str]) -> None:
    if path is None:
        return
    try:
        path.write_text(text(), "utf-8")
    except OSError as error:
        raise MirageError(f"{path}: cannot be written ({error.strerror}).") from error
    _tell(f"Wrote {path}")


def _whole(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 0")
    return int(text)


def at_least_one(text: str) -> int:
    """An argument that is a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return value
