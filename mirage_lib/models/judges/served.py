"""A chat model behind an address that speaks OpenAI's protocol: vLLM, Ollama, llama.cpp, or a company's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from tqdm.auto import tqdm

from mirage_lib.core.errors import MirageError
from mirage_lib.core.records import Example, Reply

NO_KEY = "none"  # what a server that asks for no key gets


@dataclass(frozen=True)
class Served:
    """A model by its address and name. It can take the place of ``asking.Asking``."""

    address: str  # e.g. "http://localhost:8000/v1"
    model: str  # its name there
    key: str = "OPENAI_API_KEY"  # the environment variable that holds the key; a local server needs none
    max_new_tokens: int = 8
    tries: int = 5  # of a request that the server refuses or loses, with growing pauses
    patience: float = 60.0  # seconds that one request may take
    at_once: int = 8  # requests on their way together

    def __call__(self, examples: Sequence[Example]) -> list[Reply]:
        """One reply per question; a request that fails for good becomes a reply with an error.

        Raises MirageError if the package ``openai`` is missing.
        """
        try:
            import openai
        except ImportError as error:
            raise MirageError("A served model needs the package openai: pip install openai.") from error
        key = os.environ.get(self.key) or NO_KEY
        limits = {"max_retries": self.tries - 1, "timeout": self.patience}
        client = openai.OpenAI(base_url=self.address, api_key=key, **limits)

        def one(example: Example) -> Reply:
            try:
                return self._reply(client, example)
            except openai.OpenAIError as error:
                return Reply(example.id, self.model, error=f"{self.address}: {type(error).__name__}: {error}")

        with client, ThreadPoolExecutor(self.at_once) as pool:
            return list(tqdm(pool.map(one, examples), total=len(examples), desc=self.model, delay=2, leave=False))

    def _reply(self, client: Any, example: Example) -> Reply:
        said = client.chat.completions.create(
            model=self.model,
            messages=[{"role": "user", "content": example.prompt}],
            max_tokens=self.max_new_tokens,
            temperature=0,
        )
        first = said.choices[0]
        if first.finish_reason == "content_filter" or first.message.content is None:
            return Reply(example.id, self.model, error=f"{self.address}: no text ({first.finish_reason})")
        tokens = said.usage.completion_tokens if said.usage else 0
        finished = first.finish_reason == "stop"
        return Reply(example.id, self.model, text=first.message.content, n_tokens=tokens, finished=finished)
