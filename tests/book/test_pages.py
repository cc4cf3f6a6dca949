"""The built pages: nothing from another host, every image described, every figure captioned.

The checks are functions of a folder of HTML, tried here on small pages that have each fault. The book itself is
checked where it has been built: in ``MIRAGE_BOOK_HTML``, else in ``_build/html``.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

ROOT = Path(__file__).parents[2]
FETCHING_LINKS = {
    "stylesheet",
    "icon",
    "shortcut",
    "preload",
    "prefetch",
    "preconnect",
    "dns-prefetch",
    "modulepreload",
}
ADDRESSES = ("src", "srcset", "poster", "data", "xlink:href")
REMOTE = re.compile(r"\s*(https?:)?//", re.IGNORECASE)
REMOTE_CSS = re.compile(r"(?:url\(|@import)\s*[\"']?\s*((?:https?:)?//[^\"')\s]+)", re.IGNORECASE)
REMOTE_IN_SCRIPT = re.compile(r"[\"'`]((?:https?:)?//[\w-]+\.[^\"'`\s]+)")
REMOTE_IMPORT = re.compile(r"\b(?:import|from|fetch|importScripts)\s*\(?\s*[\"'`](https?://[^\"'`]+)")
FILE_NAME = re.compile(r"\S+\.(png|svg|jpe?g|gif|webp)$|^data:", re.IGNORECASE)
VOID = {"img", "link", "meta", "br", "hr", "input", "source", "embed", "wbr", "col", "area", "base", "track", "param"}


@dataclasses.dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None
    text: str = ""

    def within(self, tag: str) -> Element | None:
        """The nearest enclosing element of this tag."""
        above = self.parent
        while above is not None and above.tag != tag:
            above = above.parent
        return above


class Page(HTMLParser):
    """A page as the flat list of its elements, each knowing its parent and its own text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[Element] = []
        self.open: list[Element] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        element = Element(tag, {key: value or "" for key, value in attrs}, self.open[-1] if self.open else None)
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag: str) -> None:
        if any(element.tag == tag for element in self.open):
            while self.open.pop().tag != tag:
                pass

    def handle_data(self, data: str) -> None:
        for element in self.open:
            element.text += data


def fetched(page: Page) -> list[str]:
    """The addresses that a browser fetches to show the page; plain links are not among them."""
    found = []
    for element in page.elements:
        found += [element.attributes[key] for key in ADDRESSES if key in element.attributes]
        if element.tag in ("image", "use") and "href" in element.attributes:
            found.append(element.attributes["href"])
        if element.tag == "link" and FETCHING_LINKS & set(element.attributes.get("rel", "").split()):
            found.append(element.attributes.get("href", ""))
    return found


def remote(html: str) -> list[str]:
    """What a page asks of another host: in its elements, its styles, its inline scripts."""
    page = Page(html)
    found = [address for address in fetched(page) if REMOTE.match(address)]
    for element in page.elements:
        found += REMOTE_CSS.findall(element.attributes.get("style", ""))
        if element.tag == "style":
            found += REMOTE_CSS.findall(element.text)
        if element.tag == "script":
            found += [address for address in REMOTE_IN_SCRIPT.findall(element.text) if "www.w3.org/" not in address]
    return found


def undescribed(html: str) -> list[str]:
    """Images without an alternative text of at least two words that is not a file name."""
    images = [element.attributes for element in Page(html).elements if element.tag == "img"]
    alts = [(image.get("src", "")[:60], image.get("alt", "").strip()) for image in images]
    return [src for src, alt in alts if len(alt.split()) < 2 or FILE_NAME.search(alt)]


def uncaptioned(html: str) -> list[str]:
    """Figures without a caption, and images of the article that stand in no figure."""
    elements = Page(html).elements
    captions = [element for element in elements if element.tag == "figcaption" and len(element.text.split()) >= 3]
    captioned = {id(caption.within("figure")) for caption in captions}
    figures = [element for element in elements if element.tag == "figure"]
    images = [element for element in elements if element.tag == "img" and element.within("article")]
    found = [figure.attributes.get("id", "a figure") for figure in figures if id(figure) not in captioned]
    return found + [image.attributes.get("src", "")[:60] for image in images if image.within("figure") is None]


def widgets(html: str) -> list[str]:
    """Interactive outputs: without scripts from another host a reader would see nothing in their place."""
    types = [element.attributes.get("type", "") for element in Page(html).elements if element.tag == "script"]
    return [kind for kind in types if "jupyter.widget" in kind]


def repeated_scripts(html: str) -> list[str]:
    """Scripts that a page loads twice."""
    sources = [element.attributes.get("src", "") for element in Page(html).elements if element.tag == "script"]
    return sorted({source for source in sources if source and sources.count(source) > 1})


PAGE_CHECKS: list[Callable[[str], list[str]]] = [remote, undescribed, uncaptioned, widgets, repeated_scripts]


def pages(folder: Path) -> list[Path]:
    """The pages a reader can open, without the templates that the theme leaves among its assets."""
    return [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.relative_to(folder).parts]


def faults(folder: Path, check: Callable[[str], list[str]]) -> list[str]:
    """What a check finds in the pages of a folder, with the page in front."""
    return [
        f"{path.relative_to(folder)}: {fault}"
        for path in pages(folder)
        for fault in check(path.read_text(encoding="utf-8"))
    ]


def remote_assets(folder: Path) -> list[str]:
    """Addresses on other hosts that a style sheet or a script file of the book loads."""
    found = []
    for pattern, suffix in ((REMOTE_CSS, "*.css"), (REMOTE_IMPORT, "*.js")):
        for path in sorted(folder.rglob(suffix)):
            text = path.read_text(encoding="utf-8", errors="replace")
            found += [f"{path.relative_to(folder)}: {address}" for address in pattern.findall(text)]
    return found


def missing_files(folder: Path) -> list[str]:
    """Scripts, styles and images that a page asks for and the folder does not hold.

    The 404 page names its own by the path that the pages are served under.
    """
    found, prefix = [], urlsplit(os.environ.get("MIRAGE_BASEURL", "")).path.rstrip("/")
    for page in pages(folder):
        for address in fetched(Page(page.read_text(encoding="utf-8"))):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            path = parts.path.removeprefix(prefix) if parts.path.startswith("/") else parts.path
            base = folder if path.startswith("/") else page.parent
            if not (base / unquote(path).lstrip("/")).exists():
                found.append(f"{page.relative_to(folder)}: {address}")
    return found


@pytest.fixture(scope="module")
def book() -> Path:
    folder = Path(os.environ.get("MIRAGE_BOOK_HTML", ROOT / "_build" / "html"))
    if not (folder / "index.html").is_file():
        assert "MIRAGE_BOOK_HTML" not in os.environ, f"MIRAGE_BOOK_HTML is {folder}, where no book is"
        pytest.skip("the book is not built")
    return folder


@pytest.mark.parametrize("check", PAGE_CHECKS, ids=lambda check: check.__name__)
def test_the_pages_of_the_book(book: Path, check: Callable[[str], list[str]]) -> None:
    assert not faults(book, check)


def test_the_assets_of_the_book(book: Path) -> None:
    assert not remote_assets(book)
    assert not missing_files(book)


def test_the_book_has_its_chapters(book: Path) -> None:
    listed = re.findall(r"(?:file|root): (\S+)", (ROOT / "book" / "_toc.yml").read_text())
    assert [name for name in listed if not (book / f"{name}.html").is_file()] == []


GOOD = """
<html><head><link rel="stylesheet" href="_static/a.css"><link rel="canonical" href="https://example.org/">
<style>@font-face { src: url("fonts/a.woff2") }</style><script src="_static/a.js"></script>
<script>const svg = "http://www.w3.org/2000/svg";</script></head>
<body><img src="logo.svg" alt="Safety Mirage - Home"><article>
<p>See <a href="https://arxiv.org/abs/2503.11832">the paper</a>.</p>
<figure><p><img src="rates.png" alt="Two bars, the second much taller"></p>
<figcaption><span>Fig. 1</span> Rates before and after.</figcaption></figure></article></body></html>"""


@pytest.mark.parametrize("check", PAGE_CHECKS, ids=lambda check: check.__name__)
def test_a_good_page_passes(check: Callable[[str], list[str]]) -> None:
    assert check(GOOD) == []


@pytest.mark.parametrize(
    ("check", "html"),
    [
        (remote, '<script src="https://cdn.example.org/a.js"></script>'),
        (remote, '<script src="//cdn.example.org/a.js"></script>'),
        (remote, '<link rel="stylesheet" href="https://fonts.example.org/a.css">'),
        (remote, '<link rel="preconnect" href="https://fonts.example.org">'),
        (remote, '<img src="https://example.org/a.png" alt="a badge of something">'),
        (remote, '<div style="background: url(https://example.org/a.png)"></div>'),
        (remote, '<style>@import "https://example.org/a.css";</style>'),
        (remote, '<script>const THEBE_JS_URL = "https://cdn.example.org/thebe.js"</script>'),
        (remote, '<iframe src="https://example.org/video"></iframe>'),
        (undescribed, '<img src="a.png">'),
        (undescribed, '<img src="a.png" alt="">'),
        (undescribed, '<img src="a.png" alt="../_images/3f2a.png">'),
        (undescribed, '<img src="a.png" alt="figure">'),
        (uncaptioned, '<figure><img src="a.png" alt="two bars"></figure>'),
        (uncaptioned, '<figure><img src="a.png" alt="two bars"><figcaption>Fig. 1</figcaption></figure>'),
        (uncaptioned, '<article><img src="a.png" alt="two bars"></article>'),
        (widgets, '<script type="application/vnd.jupyter.widget-view+json">{}</script>'),
        (repeated_scripts, '<script src="a.js"></script><script src="a.js"></script>'),
    ],
)
def test_each_check_finds_its_fault(check: Callable[[str], list[str]], html: str) -> None:
    assert len(check(html)) == 1


def test_assets_and_missing_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.css").write_text("@font-face { src: url(https://example.org/a.woff2) }")
    (tmp_path / "a.js").write_text('import x from "https://example.org/x.js"; // see https://example.org/docs')
    (tmp_path / "sub" / "page.html").write_text('<img src="../a%20b.png"><script src="../a.js?v=1"></script>')
    assert [fault.split(": ")[0] for fault in remote_assets(tmp_path)] == ["a.css", "a.js"]
    assert missing_files(tmp_path) == ["sub/page.html: ../a%20b.png"]
    (tmp_path / "a b.png").touch()
    assert missing_files(tmp_path) == []
