"""Who may ask: tokens, hashed at rest; on this machine only, without any; pages of other sites, never.

A page in a browser can reach a port of this machine under a name of its own (DNS rebinding), or send it a form. So the
Host of a request must be a name of this machine while we listen here only, and an Origin must be this server or a page
of this machine.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from afs import jsonl
from afs.errors import DataError, UsageError
from afs.providers.endpoint import find_secret
from afs.serve.error_responses import Refusal
from afs.types import Value

_FILE = "tokens.json"


class StoredToken(Value, frozen=True, kw_only=True):
    """What of a token is kept."""

    hash: str
    daily_tokens: int | None = None
    """Model tokens it may use a day; none: no limit."""


class Tokens:
    """Named tokens of a workspace: their SHA-256 only, compared in constant time."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        self._hashes = dict(hashes)

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def owner(self, token: str) -> str | None:
        """Whose token this is; None for nobody's. Every stored one is compared, so that time tells nothing."""
        given, found = hash_token(token), None
        for name, stored in self._hashes.items():
            if hmac.compare_digest(given, stored):
                found = name
        return found


NOBODY = Tokens({})
"""No token is demanded."""


def hash_token(token: str) -> str:
    """What of a token is stored."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def read_tokens(folder: Path) -> dict[str, StoredToken]:
    """The stored tokens of a workspace by name; a bare hash is one without a limit."""
    try:
        stored = msgspec.json.decode((folder / _FILE).read_bytes(), type=dict[str, str | StoredToken])
        return {name: StoredToken(hash=one) if isinstance(one, str) else one for name, one in stored.items()}
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DataError(f"{folder / _FILE}: {error}") from error


def collect_tokens(folder: Path | None, variable: str = "") -> dict[str, StoredToken]:
    """The tokens of a workspace, and the one in an environment variable, under the variable's name."""
    stored = read_tokens(folder) if folder else {}
    if variable and (value := find_secret(variable)):
        stored[variable] = StoredToken(hash=hash_token(value))
    return stored


def hashes_of(stored: Mapping[str, StoredToken]) -> dict[str, str]:
    """Name -> hash."""
    return {name: one.hash for name, one in stored.items()}


def add_token(folder: Path, name: str, daily_tokens: int | None = None) -> str:
    """Draw a token, store its hash under a name, and give the token, which is shown this once."""
    token = f"afs-{secrets.token_urlsafe(32)}"
    stored = read_tokens(folder) | {name: StoredToken(hash=hash_token(token), daily_tokens=daily_tokens)}
    jsonl.replace(folder / _FILE, msgspec.json.encode(stored))
    (folder / _FILE).chmod(0o600)
    return token


def is_loopback(host: str) -> bool:
    """Whether a host is this machine itself."""
    if host in ("localhost", ""):
        return host == "localhost"
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.endswith(".localhost")


def demand_token(host: str, tokens: Tokens) -> None:
    """Refuse to listen beyond this machine without a token."""
    if not tokens and not is_loopback(host):
        raise UsageError(
            f"--host {host}: beyond this machine every request needs a token; add one with `afs serve --add-token NAME`"
        )


class Access:
    """The rules of one listening address."""

    def __init__(self, tokens: Tokens, *, host: str = "127.0.0.1") -> None:
        self.tokens, self._is_local = tokens, is_loopback(host)

    def check_place(self, headers: Mapping[str, str]) -> None:
        """Refuse a foreign Host or Origin."""
        host = headers.get("host", "")
        if self._is_local and not is_loopback(_hostname(host)):
            raise Refusal(403, f"this server answers for this machine only, not for {host!r}", code="foreign_host")
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != host and not is_loopback(_hostname(urlsplit(origin).netloc)):
            raise Refusal(403, f"pages of {origin!r} may not ask this server", code="foreign_origin")

    def check_token(self, headers: Mapping[str, str]) -> str:
        """The name of the token's owner; both headers in use are read."""
        if not self.tokens:
            return ""
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = bearer.strip() if kind.lower() == "bearer" else headers.get("x-api-key", "")
        owner = self.tokens.owner(given) if given else None
        if owner is None:
            raise Refusal(401, "the token is missing or wrong", code="invalid_api_key")
        return owner


def _hostname(netloc: str) -> str:
    if netloc.startswith("["):
        return netloc.partition("]")[0] + "]"
    return netloc.rpartition(":")[0] if ":" in netloc else netloc
