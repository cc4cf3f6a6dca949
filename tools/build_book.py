"""Build the book so that no page outlives the code, the settings or the profile that made it.

It reads the chapters, ``_config.yml``, ``book/_toc.yml`` and the ``MIRAGE_*`` settings of the environment, and writes
``_build/html``, complete and fresh or not at all. tools/third_party.py fetches other people's scripts, and
tools/address.py adds links to a repository.

Jupyter Book recognises an executed chapter by its code cells alone. After a change to the library or the profile it
would keep the old numbers on the page. So each build works in its own folder, ``_build/work/<profile>-<fingerprint>``,
where the fingerprint covers everything a chapter can read; folders with another fingerprint are removed. Sphinx reads
every page again each time (``--all``), because an incremental build does not repeat its warnings, and they would slip
through ``-W``.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import address
import third_party
from filelock import FileLock

# Besides their own cells and MIRAGE_DATA.
READ_BY_CHAPTERS = ("mirage_lib", "notebooks/your_study.py", "results", "constraints.txt")
# The profile is in the folder's name; the others are for the pages around the chapters, and for tests.
NOT_READ_BY_CHAPTERS = (
    "MIRAGE_PROFILE",
    "MIRAGE_BOOK_HTML",
    "MIRAGE_BROWSER",
    "MIRAGE_SCREENSHOTS",
    "MIRAGE_PATIENCE",
    *address.VARIABLES,
)
FRONT = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="0; url={first}">
<title>Safety Mirage</title>
<link rel="canonical" href="{first}">
</head>
<body><p>The book begins on <a href="{first}">its first page</a>.</p></body>
</html>
"""

EXPLORER = Path("_static", "mirage")  # in the pages: the scripts, models and tables of the attack explorer


def files_below(path: Path) -> Iterator[Path]:
    """The file itself, or every file under a folder in a fixed order, without compiled Python."""
    if path.is_file():
        yield path
    for file in sorted(path.rglob("*")) if path.is_dir() else ():
        if file.is_file() and "__pycache__" not in file.parts:
            yield file


def fingerprint(root: Path, environment: Mapping[str, str], profile: str = "") -> str:
    """Twelve hex digits that change with anything a chapter can read, except the name of its profile.

    Library, results, pins and a profile in a file of its own count by content; the (large) files under MIRAGE_DATA by
    name, size and time.
    """
    digest = hashlib.sha256(sys.version.encode())
    for name in READ_BY_CHAPTERS:
        for file in files_below(root / name):
            content = hashlib.sha256(file.read_bytes()).hexdigest()
            digest.update(f"{file.relative_to(root).as_posix()} {content}\n".encode())
    if profile.endswith(".py"):
        for file in sorted(Path(profile).parent.glob("*.py")):  # what it imports lies beside it
            digest.update(file.read_bytes())
    for name in sorted(environment):
        if name.startswith("MIRAGE_") and name not in NOT_READ_BY_CHAPTERS:
            digest.update(f"{name}={environment[name]}\n".encode())
    if environment.get("MIRAGE_DATA"):
        for file in files_below(Path(environment["MIRAGE_DATA"])):
            stat = file.stat()
            digest.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()[:12]


def chapter_environment(root: Path, profile: str, environment: Mapping[str, str]) -> dict[str, str]:
    """The environment of the build and the chapters' kernels: this checkout first, one thread, no downloads."""
    path = os.pathsep.join(filter(None, [str(root), environment.get("PYTHONPATH", "")]))
    defaults = {
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "JUPYTER_PREFER_ENV_PATH": "1",  # this environment's kernel, not one of the same name in the home folder
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # else ipykernel may warn, and a warning fails the build
    }
    return {**defaults, **environment, "PYTHONPATH": path, "MIRAGE_PROFILE": profile}


def jupyter_book(root: Path, output: Path, environment: Mapping[str, str]) -> int:
    """Run the chapters, then Jupyter Book over ``root`` into ``output/_build/html``; warnings are errors.

    Returns the exit status of the first that fails, or 0.
    """
    chapters = [str(Path(__file__).with_name("run_chapters.py")), str(output / "_build" / ".jupyter_cache")]
    ran = subprocess.run([sys.executable, *chapters], cwd=root, env=dict(environment))
    if ran.returncode:
        return ran.returncode
    config = address.derived_config(root, output, environment)
    build = ["build", ".", "--toc", "book/_toc.yml", "--config", str(config), "--path-output", str(output)]
    build += ["--all", "-n", "-W", "--keep-going"]
    program = "from jupyter_book.cli.main import main; main()"
    return subprocess.run([sys.executable, "-c", program, *build], cwd=root, env=dict(environment)).returncode


def explorer_files(root: Path, folder: Path, environment: Mapping[str, str]) -> None:
    """Write what the pages' explorers load into ``folder``, once: it changes only with what the chapters read.

    This runs before the chapters, which then find its slow parts in the store. Raises SystemExit if it fails.
    """
    if folder.is_dir() or not (root / "mirage_lib" / "explorer").is_dir():
        return
    part = folder.with_name("explorer.part")
    shutil.rmtree(part, ignore_errors=True)
    write = [sys.executable, "-m", "mirage_lib", "export", "--out", str(part)]
    if subprocess.run(write, cwd=root, env=dict(environment)).returncode:
        raise SystemExit("The explorer's files could not be written; see the message above.")
    part.rename(folder)


def front_page(root: Path, pages: Path, environment: Mapping[str, str]) -> None:
    """Give the front page, which only redirects, a title and a link. Raises SystemExit if it leads nowhere."""
    front = pages / "index.html"
    found = re.search(r'url=([^"]+)"', front.read_text("utf-8"))
    if not found or not (pages / found[1]).is_file():
        raise SystemExit(f"{front} leads to no page.")
    front.write_text(FRONT.format(first=found[1]), encoding="utf-8")


# The steps that complete the fresh pages, in this order, before they become the book. Each gets the checkout, the
# folder of pages and the environment, and raises SystemExit if it cannot finish.
Step = Callable[[Path, Path, Mapping[str, str]], None]
STEPS: tuple[Step, ...] = (front_page,)


def finished(root: Path, pages: Path, fresh: Path, environment: Mapping[str, str]) -> Path:
    """Copy the built pages to ``fresh`` and complete them with ``STEPS``. Returns ``fresh``."""
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(pages, fresh, ignore=shutil.ignore_patterns("reports", ".buildinfo"))
    for step in STEPS:
        step(root, fresh, environment)
    return fresh


def build(root: Path, profile: str, environment: Mapping[str, str]) -> Path:
    """Build the book of one profile. Returns its first page; raises SystemExit if it does not build cleanly."""
    root, final = root.resolve(), root.resolve() / "_build" / "html"
    final.parent.mkdir(exist_ok=True)
    third_party.bring(root)
    with FileLock(final.parent / ".lock"):
        key = fingerprint(root, environment, profile)
        work = final.parent / "work" / f"{Path(profile).stem}-{key}"
        work.mkdir(parents=True, exist_ok=True)
        for folder in work.parent.iterdir():
            if not folder.name.endswith(f"-{key}"):
                shutil.rmtree(folder)
        shutil.rmtree(final, ignore_errors=True)
        chapters = chapter_environment(root, profile, environment)
        explorer_files(root, work / "explorer", chapters)
        status = jupyter_book(root, work, chapters)
        if fingerprint(root, environment, profile) != key:
            shutil.rmtree(work)
            raise SystemExit("The library, the results or the data changed during the build. Build again.")
        if status != 0:
            reports = work / "_build" / "html" / "reports"
            raise SystemExit(f"The book does not build cleanly; see the messages above and, if there, {reports}.")
        seen = {**environment, "MIRAGE_PROFILE": profile}
        fresh = finished(root, work / "_build" / "html", final.with_name("html.new"), seen)
        if (work / "explorer").is_dir():
            shutil.copytree(work / "explorer", fresh / EXPLORER)
        fresh.rename(final)
    return final / "index.html"


def main() -> None:
    """Build the book of this checkout and say which page to open."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default=os.environ.get("MIRAGE_PROFILE", "tiny"), help="default: MIRAGE_PROFILE")
    profile = parser.parse_args().profile
    page = build(Path(__file__).parent.parent, profile, os.environ)
    print(f"\nThe book of the profile {profile!r} is built. Open {os.path.relpath(page)}")


if __name__ == "__main__":
    main()
