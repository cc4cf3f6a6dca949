"""Run the book's chapters side by side into the cache that Jupyter Book then takes their outputs from.

Jupyter Book itself runs them one after the other. Run it in the checkout's folder: it takes the chapters that
``book/_toc.yml`` names. A chapter whose outputs are in the cache already is not run again.
"""

from __future__ import annotations

import argparse
import logging
import re
from pathlib import Path

from jupyter_cache import get_cache
from jupyter_cache.executors import load_executor


def run_chapters(root: Path, cache: Path, patience: int = 600) -> None:
    """Run every chapter of ``root`` that is not in ``cache``, one a core; ``patience`` is in seconds a cell.

    Raises SystemExit if one fails, with its traceback. The others have run by then and stay in the cache.
    """
    kept = get_cache(str(cache))
    for name in re.findall(r"file: (notebooks/\S+)", (root / "book" / "_toc.yml").read_text("utf-8")):
        kept.add_nb_to_project(str(root / f"{name}.ipynb"))
    logger = logging.getLogger("chapters")
    logger.setLevel(logging.INFO)  # it then names each chapter as it begins and ends
    outcome = load_executor("local-parallel", kept, logger).run_and_cache(timeout=patience)
    failed = [*outcome.excepted, *outcome.errored]
    for name in failed:
        print(f"{name} stopped:\n{kept.get_project_record(name).traceback or 'see the messages above'}")
    if failed:
        raise SystemExit(1)


def main() -> None:
    """Run the chapters of the book in this folder."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("cache", type=Path, help="folder of the cache; made if it is not there")
    run_chapters(Path.cwd(), parser.parse_args().cache)


if __name__ == "__main__":
    main()
