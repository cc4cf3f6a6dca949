"""A Sphinx extension: pages that load nothing from another host, no script twice, and nothing they do not use.

Comes in: the scripts that the theme and its extensions ask for on each page. Goes out: the same list without
thebe (live code needs a remote host; its address stands on every page even when it is switched off), without
repeated entries (sphinx-thebe and sphinx-togglebutton register theirs again on each page they read) and without
MathJax on pages that hold no formula; the explorer's own on pages that hold one. The theme's 2,000 icons, two thirds
of a page's weight, become the few in use, and its buttons get names that say what they show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pydata_sphinx_theme
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError

ICONS = Path("scripts", "fontawesome.js")  # below the theme's static folder, and below a book's _static
ICONS_OF_THEME = Path(pydata_sphinx_theme.__file__).parent / "theme" / "pydata_sphinx_theme" / "static" / ICONS
# name:[width,height,[other names],"code point","path"],
ICON = re.compile(r'(?<=[{,])"?([\w-]+)"?:\[\d+,\d+,\[([^\]]*)\],"[0-9a-f]+",(?:"[^"]*"|\[[^\]]*\])\],?')
EXPLORER_MARK, WIDGET_STATE = "data-mirage-explorer", "application/vnd.jupyter.widget-state+json"
FEWEST_ICONS = 1000  # fewer than that in the theme's file: it is written in another way, and was not understood


def offline_scripts(scripts: list[Any], formulas: bool = True) -> list[Any]:
    """The scripts in their order, without thebe's, without repetitions, with MathJax only for formulas."""
    kept, seen = [], set()
    for script in scripts:
        identity = (str(script.filename), script.attributes.get("body") or "")
        text = "".join(identity).lower()
        widgets = script.attributes.get("type") == WIDGET_STATE  # of the explorer, which pages run without it
        if not widgets and "thebe" not in text and (formulas or "mathjax" not in text) and identity not in seen:
            kept.append(script)
            seen.add(identity)
    return kept


def used_icons(texts: Iterable[str]) -> set[str]:
    """The names that stand after ``fa-`` in any of the texts; some of them are sizes or styles, not icons."""
    return {name for text in texts for name in re.findall(r"\bfa-([a-z0-9-]+)", text)}


def fewer_icons(script: str, used: set[str]) -> str:
    """The icon script with only the icons of these names; ExtensionError if its form is not the known one."""
    found = 0

    def keep(match: re.Match[str]) -> str:
        nonlocal found
        found += 1
        names = {match[1], *re.findall(r'"([\w-]+)"', match[2])}
        return match[0] if names & used else ""

    shorter = ICON.sub(keep, script)
    if found < FEWEST_ICONS:
        raise ExtensionError(f"{ICONS.name} of the theme holds {found} icons in the known form; see {__file__}")
    return shorter


def clean_page(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Clean one page's context before its template runs; light or dark follows the reader's system."""
    if EXPLORER_MARK in context.get("body", ""):
        app.add_css_file("mirage/explorer.css")
        app.add_js_file("mirage/explorer.js", loading_method="defer")
    # Sphinx asks this for a page and all below it, so the first page of a book would load MathJax for the others.
    formulas = app.env.get_domain("math").data["has_equations"].get(pagename, False)
    context["script_files"] = offline_scripts(context.get("script_files", []), formulas)
    context["default_mode"] = "auto"


def accessible(html: str) -> str:
    """The page with names that a screen reader and a voice can use where the theme's differ from what is shown."""
    html = re.sub(r'(<button class="btn search-button-field[^>]*?) aria-label="Search"', r"\1", html)
    html = re.sub(r'(<i class="theme-switch [^>]*?)\s+title="[^"]*"', r"\1", html)  # the button itself has a name
    return html.replace('<div role="list" class="citation-list">', '<div class="citation-list">')  # its items are none


def write_accessible(app: Sphinx, exception: Exception | None) -> None:
    """Mend the finished pages."""
    if exception is None and app.builder.format == "html":
        for path in Path(app.outdir).rglob("*.html"):
            path.write_text(accessible(path.read_text(encoding="utf-8")), encoding="utf-8")


def write_icons(app: Sphinx, exception: Exception | None) -> None:
    """Replace the theme's icons by those that the finished pages and their scripts name."""
    if exception is not None or app.builder.format != "html":
        return
    target = Path(app.outdir, "_static") / ICONS
    files = [path for suffix in ("*.html", "*.js") for path in Path(app.outdir).rglob(suffix) if path != target]
    used = used_icons(path.read_text(encoding="utf-8", errors="replace") for path in files)
    # From the theme itself: the copy in the book may be what an earlier build left of it.
    target.write_text(fewer_icons(ICONS_OF_THEME.read_text(encoding="utf-8"), used), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, after the extensions that add scripts."""
    app.connect("html-page-context", clean_page, priority=900)
    app.connect("build-finished", write_accessible)
    app.connect("build-finished", write_icons)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
