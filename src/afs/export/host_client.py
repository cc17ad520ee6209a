"""A model server over HTTP: JSON in and out, an unreachable server is not the same as one that refuses."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, cast

import msgspec

from afs.errors import DataError, MissingError, ProviderError
from afs.http import Client, HttpError, Response, UnreachableError

_TIMEOUT_S = 600.0


class Host:
    """A server at an address; `instead` says what to do when it does not answer."""

    def __init__(self, name: str, url: str, instead: str) -> None:
        self.name, self.url, self.instead = name, url.rstrip("/"), instead
        self._client = Client(self.url, timeout_s=_TIMEOUT_S, connect_s=5.0)

    def get(self, path: str) -> dict[str, Any]:
        """Read."""
        return self._json(self._send("GET", path))

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Ask."""
        return self._json(self._send("POST", path, msgspec.json.encode(body)))

    def delete(self, path: str, body: Mapping[str, object]) -> None:
        """Remove."""
        self._json(self._send("DELETE", path, msgspec.json.encode(body)))

    def has(self, path: str) -> bool:
        """Whether a path exists there."""
        return self._send("HEAD", path).status == 200

    def upload(self, path: str, file: Path) -> None:
        """Send a file as it is read."""
        with file.open("rb") as content:
            self._json(self._send("POST", path, content))

    def _send(self, method: str, path: str, body: bytes | BinaryIO | None = None) -> Response:
        try:
            return self._client.request(method, path, body)
        except UnreachableError as error:
            raise MissingError(f"{self.name} does not answer at {self.url}; {self.instead}") from error
        except HttpError as error:
            raise ProviderError(f"{self.name} {path}: {error}") from error

    def _json(self, response: Response) -> dict[str, Any]:
        text = response.text.strip()
        if response.status >= 400:
            raise ProviderError(f"{self.name}: {text[:300] or 'no reason given'} (HTTP {response.status})")
        try:
            return cast(dict[str, Any], msgspec.json.decode(text)) if text else {}
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DataError(f"{self.name}: the answer is not JSON but {text[:60]!r}") from error

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
