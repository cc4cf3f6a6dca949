"""A Sphinx extension: pages that load nothing from another host and no script twice.

Comes in: the scripts that the theme and its extensions ask for on each page. Goes out: the same list without
thebe (live code needs a remote host; its address stands on every page even when it is switched off) and
without repeated entries (sphinx-thebe and sphinx-togglebutton register theirs again on each page they read).
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx


def offline_scripts(scripts: list[Any]) -> list[Any]:
    """The scripts in their order, without thebe's and without repetitions."""
    kept, seen = [], set()
    for script in scripts:
        identity = (str(script.filename), script.attributes.get("body", ""))
        if "thebe" not in "".join(identity).lower() and identity not in seen:
            kept.append(script)
            seen.add(identity)
    return kept


def clean_page(app: Sphinx, pagename: str, templatename: str, context: dict[str, Any], doctree: Any) -> None:
    """Clean one page's context before its template runs; light or dark follows the reader's system."""
    context["script_files"] = offline_scripts(context.get("script_files", []))
    context["default_mode"] = "auto"


def setup(app: Sphinx) -> dict[str, bool]:
    """Register with Sphinx, after the extensions that add scripts."""
    app.connect("html-page-context", clean_page, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
