"""The attack explorer: change one word of a request and watch what each model replies, in a page or a notebook.

``Explorer`` is the widget for notebooks. ``write_page`` writes the files with which a page runs the laboratory's models
in the reader's browser. Replies come from the models in the page, from a table or from a live kernel, in the same form
(``scripts/asking.js``).
"""

from __future__ import annotations

import html
import json
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anywidget
import regex
import traitlets

from mirage_lib.attacks import AS_ASKED
from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example
from mirage_lib.explorer.content import content, files
from mirage_lib.explorer.export import write_script
from mirage_lib.models.generate import replies
from mirage_lib.models.saliency import WORD, refusal_probability
from mirage_lib.models.vlm import VLM
from mirage_lib.study.study import Study

PARTS = regex.compile(rf"{WORD.pattern}|[^\p{{L}}\p{{M}}\p{{N}}_\s]")  # words and signs
HOST, WIDGET, STYLE = "scripts/host.js", "scripts/widget.js", "scripts/explorer.css"
SCRIPTS = ("scripts/vlm.js", "scripts/laboratory.js", "scripts/asking.js", "scripts/card.js", "scripts/explorer.js")


def bundle(last: str) -> str:
    """The explorer's scripts as one, ending with ``HOST`` (for a page) or ``WIDGET`` (for a notebook).

    The files import each other by name. The bundle drops these imports, and only the widget's own export stays.
    """
    parts = []
    for name in (*SCRIPTS, last):
        text = re.sub(r'^import \{[^}]*\} from "\./\w+\.js";\n', "", _data(name), flags=re.MULTILINE)
        parts.append(re.sub(r"^export (?!default)", "", text, flags=re.MULTILINE))
    return "\n".join(parts)


def _data(name: str) -> str:
    return (Path(__file__).parent / name).read_text("utf-8")


def write_page(study: Study, folder: Path) -> list[Path]:
    """Write everything that a page's explorers load: scripts, style, content, models. Returns the files."""
    folder.mkdir(parents=True, exist_ok=True)
    for path in sorted(files(study).glob("*.js")):
        shutil.copyfile(path, folder / path.name)
    write_script(folder, "content", content(study))
    (folder / "explorer.js").write_text(f"(() => {{\n{bundle(HOST)}\n}})();\n", encoding="utf-8")
    (folder / "explorer.css").write_text(_data(STYLE), encoding="utf-8")
    return sorted(folder.iterdir())


class Explorer(anywidget.AnyWidget):
    """The explorer of a study in a notebook.

    With a kernel it asks the study's own models, and loads each when it is first asked. In a built page the same output
    finds the page's files and runs the models there. Otherwise it shows its table.
    """

    _esm = bundle(WIDGET)
    _css = _data(STYLE)
    content = traitlets.Dict().tag(sync=True)
    options = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        study: Study,
        models: Sequence[str] = ("posthoc", "npo"),
        request: int = 0,
        opener: str = AS_ASKED,
        title: str = "Attack explorer",
    ) -> None:
        """Show these models side by side, beginning with a request of the study's list and an opener.

        Raises MirageError for a model, a request or an opener that the explorer of this study does not have.
        """
        shown = content(study)
        known = [model["name"] for model in shown["models"]]
        if unknown := [name for name in models if name not in known]:
            raise MirageError(f"The explorer has no model {unknown[0]!r}; it has {', '.join(known)}.")
        if not 0 <= request < len(shown["requests"]):
            raise MirageError(f"Request {request}: the explorer has {len(shown['requests'])}, counted from 0.")
        if opener not in (AS_ASKED, *shown["openers"]):
            raise MirageError(f"No opener {opener!r}; there are {AS_ASKED}, {', '.join(shown['openers'])}.")
        options = {"models": list(models), "request": request, "opener": opener, "title": title}
        super().__init__(content=shown, options=options)
        self._study, self._models = study, dict[str, VLM]()
        self.on_msg(self._asked)

    def _asked(self, _: Any, message: dict[str, Any], __: Any) -> None:
        """Answer one message from the page; after a MirageError the answer is its text."""
        try:
            found = self._answered(message)
        except MirageError as problem:
            found = {"error": str(problem)}
        self.send({"id": message.get("id"), **found})

    def _answered(self, message: dict[str, Any]) -> dict[str, Any]:
        if message.get("type") == "ping":
            if not self._study.profile.subject.drawn:
                raise MirageError("Models of this size answer in their own time: see the table.")
            return {"type": "pong"}
        vlm = self._model(message["model"])
        questions = message["questions"] if message["type"] == "chances" else [message["question"]]
        if any(mark in question for question in questions for mark in vlm.processor.tokenizer.all_special_tokens):
            raise MirageError("A question is made of words: it cannot hold a model's own signs, such as <image>.")
        rows = [Example(str(i), "explorer", "test", message["picture"], q, "safe", ()) for i, q in enumerate(questions)]
        chances = [float(value) for value in refusal_probability(vlm, rows)]
        if message["type"] == "chances":
            return {"chances": chances}
        (reply,) = replies(vlm, rows, self._study.profile.decoding)
        if reply.error:
            raise MirageError(reply.error)
        known = vlm.processor.tokenizer.get_vocab()
        unknown = [word for word in PARTS.findall(questions[0].lower()) if word not in known]
        return {"text": reply.text, "finished": reply.finished, "first": chances[0], "unknown": unknown}

    def _model(self, name: str) -> VLM:
        if name not in self._models:
            self._models[name] = self._study.model(name, self._study.profile.seeds[0])
        return self._models[name]

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The widget, and the HTML in which a page without a kernel puts the same explorer."""
        found = super()._repr_mimebundle_(**kwargs)
        if found is None:
            return None
        data, metadata = found if isinstance(found, tuple) else (found, {})
        return {**data, "text/html": place(self.content, self.options)}, metadata


def place(shown: dict[str, Any], options: dict[str, Any]) -> str:
    """The HTML in which a page's script puts an explorer. Until then, and in print, it shows a table of replies."""
    told = html.escape(json.dumps(options), quote=True)
    return f'<div class="mirage-explorer" data-mirage-explorer="{told}">{fallback(shown, options)}</div>'


def fallback(shown: dict[str, Any], options: dict[str, Any]) -> str:
    """A plain table: the explorer's first request as asked and under two openers, with each model's reply."""
    request = shown["requests"][options["request"]]
    names, titles = ([model[key] for model in shown["models"]] for key in ("name", "title"))
    table = shown["table"]
    said = {
        (names[model], shown["pictures"][picture], table["questions"][question]): table["texts"][text]
        for model, picture, question, text, *_ in table["rows"]
    }
    questions = [question for _, picture, question in said if picture == request["picture"]]
    wanted = [q for q in dict.fromkeys(questions) if q == request["question"] or q.split()[0] in ("What", "Share")]
    head = "".join(f"<th>{html.escape(titles[names.index(name)])}</th>" for name in options["models"])
    lines = [
        f'<tr><th scope="row">{html.escape(question)}</th>'
        + "".join(
            f"<td>{html.escape(said.get((name, request['picture'], question), '–'))}</td>" for name in options["models"]
        )
        + "</tr>"
        for question in wanted
    ]
    caption = html.escape(f"{options['title']}: {request['title']}")
    return f"<table><caption>{caption}</caption><tr><th>Request</th>{head}</tr>{''.join(lines)}</table>"
