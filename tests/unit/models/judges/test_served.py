"""A served model: answers keep to their questions, and a server's failure is an error in the reply."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from mirage_lib.core.records import Example
from mirage_lib.models.judges.served import Served


class Server(BaseHTTPRequestHandler):
    """Answers with the prompt, backwards; "busy" fails once, "broken" always, "blocked" is withheld."""

    seen: list[tuple[str, str]] = []  # noqa: RUF012  (key, model) of each request
    failed: set[str] = set()  # noqa: RUF012

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][0]["content"]
        self.seen.append((self.headers["Authorization"], body["model"]))
        if prompt == "broken" or (prompt == "busy" and prompt not in self.failed):
            self.failed.add(prompt)
            return self.answer(503, {"error": {"message": "too busy"}})
        blocked = prompt == "blocked"
        message = {"role": "assistant", "content": None if blocked else prompt[::-1]}
        choice = {"index": 0, "message": message, "finish_reason": "content_filter" if blocked else "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
        head = {"id": "1", "object": "chat.completion", "created": 0, "model": body["model"]}
        return self.answer(200, {**head, "choices": [choice], "usage": usage})

    def answer(self, code: int, body: dict[str, Any]) -> None:
        """Send it."""
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Retry-After", "0")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server on this machine."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    Server.seen.clear()
    Server.failed.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()


def question(text: str) -> Example:
    """A question to a judge."""
    return Example(text, "judge", "test", "", text, "safe", ("",))


def test_answers_keep_to_their_questions(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MY_KEY", "secret")
    texts = [f"question {i}" for i in range(20)]
    said = Served(address, "m", key="MY_KEY", tries=1)([question(text) for text in texts])
    assert [(reply.example_id, reply.text) for reply in said] == [(text, text[::-1]) for text in texts]
    assert {(reply.model, reply.n_tokens, reply.finished, reply.error) for reply in said} == {("m", 2, True, "")}
    assert set(Server.seen) == {("Bearer secret", "m")}


def test_a_busy_server_is_asked_again_and_a_broken_one_is_an_error(address: str):
    busy, broken, blocked, other = Served(address, "m", tries=2)(
        [question(text) for text in ("busy", "broken", "blocked", "ok")]
    )
    assert (busy.text, busy.error) == ("ysub", "")
    assert "too busy" in broken.error
    assert "content_filter" in blocked.error
    assert blocked.text == ""
    assert (other.text, other.error) == ("ko", "")


def test_a_server_that_is_not_there_is_an_error_in_every_reply():
    said = Served("http://127.0.0.1:9/v1", "m", tries=1, patience=5)([question("a"), question("b")])
    assert all("127.0.0.1:9" in reply.error and not reply.text for reply in said)
