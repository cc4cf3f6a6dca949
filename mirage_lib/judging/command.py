"""The command ``python -m mirage_lib judge``: its options, its outputs, its exit codes.

It prints counts and rates, and writes the verdicts to a file if you ask for it. It only overwrites its own earlier
outputs, never the replies or any other file.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from mirage_lib.core.errors import MirageError

if TYPE_CHECKING:
    from collections.abc import Callable

    import pandas as pd

    from mirage_lib.judges.named import More

KINDS = (".csv", ".jsonl", ".parquet")  # of the file of verdicts
PLACE = ["file", "row", "id"]  # how every file of verdicts begins
BETWEEN = {"model", "intent", "human", "prompt", "reply"}  # what may follow, before the judges' columns


def add_options(one: argparse.ArgumentParser) -> None:
    """Add the options of the command."""
    one.epilog = (
        "Exit codes: 0; 2 if rows cannot be read (unless --skip-bad), or nothing can be judged. A row without a "
        "reply is counted as unscored, and is no failure. Example: python -m mirage_lib judge replies.jsonl "
        "--model model --out verdicts.csv"
    )
    path = "table of replies (.csv .tsv .json .jsonl .parquet, also .gz or in a .zip)"
    one.add_argument("paths", nargs="+", metavar="FILE", help=path)
    for role, what in (
        ("prompt", "the user's words, or a conversation (default: guessed)"),
        ("reply", "the model's words, or a conversation (default: guessed)"),
        ("id", "a name for the row"),
        ("model", "who replied; counts are given for each"),
        ("intent", "whether the request is safe or unsafe; without it a label says only refused or not refused"),
        ("against", "what people say of the reply; tells how far each judge agrees"),
    ):
        one.add_argument(f"--{role}", default="", metavar="COLUMN", help=what)
    for option, what in (
        ("unsafe", "a value of the intent that means unsafe; all others mean safe"),
        ("refused", "a value of people's that means refused; all others mean not refused"),
        ("partial", "a value of people's that is set aside as a partial refusal"),
    ):
        several = f"{what} (default: guessed); may be given more than once"
        one.add_argument(f"--{option}", action="append", default=[], metavar="VALUE", help=several)
    judge = "a judge, e.g. released; an unknown name lists all, the default one first; may be given more than once"
    one.add_argument("--judge", action="append", default=[], metavar="NAME", help=judge)
    one.add_argument("--encoding", default="utf-8", help="of files of text (default: utf-8)")
    out = f"write one line per reply: file, row, id, each judge's label, why and score ({', '.join(KINDS)})"
    one.add_argument("--out", type=Path, metavar="FILE", help=out)
    one.add_argument("--with-text", action="store_true", help="put prompt and reply into that file, too")
    one.add_argument("--json", action="store_true", help="an object instead of lines to read")
    one.add_argument("--skip-bad", action="store_true", help="rows that cannot be read are listed, and no failure")


def run(args: argparse.Namespace, more: Callable[[], More] | None = None) -> int:
    """Read, judge, report, write. Returns 0; 2 for rows that cannot be read, unless ``--skip-bad``.

    ``more`` loads the judges that run a model; see ``judges.named.named``.
    """
    from mirage_lib.datasets.own.replies import read_replies
    from mirage_lib.datasets.own.reply_columns import ReplyColumns
    from mirage_lib.judges.named import DEFAULT, named
    from mirage_lib.judging import people, report
    from mirage_lib.judging.table import verdicts
    from mirage_lib.judging.terminal import plain

    judges = named(args.judge or [DEFAULT], more)
    out = target(args.paths, args.out)
    if (args.refused or args.partial) and not args.against:
        raise MirageError("--refused and --partial read the labels of people. Name their column: --against COLUMN.")
    if args.with_text and not out:
        raise MirageError("--with-text is for the file of verdicts. Name it: --out FILE.")
    columns = ReplyColumns(args.prompt, args.reply, args.id, args.model, args.intent, args.against)
    replies = read_replies(args.paths, columns, args.unsafe, args.encoding)
    labels = found = None
    if args.against:
        labels = people.human_labels(replies.frame["human"].tolist(), args.against, args.refused, args.partial)
    table = verdicts(replies.frame, judges)
    if labels:
        found = people.agreement_table(table, list(judges), labels)
    if args.json:
        print(json.dumps(report.data(replies, table, list(judges), labels, found), indent=2))
    else:
        print("\n".join(report.lines(replies, table, list(judges), labels, found)))
    if out:
        kept = [role for role in ("model", "intent") if getattr(columns, role)] + (["human"] if args.against else [])
        write(table, out, list(judges), kept, args.with_text)
        _tell(f"Wrote {out}")
    if replies.bad and not args.skip_bad:
        _tell(
            f"error: {len(replies.bad)} rows cannot be read, the first: {plain(replies.bad[0], 300)}. Mend them, or "
            "accept that with --skip-bad. They are not in the report."
        )
    return 2 if replies.bad and not args.skip_bad else 0


def target(data: list[str], path: Path | None) -> Path | None:
    """Where the verdicts go.

    Raises MirageError if the path has an unknown ending, is a folder or is in a folder that does not exist, or if the
    file exists and is no earlier output, or is one of the files to read.
    """
    if path is None:
        return None
    if path.suffix not in KINDS:
        raise MirageError(f"{path} is to be written, and ends in none of {', '.join(KINDS)}.")
    if not path.parent.is_dir():
        raise MirageError(f"{path.parent}: no such folder, for {path.name}.")
    if path.is_dir():
        raise MirageError(f"{path} is a folder; expected a file to write.")
    if path.resolve() in [Path(one).resolve() for one in data]:
        raise MirageError(f"{path} is to be read and to be written; name another file for --out.")
    if path.exists() and not ours(_columns(path)):
        raise MirageError(f"{path} is there already, and no earlier output of this command: it is not written over.")
    return path


def ours(columns: list[str]) -> bool:
    """Whether a file with these columns is a file of verdicts: the place, then three columns for each judge."""
    rest = columns[len(PLACE) :]
    while rest and rest[0] in BETWEEN:
        rest = rest[1:]
    heads = rest[::3]
    judged = [name for head in heads for name in (head, f"{head}_why", f"{head}_score")]
    return columns[: len(PLACE)] == PLACE and bool(rest) and rest == judged


def _columns(path: Path) -> list[str]:
    """The names of a table's columns; none if it is no table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            return pq.read_schema(path).names
        with path.open(encoding="utf-8") as file:
            first = file.readline(100_000_000)
        if path.suffix == ".csv":
            return first.strip("\r\n").split(",")
        record = json.loads(first)
    except (OSError, ValueError, RecursionError, pa.ArrowException):
        return []
    return list(record) if isinstance(record, dict) else []


def write(table: pd.DataFrame, path: Path, judges: list[str], kept: list[str], with_text: bool) -> None:
    """Write one line per reply. The file appears whole or not at all. Raises MirageError if it cannot be written."""
    from mirage_lib.judging.table import columns_of

    texts = ["prompt", "reply"] if with_text else []
    names = [*PLACE, *kept, *texts, *(name for judge in judges for name in columns_of(judge))]
    rows = table.rename(columns={"text": "reply"})[names]
    part = path.with_name(f".{path.name}.part")
    try:
        if path.suffix == ".parquet":
            rows.to_parquet(part, index=False)
        elif path.suffix == ".csv":
            rows.to_csv(part, index=False)
        else:
            rows.to_json(part, orient="records", lines=True, force_ascii=False)
        part.replace(path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise MirageError(f"{path}: cannot be written ({error.strerror or error}).") from error


def _tell(what: str) -> None:
    print(what, file=sys.stderr)
