"""An application behind its rules: foreign Hosts and Origins are refused on every path, and tokens may be demanded."""

from __future__ import annotations

from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from afs.serve.access import Access
from afs.serve.error_responses import Refusal


class GuardedApp:
    """Checks Host and Origin of every request, and with `wants_token` its token."""

    def __init__(self, app: ASGIApp, access: Access, *, wants_token: bool = False) -> None:
        self._app, self._access, self._wants_token = app, access, wants_token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it."""
        if scope["type"] == "http":
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            try:
                self._access.check_place(headers)
                if self._wants_token:
                    self._access.check_token(headers)
            except Refusal as problem:
                await refusal_response(problem)(scope, receive, send)
                return
        await self._app(scope, receive, send)


def refusal_response(problem: Refusal) -> Response:
    """A problem as a response."""
    return JSONResponse(problem.body(), status_code=problem.status, headers=problem.headers)
