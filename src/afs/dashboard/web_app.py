"""The dashboard on a port: pages, live updates, records. Reading changes nothing; the one page that writes is Review.

Nothing is fetched from elsewhere: the policy sent with every page forbids it, and inline scripts with it.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Mapping
from importlib import resources
from urllib.parse import parse_qs, urlsplit

import anyio
import msgspec
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from afs.dashboard.curve_charts import chart_data
from afs.dashboard.curve_downsampling import MOST_POINTS
from afs.dashboard.dashboard_state import Views
from afs.dashboard.live_stream import Renderings, stream_news
from afs.dashboard.login_page import login_page
from afs.dashboard.page_parts import STATIC, Page, render_shell, static_file
from afs.dashboard.pages_by_name import build_page
from afs.dashboard.raw_record_files import note_of_ledger, read_record
from afs.dashboard.review_writing import write_review
from afs.dashboard.run_charts import PAGE_POINTS, run_charts
from afs.dashboard.run_page import missing_page
from afs.dashboard.web_access import WebAccess
from afs.errors import AfsError
from afs.serve.error_responses import Refusal

LARGEST_FORM = 256 << 10
_OPEN = ("/login", "/static/")
"""What is served before a token: the form that asks for it."""


def content_policy() -> str:
    """Only this server's own scripts and styles; nothing from elsewhere, and no page around it."""
    css = resources.files("afs.pages").joinpath("page.css").read_text("utf-8")
    style = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'self'; style-src 'self' 'sha256-{style}'; img-src 'self' data:; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


REPORT_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; script-src 'unsafe-inline'; sandbox allow-scripts"
)
"""A report's page brings its own script: it runs in an origin of its own, without our cookie."""


class WebApp:
    """The pages of one workspace."""

    def __init__(self, views: Views, access: WebAccess) -> None:
        self.views, self.access = views, access
        self.renderings = Renderings(views)
        self.place = views.workspace.root.name

    def app(self) -> ASGIApp:
        """The application behind its checks."""
        routes = [
            Route("/", self.page),
            Route("/latest", self.latest),
            Route("/live", self.live),
            Route("/login", self.login, methods=["GET", "POST"]),
            Route("/logout", self.log_out, methods=["POST"]),
            Route("/static/{name}", self.static),
            Route("/files/{path:path}", self.record),
            Route("/data/run-{run}.json", self.points),
            Route("/review/{campaign}", self.review, methods=["POST"]),
            Route("/{name}", self.page),
        ]
        handlers = {404: self.not_found, 405: self.not_found, Refusal: self.refused}
        return _Gate(Starlette(routes=routes, exception_handlers=handlers), self.access)

    async def page(self, request: Request) -> Response:
        """A page by its name."""
        name = str(request.path_params.get("name", "index.html"))
        page = await anyio.to_thread.run_sync(self._build, name, request)
        if page is None:
            return self._html(missing_page(name, f"There is no page called {name}."), 404)
        return self._html(page)

    def _build(self, name: str, request: Request) -> Page | None:
        query = _query(str(request.url.query))
        session = _session(self.access, request)
        if name.startswith("review-") and self.access.owner(request.headers, session):
            self.views.look()
            return build_page(self.views, name, query, self.access.form_key(session))
        return self.renderings.page(name, query)

    def _html(self, page: Page, status: int = 200) -> Response:
        return HTMLResponse(render_shell(page, self.place, is_live=status == 200), status_code=status)

    async def latest(self, _: Request) -> Response:
        """The page of the latest run."""
        await anyio.to_thread.run_sync(self.views.look)
        runs = self.views.index.runs
        return RedirectResponse(f"run-{runs[0].id}.html" if runs else "index.html", status_code=302)

    async def live(self, request: Request) -> Response:
        """Server-sent events of a page."""
        last = request.headers.get("last-event-id", "")
        found = re.fullmatch(r"(\d{1,15})(?:\.(\d{1,9}))?", last or request.query_params.get("step", "0"))
        after, rewinds = (int(found[1]), int(found[2]) if found[2] else None) if found else (0, None)
        name = request.query_params.get("page", "index.html")
        query = _query(request.query_params.get("search", "").removeprefix("?"))
        stream = stream_news(self.renderings, name, query, after, rewinds)
        return StreamingResponse(stream, media_type="text/event-stream")

    async def points(self, request: Request) -> Response:
        """The curves of a run between two steps, at most 4,000 points each."""
        content = await anyio.to_thread.run_sync(self._points, request.path_params["run"], dict(request.query_params))
        if content is None:
            return PlainTextResponse("no such run", status_code=404)
        return Response(content, media_type="application/json")

    def _points(self, run_id: str, query: Mapping[str, str]) -> bytes | None:
        self.views.look()
        run = self.views.run(run_id)
        if run is None:
            return None
        first, last = _whole(query.get("first")), _whole(query.get("last"))
        most = PAGE_POINTS if first is None and last is None else MOST_POINTS
        charts = run_charts(run.track, first=first, last=last, most=most)
        return msgspec.json.encode({"charts": [chart_data(chart) for chart in charts]})

    async def static(self, request: Request) -> Response:
        """A packaged file."""
        name = request.path_params["name"]
        if name not in STATIC:
            return PlainTextResponse("no such file", status_code=404)
        return Response(static_file(name), media_type=STATIC[name], headers={"cache-control": "max-age=3600"})

    async def record(self, request: Request) -> Response:
        """A record as it is."""
        path = request.path_params["path"]
        if note := note_of_ledger(path):
            return PlainTextResponse(note)
        at = _whole(request.query_params.get("at"))
        found = await anyio.to_thread.run_sync(read_record, self.views.workspace.root, path, at)
        if found is None:
            return PlainTextResponse("no such record", status_code=404)
        headers = {"content-security-policy": REPORT_POLICY} if found.kind == "text/html" else {}
        return Response(found.content, media_type=found.kind, headers=headers)

    async def login(self, request: Request) -> Response:
        """The form that takes a token, and what it gives for one."""
        back = request.query_params.get("to", "index.html")
        back = back if re.fullmatch(r"[A-Za-z0-9._-]{1,200}", back) else "index.html"
        if request.method == "GET":
            return self._html(login_page(self.access, back))
        self._same_place(request)
        form = await _form(request)
        session = self.access.log_in(form.get("token", ""))
        if session is None:
            return self._html(login_page(self.access, back, problem="This token is not known."), 401)
        response = RedirectResponse(back, status_code=303)
        name = self.access.cookie_name(request.headers.get("host", ""))
        response.set_cookie(name, session, httponly=True, samesite="strict", path="/")
        return response

    def _same_place(self, request: Request) -> None:
        origin = request.headers.get("origin", "")
        if origin and urlsplit(origin).netloc != request.headers.get("host", ""):
            raise Refusal(403, f"pages of {origin!r} may not log in here", code="foreign_origin")

    async def log_out(self, request: Request) -> Response:
        """End the session."""
        session = _session(self.access, request)
        self.access.check_write(request.headers, session, (await _form(request)).get("key", ""))
        self.access.log_out(session)
        return RedirectResponse("index.html", status_code=303)

    async def review(self, request: Request) -> Response:
        """Append one decision of a person."""
        form = await _form(request)
        session = _session(self.access, request)
        owner = self.access.check_write(request.headers, session, form.get("key", ""))
        name = request.path_params["campaign"]
        try:
            await anyio.to_thread.run_sync(write_review, self.views, name, form, owner)
        except AfsError as error:
            raise Refusal(400, str(error)) from error
        return RedirectResponse(f"../review-{name}.html", status_code=303)

    async def refused(self, _: Request, problem: Exception) -> Response:
        """A refusal, in words."""
        assert isinstance(problem, Refusal)
        return PlainTextResponse(problem.message + "\n", status_code=problem.status)

    async def not_found(self, request: Request, _: Exception) -> Response:
        """A path that nobody serves."""
        return self._html(missing_page("missing", f"There is nothing at {request.url.path}."), 404)


def _query(text: str) -> dict[str, list[str]]:
    return parse_qs(text, max_num_fields=50)


def _whole(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch(r"-?\d{1,15}", text) else None


def _session(access: WebAccess, request: Request) -> str:
    return request.cookies.get(access.cookie_name(request.headers.get("host", "")), "")


async def _form(request: Request) -> dict[str, str]:
    """The fields of a posted form."""
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > LARGEST_FORM:
            raise Refusal(413, "the form is too large")
    fields = parse_qs(body.decode("utf-8", "replace"), keep_blank_values=True, max_num_fields=50)
    return {name: values[0] for name, values in fields.items()}


class _Gate:
    """Checks of place and token before every path, and the headers of every answer."""

    def __init__(self, app: ASGIApp, access: WebAccess) -> None:
        self._app, self._access, self._policy = app, access, content_policy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        request = Request(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers(message)]
            await send(message)

        try:
            self._access.check_place(request.headers)
            if not self._may_pass(request):
                raise Refusal(401, "this dashboard needs a token", code="invalid_api_key")
            await self._app(scope, receive, guarded)
        except Refusal as problem:
            await self._refuse(request, problem)(scope, receive, guarded)

    def _may_pass(self, request: Request) -> bool:
        if request.url.path.startswith(_OPEN):
            return True
        return self._access.may_read(request.headers, _session(self._access, request))

    def _refuse(self, request: Request, problem: Refusal) -> Response:
        wants_page = "text/html" in request.headers.get("accept", "") and request.method == "GET"
        if problem.status == 401 and wants_page:
            return RedirectResponse("/login", status_code=303)
        return PlainTextResponse(problem.message + "\n", status_code=problem.status)

    def _headers(self, message: Message) -> list[tuple[bytes, bytes]]:
        known = Headers(raw=message["headers"])
        wanted = {
            "content-security-policy": self._policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "same-origin",
            "cross-origin-resource-policy": "same-origin",
            "cache-control": "no-store",
        }
        return [(name.encode(), value.encode()) for name, value in wanted.items() if name not in known]
