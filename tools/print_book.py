"""Print every page of the built book as a PDF, with a browser of the Chromium family.

It takes the pages that ``book/_toc.yml`` lists from ``_build/html`` and writes ``_build/pdf/<page>.pdf`` for each,
complete or not at all. Formulas are typeset before a page is printed; light colours, no header or footer.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
QUIET = ("--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update")
SETTLED_MS = 30_000  # on the page's own clock, which runs ahead while scripts wait: MathJax is done long before
SECONDS = 180  # of real time, for one page


def find_browser() -> str | None:
    """The program that CHROMIUM names, else the first of ``BROWSERS`` on the path; None if there is none."""
    named = os.environ.get("CHROMIUM")
    return shutil.which(named) if named else next(filter(None, map(shutil.which, BROWSERS)), None)


def browser() -> str:
    """The browser to print with; SystemExit if there is none."""
    found, named = find_browser(), os.environ.get("CHROMIUM")
    if found is None:
        what = f"CHROMIUM names {named!r}, which is no program here" if named else "there is no Chromium here"
        raise SystemExit(f"Chromium prints the pages, and {what}. Install it, or name one: CHROMIUM=/path/to/it")
    return found


def listed(node: Any) -> Iterator[str]:
    """The pages below one entry of a table of contents, in reading order, each with its folder."""
    if isinstance(node, list):
        for entry in node:
            yield from listed(entry)
    elif isinstance(node, dict):
        yield from (node[key] for key in ("root", "file") if key in node)
        for key in ("parts", "chapters", "sections"):
            yield from listed(node.get(key, []))


def print_page(program: str, page: Path, pdf: Path) -> str:
    """Print one page; ``pdf`` appears only when it is whole. Returns what went wrong, or ""."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        fresh = Path(folder, "page.pdf")
        # With its own profile it also works while the user's browser is open.
        command = [program, "--headless", *QUIET, f"--user-data-dir={folder}/profile", "--no-pdf-header-footer"]
        command += [f"--virtual-time-budget={SETTLED_MS}", f"--print-to-pdf={fresh}", page.resolve().as_uri()]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")  # as root, Chromium does not start with a sandbox
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        except subprocess.TimeoutExpired:
            return f"not printed within {SECONDS} seconds"
        if run.returncode != 0 or not fresh.is_file() or not fresh.read_bytes().rstrip().endswith(b"%%EOF"):
            return f"{Path(program).name} ended with status {run.returncode}\n{run.stderr.strip()[-500:]}"
        shutil.copy(fresh, pdf.with_suffix(".part"))
    pdf.with_suffix(".part").replace(pdf)
    return ""


def print_book(root: Path) -> list[Path]:
    """Print the pages of a built book. Returns the PDFs; SystemExit names the pages that failed."""
    html, folder = root / "_build" / "html", root / "_build" / "pdf"
    if not (html / "index.html").is_file():
        raise SystemExit(f"There is no book in {html}. Build it first: make book")
    names = list(listed(yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))))
    pdfs = {name: folder / f"{Path(name).name}.pdf" for name in names}
    if len(set(pdfs.values())) < len(pdfs):
        raise SystemExit(f"Two pages of book/_toc.yml have one name, and so would their PDFs: {sorted(names)}")
    program = browser()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    failed = []
    for name, pdf in pdfs.items():
        page = html / f"{name}.html"
        problem = print_page(program, page, pdf) if page.is_file() else "book/_toc.yml lists it, and it is not built"
        print(f"{pdf.relative_to(root)}{': ' + problem if problem else ''}", file=sys.stderr if problem else sys.stdout)
        failed += [name] if problem else []
    if failed:
        raise SystemExit(f"Not printed: {', '.join(failed)}. The reasons stand above.")
    return list(pdfs.values())


def main() -> None:
    """Print the book of this checkout and say where the PDFs are."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    pdfs = print_book(Path(__file__).parent.parent)
    print(f"\n{len(pdfs)} pages are printed; they lie in {os.path.relpath(pdfs[0].parent)}")


if __name__ == "__main__":
    main()
