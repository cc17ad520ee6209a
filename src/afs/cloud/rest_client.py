"""JSON over HTTP as providers of machines speak it: one line for every failure, and patience with rate limits."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import NamedTuple, cast
from urllib.parse import urlencode

import msgspec

from afs.errors import ProviderError
from afs.http import Client, HttpError
from afs.types import Json

_TRIES = 5
_PAUSE_S = 2.0
"""Providers limit calls by seconds; most 429s name no time."""
_LONGEST_PAUSE_S = 60.0


class RestError(ProviderError):
    """The provider refused; `status` 0 means that no answer came."""

    def __init__(self, message: str, status: int, body: Json, *, sent: bool = True) -> None:
        super().__init__(message)
        self.status, self.body, self.sent = status, body, sent


class RestAnswer(NamedTuple):
    """A good answer."""

    status: int
    body: Json


class Rest:
    """Calls to one provider, with its key."""

    def __init__(self, name: str, url: str, key: str, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.name, self._sleep = name, sleep
        self._client = Client(url, {"authorization": f"Bearer {key}"}, timeout_s=60.0)

    def call(
        self, method: str, path: str, body: object = None, query: Mapping[str, object] = {}, *, repeat: bool = True
    ) -> RestAnswer:
        """One call. What may rent something is sent once (`repeat` off), and only a refusal for haste is repeated."""
        target = path + (f"?{urlencode({key: str(value) for key, value in query.items()})}" if query else "")
        raw = msgspec.json.encode(body) if body is not None else None
        for attempt in range(_TRIES):
            try:
                answer = self._client.request(method, target, raw)
            except HttpError as error:
                if (repeat or not error.sent) and attempt + 1 < _TRIES:
                    self._sleep(_PAUSE_S * 2**attempt)
                    continue
                raise RestError(f"{self.name}: {error}", 0, {}, sent=error.sent) from error
            hasty = answer.status == 429
            if (hasty or (answer.status >= 500 and repeat)) and attempt + 1 < _TRIES:
                self._sleep(_pause(answer.headers, attempt))
                continue
            return self._read(answer.status, answer.body, method, path)
        raise AssertionError("the last attempt returns or raises")

    def _read(self, status: int, raw: bytes, method: str, path: str) -> RestAnswer:
        text = raw.decode("utf-8", "replace").strip()
        body: Json = {}
        is_json = not text
        if text:
            try:
                decoded = msgspec.json.decode(raw)
                body, is_json = (decoded if isinstance(decoded, dict) else {"value": decoded}), True
            except msgspec.DecodeError:
                is_json = False
        where = f"{self.name}: {method} {path}"
        if status in (401, 403):
            raise RestError(f"{where}: the key is refused ({status}); renew it, or give it this right", status, body)
        if status == 410:
            raise RestError(f"{where}: this interface was shut down (410); upgrade afs", status, body)
        if status >= 400:
            raise RestError(f"{where}: {status} {_said(body) or text[:120]}".rstrip(), status, body)
        if not is_json:
            raise RestError(f"{where}: not JSON but {text[:60]!r}; is that the provider's address?", status, body)
        return RestAnswer(status, body)


def _pause(headers: Mapping[str, str], attempt: int) -> float:
    given = headers.get("retry-after", "")
    seconds = float(given) if given.replace(".", "", 1).isdigit() else _PAUSE_S * 2**attempt
    return min(seconds, _LONGEST_PAUSE_S)


def _said(body: Json) -> str:
    for key in ("msg", "detail", "error", "title", "message"):
        if isinstance(body.get(key), str):
            return cast(str, body[key])
    return ""


def table(value: object) -> Json:
    """A JSON object, or an empty one for anything else: providers leave fields out."""
    return cast(Json, value) if isinstance(value, dict) else {}


def rows(value: object) -> list[Json]:
    """The objects of a JSON list."""
    return [table(one) for one in cast(list[object], value)] if isinstance(value, list) else []


def number(value: object, default: float = 0.0) -> float:
    """A JSON number."""
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default
