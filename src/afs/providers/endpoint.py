"""What the providers behind HTTP share: their options, keys from the environment, and posting JSON."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

import msgspec

from afs.config import Config, decode
from afs.errors import ConfigError
from afs.http import Client, HttpError, Response, UnreachableError
from afs.providers.failures import CallError, failure

_encode = msgspec.json.Encoder().encode
_SECRET_HEADERS = frozenset({"authorization", "x-api-key", "x-goog-api-key"})


class Price(Config, frozen=True, kw_only=True):
    """US dollars per million tokens."""

    input: float
    """For what is read."""
    output: float
    """For what is written, thinking included."""
    cached: float | None = None
    """For what is read from the provider's cache; none: as `input`."""


class Endpoint(Config, frozen=True, kw_only=True):
    """Options of a provider behind HTTP."""

    base_url: str = ""
    """Address of the API; empty: the provider's own."""
    key_env: str = ""
    """Environment variable that holds the key; empty: the provider's usual one."""
    timeout_s: float = 120.0
    """Longest wait for an answer."""
    headers: dict[str, str] = {}
    """Further headers."""
    price: Price | None = None
    """Price that overrides the table; own machines cost 0 and 0."""
    name: str = ""
    """What results are filed under instead of `provider:model`."""
    parameters: dict[str, object] = {}
    """Fields put into every request as they stand: what this server knows and we do not."""


def endpoint(options: Mapping[str, object], where: str) -> Endpoint:
    """Decode a provider's options."""
    known = {field.name for field in msgspec.structs.fields(Endpoint)}
    return decode(Endpoint, {key: value for key, value in options.items() if key in known}, prefix=where)


def find_secret(name: str) -> str:
    """A key from the environment, or from the secrets file that `AFS_SECRETS` names; empty when there is none."""
    if value := os.environ.get(name):
        return value.strip()
    if place := os.environ.get("AFS_SECRETS"):
        try:
            lines = Path(place).read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError("AFS_SECRETS", f"{place} cannot be read: {error}") from error
        for line in lines:
            key, _, value = line.partition("=")
            if key.strip().removeprefix("export ") == name:
                return value.strip().strip("'\"")
    return ""


def secret(name: str, provider: str) -> str:
    """A key that must be there; it is never written anywhere."""
    if value := find_secret(name):
        return value
    raise ConfigError(name, f"not set; {provider} needs a key in this environment variable")


class Answer(NamedTuple):
    """A server's JSON, its headers and how long it took."""

    body: dict[str, Any]
    headers: Mapping[str, str]
    seconds: float

    @property
    def request_id(self) -> str:
        """The provider's id of the call."""
        return self.headers.get("x-request-id") or self.headers.get("request-id") or ""


class Api:
    """Posts JSON and reads JSON; every failure is a CallError of its class."""

    def __init__(self, name: str, base_url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        self.name = name
        try:
            self.client = Client(base_url, headers, timeout_s=timeout_s)
        except HttpError as error:
            raise ConfigError("base_url", str(error)) from error
        self._secrets = [text for name, text in headers.items() if name.lower() in _SECRET_HEADERS]
        self.on_headers: Callable[[Mapping[str, str]], None] | None = None
        """Called with the headers of every answer: they hold the limits."""

    def post(self, path: str, body: Mapping[str, object]) -> Answer:
        """One call."""
        started = time.monotonic()
        return self._read(self._sent(path, _encode(body)), started)

    def get(self, path: str) -> Answer:
        """Read something."""
        started = time.monotonic()
        with self._failures():
            response = self.client.request("GET", path)
        return self._read(response, started)

    def post_bytes(self, path: str, content: bytes, headers: Mapping[str, str]) -> Answer:
        """Send something that is not JSON."""
        started = time.monotonic()
        with self._failures():
            response = self.client.post(path, content, headers)
        return self._read(response, started)

    def get_lines(self, path: str) -> Iterator[dict[str, Any]]:
        """Read a file of JSON lines."""
        with self._failures():
            response = self.client.request("GET", path)
        if response.status != 200:
            self._read(response, time.monotonic())
        for line in response.body.splitlines():
            if line.strip():
                try:
                    yield msgspec.json.decode(line, type=dict[str, Any])
                except (msgspec.DecodeError, UnicodeDecodeError) as error:
                    raise CallError("bad", f"{self.name}: a line of {path} is not JSON") from error

    def close(self) -> None:
        """Close the connections."""
        self.client.close()

    def _sent(self, path: str, content: bytes) -> Response:
        with self._failures():
            return self.client.post(path, content)

    def _without_secrets(self, error: CallError) -> CallError:
        """A server may quote the key it rejects; messages end in files, keys must not."""
        text = str(error)
        for secret_text in self._secrets:
            text = text.replace(secret_text.removeprefix("Bearer "), "…")
        error.args = (text,)
        return error

    def _failures(self) -> _HttpFailures:
        return _HttpFailures(self.name)

    def _read(self, response: Response, started: float) -> Answer:
        if self.on_headers is not None:
            self.on_headers(response.headers)
        try:
            body = msgspec.json.decode(response.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            if response.status == 200:
                start = response.text[:60].strip()
                problem = CallError("bad", f"{self.name}: the answer is not JSON but {start!r}")
                problem.may_be_charged = True
                raise problem from error
            body = {}
        table = body if isinstance(body, dict) else {}
        inner = table.get("error")
        if response.status != 200 or inner:
            raise self._without_secrets(failure(self.name, response.status, inner, response.headers))
        return Answer(cast("dict[str, Any]", table), response.headers, time.monotonic() - started)


class _HttpFailures:
    """Turns the client's errors into CallErrors."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, HttpError):
            problem = CallError("busy", f"{self.name}: {error}")
            problem.may_be_charged = error.sent and not isinstance(error, UnreachableError)
            raise problem from error
