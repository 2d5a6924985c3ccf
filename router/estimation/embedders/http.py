"""Any server that speaks OpenAI's /v1/embeddings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import httpx
import msgspec
import numpy as np

from router.arrays import Vectors
from router.estimation.embedders.base import Embedder, EmbeddingError
from schemas.invalid import Invalid
from schemas.sendable import api_key

FIRST_WAIT, LONGEST_WAIT = 0.5, 30.0
"""Seconds before the second attempt, doubled for each further one, and the most of it."""
BYTES_PER_NUMBER = 40
"""A generous size of one number in JSON: bounds what is read of an answer."""


class _Item(msgspec.Struct):
    index: int
    embedding: list[float]


class _Answer(msgspec.Struct):
    data: list[_Item]


class HttpEmbedder(Embedder):
    """Asks `POST {url}/embeddings`, a batch at a time, and again on 429, 5xx and lost
    connections. The API key stays in the environment and out of every message."""

    def __init__(
        self,
        url: str,
        model: str,
        dimension: int,
        api_key_env: str = "",
        batch_size: int = 64,
        timeout: float = 30.0,
        attempts: int = 5,
        max_characters: int = 8192,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`url` is the base, for example http://127.0.0.1:8000/v1; `api_key_env` names the
        variable that holds the key (none is sent without it); `timeout` is in seconds for each
        attempt's connect, read and write. Nothing is sent yet.

        Raises EmbeddingError where the variable is empty, ValueError for a setting out of range.
        """
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"url is {url!r}, but must start with http:// or https://")
        if httpx.URL(url).userinfo:
            raise ValueError("url holds a user or password: name the key by api_key_env instead")
        if min(dimension, batch_size, attempts) < 1:
            raise ValueError("dimension, batch_size and attempts must be at least 1")
        key = _key(api_key_env) if api_key_env else ""
        self._key, self._key_env = key, api_key_env
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = httpx.Client(headers=headers, timeout=timeout)
        self._url = f"{url.rstrip('/')}/embeddings"
        self._model, self._batch_size, self._attempts = model, batch_size, attempts
        self._sleep = sleep
        self.dimension = dimension
        self.name = f"http/{model}/{dimension}"
        self.max_characters = max_characters

    def _embed(self, texts: list[str]) -> Vectors:
        size = self._batch_size
        vectors = np.empty((len(texts), self.dimension), dtype=np.float32)
        for start in range(0, len(texts), size):
            batch = texts[start : start + size]
            self._place(self._ask(batch), vectors[start : start + size])
        return vectors

    def _ask(self, batch: list[str]) -> bytes:
        """The body of the first good answer."""
        request = {"model": self._model, "input": batch, "encoding_format": "float"}
        problem = ""
        for attempt in range(self._attempts):
            asked_to_wait = 0.0
            try:
                with self._client.stream("POST", self._url, json=request) as response:
                    if response.status_code == 200:
                        return self._read(response, len(batch))
                    problem = f"status {response.status_code}"
                    if response.status_code != 429 and response.status_code < 500:
                        raise EmbeddingError(
                            f"{self._url} refused the request: {problem}{self._said(response)}"
                        )
                    asked_to_wait = _seconds(response.headers.get("retry-after", ""))
            except httpx.TransportError as error:
                problem = f"{type(error).__name__} {error}".strip()
            if attempt + 1 < self._attempts:
                wait = max(FIRST_WAIT * 2**attempt, asked_to_wait)
                self._sleep(min(wait, LONGEST_WAIT))
        raise EmbeddingError(
            f"{self._url} gave no embeddings in {self._attempts} attempts, at last: {problem}"
        )

    def _said(self, response: httpx.Response) -> str:
        """How a refusal's body begins. Servers quote a bad key back, so then nothing is shown."""
        if response.status_code in (401, 403):
            return f" (is the key in {self._key_env or 'api_key_env'} right?)"
        body = next(response.iter_bytes(200), b"").decode("utf-8", "replace")
        return f": {body}" if body and (not self._key or self._key[:8] not in body) else ""

    def _read(self, response: httpx.Response, texts: int) -> bytes:
        most = 65_536 + texts * (1024 + self.dimension * BYTES_PER_NUMBER)
        body = bytearray()
        for part in response.iter_bytes():
            body += part
            if len(body) > most:
                raise EmbeddingError(
                    f"{self._url} answered more than {most} bytes for {texts} texts of "
                    f"dimension {self.dimension}: is `dimension` right for {self._model!r}?"
                )
        return bytes(body)

    def _place(self, body: bytes, into: Vectors) -> None:
        """Write an answer's vectors to the rows that their `index` names."""
        try:
            items = msgspec.json.decode(body, type=_Answer).data
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise EmbeddingError(f"{self._url} answered no embeddings: {error}") from error
        if sorted(item.index for item in items) != list(range(len(into))):
            raise EmbeddingError(
                f"{self._url} was asked for {len(into)} vectors and answered {len(items)}, "
                "or some index twice"
            )
        for item in items:
            if len(item.embedding) != self.dimension:
                raise EmbeddingError(
                    f"{self._url} answered {len(item.embedding)} dimensions for "
                    f"{self._model!r}, but the settings say {self.dimension}"
                )
            into[item.index] = item.embedding


def _key(variable: str) -> str:
    try:
        key = api_key(variable, os.environ)
    except Invalid as error:
        raise EmbeddingError(error.reason) from None
    if key is None:
        raise EmbeddingError(
            f"the environment variable {variable} is empty: it must hold the API key"
        )
    return key


def _seconds(retry_after: str) -> float:
    """A Retry-After header in seconds; 0 for none, or for a date."""
    return float(retry_after) if retry_after.isdecimal() else 0.0
