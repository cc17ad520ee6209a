"""A model server over HTTP: JSON in and out, an unreachable server is not the same as one that refuses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, cast

import httpx2
import msgspec

from afs.errors import DataError, MissingError, ProviderError

_CHUNK = 1 << 20
_TIMEOUT_S = 600.0


class Host:
    """A server at an address; `instead` says what to do when it does not answer."""

    def __init__(self, name: str, url: str, instead: str) -> None:
        self.name, self.url, self.instead = name, url.rstrip("/"), instead
        timeout = httpx2.Timeout(_TIMEOUT_S, connect=5.0)
        self._client = httpx2.Client(base_url=self.url, timeout=timeout)

    def get(self, path: str) -> dict[str, Any]:
        """Read."""
        return self._json(self._send("GET", path))

    def post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        """Ask."""
        return self._json(self._send("POST", path, content=msgspec.json.encode(body)))

    def delete(self, path: str, body: Mapping[str, object]) -> None:
        """Remove."""
        self._json(self._send("DELETE", path, content=msgspec.json.encode(body)))

    def has(self, path: str) -> bool:
        """Whether a path exists there."""
        return self._send("HEAD", path).status_code == 200

    def upload(self, path: str, file: Path) -> None:
        """Send a file as it is read."""
        size = {"content-length": str(file.stat().st_size)}
        self._json(self._send("POST", path, content=_chunks(file), headers=size))

    def _send(self, method: str, path: str, **more: Any) -> httpx2.Response:
        headers = {"content-type": "application/json", **more.pop("headers", {})}
        try:
            return self._client.request(method, path, headers=headers, **more)
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise MissingError(f"{self.name} does not answer at {self.url}; {self.instead}") from error
        except httpx2.HTTPError as error:
            raise ProviderError(f"{self.name} {path}: {str(error) or type(error).__name__}") from error

    def _json(self, response: httpx2.Response) -> dict[str, Any]:
        text = response.text.strip()
        if response.status_code >= 400:
            raise ProviderError(f"{self.name}: {text[:300] or 'no reason given'} (HTTP {response.status_code})")
        try:
            return cast(dict[str, Any], msgspec.json.decode(text)) if text else {}
        except msgspec.DecodeError as error:
            raise DataError(f"{self.name}: the answer is not JSON but {text[:60]!r}") from error

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()


def _chunks(file: Path) -> Iterator[bytes]:
    with file.open("rb") as source:
        while part := source.read(_CHUNK):
            yield part
