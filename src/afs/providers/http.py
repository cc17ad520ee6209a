"""What the providers behind HTTP share: a client, keys from the environment, and the classes of failure.

Nothing is retried here: retries, budgets and fallbacks wrap a provider (`limits.py`) and decide by the class of error.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import httpx2
import msgspec

from afs.config import Config, decode
from afs.errors import ConfigError, ProviderError

Kind = Literal["rate", "spent", "busy", "unusable", "bad"]
"""rate: wait and retry; spent: no quota left; busy: retry a little; unusable: never retry; bad: no usable answer."""


class CallError(ProviderError):
    """A failed call, with its class and the wait the server asked for."""

    def __init__(self, kind: Kind, message: str, *, wait_s: float | None = None) -> None:
        super().__init__(message)
        self.kind, self.wait_s = kind, wait_s


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


def endpoint(options: Mapping[str, object], where: str) -> Endpoint:
    """Decode a provider's options."""
    known = {field.name for field in msgspec.structs.fields(Endpoint)}
    return decode(Endpoint, {key: value for key, value in options.items() if key in known}, prefix=where)


def secret(name: str, provider: str) -> str:
    """A key from the environment, or from the secrets file that `AFS_SECRETS` names; it is never written anywhere."""
    if value := os.environ.get(name):
        return value.strip()
    if place := os.environ.get("AFS_SECRETS"):
        for line in Path(place).read_text().splitlines():
            key, _, value = line.partition("=")
            if key.strip().removeprefix("export ") == name:
                return value.strip().strip("'\"")
    raise ConfigError(name, f"not set; {provider} needs a key in this environment variable")


class Http:
    """Posts JSON and reads JSON, turning every failure into a CallError of the right class."""

    def __init__(self, name: str, base_url: str, headers: Mapping[str, str], timeout_s: float) -> None:
        self.name = name
        limits = httpx2.Limits(max_connections=64, max_keepalive_connections=64)
        timeout = httpx2.Timeout(timeout_s, connect=min(10.0, timeout_s))
        self._client = httpx2.Client(base_url=base_url, headers=dict(headers), timeout=timeout, limits=limits)
        weakref.finalize(self, self._client.close)

    def post(self, path: str, body: Mapping[str, object]) -> tuple[dict[str, Any], float]:
        """(answer, seconds)."""
        started = time.monotonic()
        try:
            response = self._client.post(path, json=dict(body))
        except httpx2.TimeoutException as error:
            raise CallError("busy", f"{self.name}: no answer in time ({type(error).__name__})") from error
        except httpx2.HTTPError as error:
            raise CallError("busy", f"{self.name}: {str(error) or type(error).__name__}") from error
        return self._read(response), time.monotonic() - started

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _read(self, response: httpx2.Response) -> dict[str, Any]:
        try:
            body = msgspec.json.decode(response.content)
        except msgspec.DecodeError as error:
            if response.status_code == 200:
                start = response.text[:60].strip()
                raise CallError("bad", f"{self.name}: the answer is not JSON but {start!r}") from error
            body = {}
        table = body if isinstance(body, dict) else {}
        inner = table.get("error")
        if response.status_code != 200 or inner:
            raise failure(self.name, response.status_code, inner, response.headers)
        return table


def failure(name: str, status: int, error: object, headers: Mapping[str, str]) -> CallError:
    """The class of a failed call, by status, headers and the provider's own words."""
    table = error if isinstance(error, dict) else {}
    message = str(table.get("message") or error or f"HTTP {status}")[:300]
    codes = {str(table.get(key, "")) for key in ("code", "type", "status")}
    wait = _wait(headers, table)
    inner = next((int(c) for c in codes if c.isdigit()), status)
    text = f"{name}: {message} (HTTP {status})"
    if codes & {"insufficient_quota", "enforced_spend_limit_reached", "billing_error"} or inner == 402:
        return CallError("spent", text)
    if inner == 429 or "RESOURCE_EXHAUSTED" in codes:
        return CallError("spent" if wait is None and _per_day(table) else "rate", text, wait_s=wait)
    if inner >= 500 or inner == 408 or "overloaded_error" in codes:
        return CallError("busy", text, wait_s=wait)
    return CallError("unusable", text)


def _wait(headers: Mapping[str, str], table: Mapping[str, Any]) -> float | None:
    try:
        if value := headers.get("retry-after-ms"):
            return float(value) / 1000
        if value := headers.get("retry-after"):
            return float(value)
    except ValueError:
        return None
    details = table.get("details")
    for detail in details if isinstance(details, list) else []:
        delay = detail.get("retryDelay") if isinstance(detail, dict) else None
        if isinstance(delay, str) and delay.endswith("s"):
            return float(delay[:-1])
    return None


def _per_day(table: Mapping[str, Any]) -> bool:
    return "PerDay" in str(table.get("details", ""))
