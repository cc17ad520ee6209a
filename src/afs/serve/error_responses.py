"""Errors as OpenAI's clients read them: message, type, code and the field at fault."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from afs.errors import ProviderError
from afs.model_calls.canary import WrongModelError
from afs.providers.failures import CallError
from afs.serve.upstream_client import UpstreamTimeout

_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
    413: "invalid_request_error",
    429: "rate_limit_error",
}


class Refusal(Exception):  # noqa: N818  it is an answer, not a failure of ours
    """A request that gets an error for an answer."""

    def __init__(
        self, status: int, message: str, *, code: str = "", param: str = "", headers: Mapping[str, str] = {}
    ) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.param = status, message, code, param
        self.headers = dict(headers)

    def body(self) -> dict[str, object]:
        """The error object."""
        kind = _TYPES.get(self.status, "upstream_error" if self.status in (502, 503, 504) else "server_error")
        error = {"message": self.message, "type": kind, "code": self.code or None, "param": self.param or None}
        return {"error": error}


def of_provider(error: ProviderError) -> Refusal:
    """What became of a call to a model, as our answer."""
    if isinstance(error, WrongModelError):
        return Refusal(502, str(error), code="wrong_model")
    if isinstance(error, CallError):
        code = "rate_limited" if error.kind in ("rate", "spent") else "model_unavailable"
        return Refusal(503, str(error), code=code, headers={"retry-after": f"{max(2.0, error.wait_s or 0):.0f}"})
    if isinstance(error, UpstreamTimeout):
        return Refusal(504, str(error), code="upstream_timeout")
    return Refusal(502, str(error), code="upstream_error")


def of_upstream(status: int, body: bytes) -> Refusal:
    """What a model's server answered, as our own answer."""
    try:
        error = msgspec.json.decode(body).get("error") or {}
        message = str(error.get("message") or body[:200].decode("utf-8", "replace"))
        kind = str(error.get("type") or "")
    except (msgspec.DecodeError, UnicodeDecodeError, AttributeError):
        message, kind = body[:200].decode("utf-8", "replace"), ""
    if "exceed_context" in kind or "context size" in message or "context length" in message:
        return Refusal(400, message, code="context_length_exceeded", param="messages")
    if status in (400, 404, 413, 422, 501):
        return Refusal(400, message, code="unsupported" if status == 501 else "invalid_request")
    if status in (429, 503):
        return Refusal(429, message, code="busy", headers={"retry-after": "2"})
    return Refusal(502, f"the model's server: {message}", code="upstream_error")
