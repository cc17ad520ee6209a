"""Who may look and who may write: this machine without a token, others with one; writing needs a token everywhere.

The token travels in a header or is exchanged for a cookie by a form, never in an address. A form carries a key of its
session, and its Origin must be this server: what another site or port makes the browser send does not count.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from urllib.parse import urlsplit

from afs.serve.access import Access, Tokens, is_loopback
from afs.serve.error_responses import Refusal

_MOST_SESSIONS = 1_000


class WebAccess:
    """The rules of one dashboard."""

    def __init__(self, tokens: Tokens, host: str) -> None:
        self.tokens, self.is_local = tokens, is_loopback(host)
        self._access = Access(tokens, host=host)
        self._key = secrets.token_bytes(32)
        self._sessions: dict[str, str] = {}

    def check_place(self, headers: Mapping[str, str]) -> None:
        """Refuse a foreign Host or Origin."""
        self._access.check_place(headers)

    def cookie_name(self, host: str) -> str:
        """One per port: cookies of a machine's ports are shared."""
        return f"afs-{urlsplit('//' + host).port or 80}"

    def log_in(self, token: str) -> str | None:
        """A session for a token; None for a wrong one."""
        owner = self.tokens.owner(token) if self.tokens else None
        if owner is None:
            return None
        while len(self._sessions) >= _MOST_SESSIONS:
            self._sessions.pop(next(iter(self._sessions)))
        session = secrets.token_urlsafe(32)
        self._sessions[session] = owner
        return session

    def log_out(self, session: str) -> None:
        """Forget a session."""
        self._sessions.pop(session, None)

    def owner(self, headers: Mapping[str, str], session: str) -> str:
        """Who asks: the name of a token's owner; empty for nobody."""
        if self._has_header(headers):
            return self._access.check_token(headers) if self.tokens else ""
        return self._sessions.get(session, "")

    def may_read(self, headers: Mapping[str, str], session: str) -> bool:
        """On this machine everybody; elsewhere whoever has a token."""
        return self.is_local or bool(self.owner(headers, session))

    def form_key(self, session: str) -> str:
        """What a form of this session must carry."""
        return hmac.new(self._key, session.encode(), hashlib.sha256).hexdigest()

    def check_write(self, headers: Mapping[str, str], session: str, key: str) -> str:
        """The owner who writes; refused without a token, from another page, or without the form's key."""
        owner = self.owner(headers, session)
        if not owner:
            raise Refusal(401, "writing needs a token: log in, or send it in a header", code="invalid_api_key")
        origin = headers.get("origin", "")
        if origin and urlsplit(origin).netloc != headers.get("host", ""):
            raise Refusal(403, f"pages of {origin!r} may not write here", code="foreign_origin")
        if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refusal(403, "only pages of this server may write here", code="foreign_origin")
        if not self._has_header(headers) and not hmac.compare_digest(key, self.form_key(session)):
            raise Refusal(403, "the form is not of this session: load the page again", code="stale_form")
        return owner

    def _has_header(self, headers: Mapping[str, str]) -> bool:
        return bool(headers.get("authorization") or headers.get("x-api-key"))
