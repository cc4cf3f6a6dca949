"""The book's public address, if it has one, and the settings of its pages that depend on it.

``_config.yml`` names no address. ``derived_config`` takes it from the environment and writes a configuration to the
build's own folder, with links to the repository, a button that opens a chapter on Colab, and canonical addresses.

- ``MIRAGE_REPOSITORY``: the repository's address, as in a browser.
- ``MIRAGE_BRANCH``: the branch that the links name; "main" if not set.
- ``MIRAGE_BASEURL``: the address of the folder the pages are served from.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

VARIABLES = ("MIRAGE_REPOSITORY", "MIRAGE_BRANCH", "MIRAGE_BASEURL")
COLAB, OPENED_BY_COLAB = "https://colab.research.google.com", "github.com"
HOSTS_WITH_ISSUES = ("github.com", "gitlab.com")  # the theme knows the issue forms of these two


def repository_settings(address: str, branch: str) -> dict[str, Any]:
    """The settings for a repository, in the form of ``_config.yml``; SystemExit if the address names none."""
    url = address.rstrip("/").removesuffix(".git")
    if not re.fullmatch(r"https://[^/\s]+/[^/\s]+/[^/\s]+", url):
        raise SystemExit(f"MIRAGE_REPOSITORY is {address!r}; expected https://<host>/<owner>/<name>.")
    host = urlsplit(url).hostname
    settings: dict[str, Any] = {
        "repository": {"url": url, "branch": branch, "path_to_book": ""},
        "html": {"use_repository_button": True, "use_issues_button": host in HOSTS_WITH_ISSUES},
    }
    if host == OPENED_BY_COLAB:
        settings["launch_buttons"] = {"colab_url": COLAB}
    return settings


def base_settings(address: str) -> dict[str, Any]:
    """Canonical addresses, and where the 404 page (served at any depth) finds its style.

    Raises SystemExit if ``address`` is not the web address of a folder.
    """
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise SystemExit(f"MIRAGE_BASEURL is {address!r}; expected https://<host>/<folder>/.")
    prefix = parts.path.rstrip("/") + "/"
    base = f"{parts.scheme}://{parts.netloc}{prefix}"
    return {"html": {"baseurl": base}, "sphinx": {"config": {"notfound_urls_prefix": prefix}}}


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> dict[str, Any]:
    """Two trees of settings merged into one; where they differ, the second wins."""
    result = dict(first)
    for key, value in second.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def derived_config(root: Path, folder: Path, environment: Mapping[str, str]) -> Path:
    """The configuration to build with: ``_config.yml`` itself, or a copy in ``folder`` that knows the address.

    Raises SystemExit if an environment variable holds something else than an address.
    """
    repository, base = environment.get("MIRAGE_REPOSITORY", ""), environment.get("MIRAGE_BASEURL", "")
    own = root / "_config.yml"
    if not repository and not base:
        return own
    settings: dict[str, Any] = yaml.safe_load(own.read_text(encoding="utf-8"))
    if repository:
        branch = environment.get("MIRAGE_BRANCH") or "main"
        settings = merged(settings, repository_settings(repository, branch))
    if base:
        settings = merged(settings, base_settings(base))
    # Jupyter Book looks for these beside the configuration file, for everything else in the source folder.
    extensions = settings["sphinx"]["local_extensions"]
    settings["sphinx"]["local_extensions"] = {name: str(root / path) for name, path in extensions.items()}
    config = folder / "_config.yml"
    config.write_text(yaml.safe_dump(settings, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return config
