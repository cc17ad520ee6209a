"""The gateway: the council as one model, in OpenAI's, Anthropic's and Ollama's formats, and a chat page at `/`.

`model` is `council` (the router decides) or an expert's name (`farore` or `council/farore`). The route and the verdict
stand in headers and in `afs` of the body. What a request asks for reaches the model, or is refused by name.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from importlib import resources
from typing import Any

import msgspec
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from afs.council import Council
from afs.council.answer import RoutePlan
from afs.council.reply_log import LoggedReply, ReplyLog, RouteRow, Thumb, new_reply_id
from afs.errors import ProviderError
from afs.model_calls.model_chain import watch_health
from afs.serve import chat_answers, chat_streams, messages_api, ollama_api, relay, responses_api
from afs.serve.access import Access, Tokens
from afs.serve.admission import Admission, read_body
from afs.serve.chat_request import Chat, parse_chat
from afs.serve.chat_turn import ChatTurn
from afs.serve.error_responses import Refusal, of_provider
from afs.serve.guarded_app import GuardedApp, refusal_response
from afs.serve.header_timeout import TimedProtocol
from afs.serve.openapi import describe_api
from afs.serve.token_quotas import Spending
from afs.serve.upstream_failover import WireCalls, wire_of
from afs.types import Message, Value

NAME = "council"
_DIALECTS = ("completions", "responses", "messages", "messages/count_tokens", "embeddings")
_BUCKETS = (0.05, 0.25, 1.0, 5.0, 30.0)
Handler = Callable[[Request], Awaitable[Response]]


class Feedback(Value, frozen=True, kw_only=True):
    """What a user says of an answer."""

    id: str
    thumb: Thumb
    note: str = ""


class Gateway:
    """The application's state: the council, who may ask, how many at once, and its counters."""

    def __init__(
        self,
        council: Council,
        *,
        tokens: Tokens | None = None,
        host: str = "127.0.0.1",
        concurrency: int = 64,
        log: ReplyLog | None = None,
        spending: Spending | None = None,
    ) -> None:
        self.council, self.access, self.log = council, Access(tokens or Tokens({}), host=host), log
        self.spending = spending or Spending({})
        self.started = int(time.time())
        self.counts: Counter[str] = Counter()
        self.admission = Admission(concurrency)

    def app(self) -> ASGIApp:
        """The application, with Host and Origin checked before anything else."""
        routes = [Route("/", self.page), Route("/health", self.health), Route("/metrics", self._guarded(self.metrics))]
        routes.append(Route("/openapi.json", self.description))
        for prefix in ("/v1", ""):
            routes += [
                Route(f"{prefix}/models", self._guarded(self.models)),
                Route(f"{prefix}/models/{{name:path}}", self._guarded(self.model)),
                Route(f"{prefix}/chat/completions", self._guarded(self.chat), methods=["POST"]),
                Route(f"{prefix}/feedback", self._guarded(self.feedback), methods=["POST"]),
            ]
            routes += [
                Route(f"{prefix}/{path}", self._guarded(self._relayed(path)), methods=["POST"]) for path in _DIALECTS
            ]
        routes += [
            Route(f"/api/{path}", self._guarded(self._ollama(path)), methods=["POST"]) for path in ollama_api.PATHS
        ]
        routes += [
            Route("/api/tags", self._guarded(self.tags)),
            Route("/api/show", self._guarded(self.show), methods=["POST"]),
            Route("/api/version", self._guarded(self.version)),
        ]
        routes.append(Route("/{path:path}", self.missing, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]))
        return GuardedApp(Starlette(routes=routes), self.access)

    def _guarded(self, handler: Handler) -> Handler:
        """A handler behind the token, whose problems become error objects."""

        async def guarded(request: Request) -> Response:
            began = time.monotonic()
            try:
                request.state.owner = self.access.check_token(request.headers)
                response = await handler(request)
            except Refusal as problem:
                response = _refuse(request, problem)
            except ProviderError as error:
                response = _refuse(request, of_provider(error))
            self._count(request.url.path, response.status_code, time.monotonic() - began)
            return response

        return guarded

    def _count(self, path: str, status: int, seconds: float) -> None:
        self.counts[f'afs_requests_total{{path="{path[:40]}",status="{status}"}}'] += 1
        bucket = next((limit for limit in _BUCKETS if seconds <= limit), "+Inf")
        self.counts[f'afs_seconds_bucket{{le="{bucket}"}}'] += 1

    async def page(self, _: Request) -> Response:
        """The chat page: nothing in it comes from elsewhere."""
        text = (resources.files("afs.serve") / "chat.html").read_text(encoding="utf-8")
        policy = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        return HTMLResponse(text, headers={"content-security-policy": policy, "x-frame-options": "DENY"})

    async def description(self, _: Request) -> Response:
        """What may be sent here, as OpenAPI."""
        return JSONResponse(describe_api())

    async def missing(self, request: Request) -> Response:
        """A path that nobody serves."""
        return refusal_response(Refusal(404, f"there is no {request.method} {request.url.path}", code="not_found"))

    async def health(self, _: Request) -> Response:
        """Alive; the experts' names only where no token is demanded."""
        names = {} if self.access.tokens else {"experts": list(self.council.experts)}
        return JSONResponse({"status": "ok", **names})

    async def metrics(self, _: Request) -> Response:
        """Counters in Prometheus' text form."""
        rows = [f"{name} {n}" for name, n in sorted(self.counts.items())]
        members = {name or "fallback": self.council.is_available(name) for name in self.council.members()}
        rows += [f'afs_expert_up{{expert="{name}"}} {int(is_up)}' for name, is_up in members.items()]
        rows += [f'afs_tokens_today{{owner="{owner}"}} {n}' for owner, n in sorted(self.spending.spent().items())]
        return Response("\n".join([*rows, f"afs_waiting {self.admission.waiting}", ""]), media_type="text/plain")

    def _rows(self) -> list[dict[str, Any]]:
        names = [NAME, *(f"{NAME}/{name}" for name in self.council.experts)]
        return [{"id": name, "object": "model", "created": self.started, "owned_by": "afs"} for name in names]

    async def models(self, _: Request) -> Response:
        """The council and every expert; Codex reads `models`."""
        rows = self._rows()
        return JSONResponse({"object": "list", "data": rows, "models": [{**row, "slug": row["id"]} for row in rows]})

    async def model(self, request: Request) -> Response:
        """One model."""
        name = str(request.path_params["name"])
        self._expert(name)
        return JSONResponse({**self._rows()[0], "id": name})

    def _expert(self, model: str) -> str:
        """The expert a model's name stands for; empty for the council itself."""
        name = model.removeprefix(f"{NAME}/")
        if model == NAME:
            return ""
        if name not in self.council.experts:
            raise Refusal(404, f"no model is called {model!r}", code="model_not_found", param="model")
        return name

    async def feedback(self, request: Request) -> Response:
        """A thumb for an answer, by its id."""
        try:
            given = msgspec.convert(await read_body(request), Feedback)
        except msgspec.ValidationError as error:
            raise Refusal(400, f'want {{"id": …, "thumb": "up" or "down", "note": …}}: {error}') from error
        if self.log is None or self.log.find(given.id) is None:
            raise Refusal(404, f"no answer is remembered as {given.id!r}", code="not_found", param="id")
        reply = await asyncio.to_thread(self.log.rate, given.id, given.thumb, given.note)
        self.counts[f'afs_thumbs_total{{expert="{reply.expert or "fallback"}",thumb="{given.thumb}"}}'] += 1
        return JSONResponse({"id": reply.id, "thumb": given.thumb, "artifact": reply.artifact})

    def _turn(self, chat: Chat, owner: str) -> tuple[ChatTurn, WireCalls | None]:
        self.spending.check(owner)
        override = self._expert(chat.model)
        plan = self.council.plan(chat.messages, override)
        name = "" if chat.is_side_job and self.council.fallback and chat.model == NAME else (plan.names or [""])[0]
        expert, provider = self.council.member(name)
        began = time.monotonic()
        turn = ChatTurn(chat, plan, name, expert, self.council, new_reply_id(), began, override, self._keep, owner)
        self.counts[f'afs_answers_total{{expert="{name or "fallback"}"}}'] += 1
        return turn, None if turn.wants_tools else wire_of(provider)

    def _keep(self, reply: LoggedReply) -> None:
        self.spending.add(reply.owner, reply.usage.input_tokens + reply.usage.output_tokens)
        if self.log is not None:
            self.log.add(reply)

    async def chat(self, request: Request) -> Response:
        """One answer, whole or as a stream."""
        turn, wire = await self._ready_turn(parse_chat(await read_body(request)), request.state.owner)
        if not turn.chat.is_stream:
            body, headers = await self._whole(request, turn, wire)
            return JSONResponse(body, headers=headers)
        stream = await self._stream(turn, wire)
        return StreamingResponse(stream, media_type="text/event-stream", headers=turn.headers())

    async def _as_chat(self, request: Request, path: str, body: dict[str, Any]) -> Response:
        """An answer in another dialect by way of a chat request, so that it is checked like any other."""
        if path == "messages":
            model = body.get("model", NAME)
            chat = parse_chat(messages_api.chat_body(body, NAME if model.startswith("claude") else model))
            chat = chat._replace(is_client_job=messages_api.is_client_job(body))
            form, events = messages_api.message_of, messages_api.message_events
        else:
            chat = parse_chat(responses_api.chat_body(body))
            form, events = responses_api.response_of, responses_api.response_events
        return await self._converted(request, chat, form, events)

    async def _converted(
        self,
        request: Request,
        chat: Chat,
        form: Callable[[dict[str, Any]], dict[str, Any]],
        events: Callable[[AsyncIterator[bytes]], AsyncIterator[bytes]],
        media_type: str = "text/event-stream",
    ) -> Response:
        """The answer to a chat in the form that its dialect gives it."""
        turn, wire = await self._ready_turn(chat, request.state.owner)
        if not turn.chat.is_stream:
            answer, headers = await self._whole(request, turn, wire)
            return JSONResponse(form(answer), headers=headers)
        stream = events(await self._stream(turn, wire))
        return StreamingResponse(stream, media_type=media_type, headers=turn.headers())

    def _ollama(self, path: str) -> Handler:
        """A handler of `/api/chat` or `/api/generate`."""

        async def answer(request: Request) -> Response:
            began = time.monotonic()
            chat = parse_chat(ollama_api.chat_body(path, await read_body(request)))
            lines = ollama_api.answer_lines(path, chat.model, began)
            return await self._converted(request, chat, ollama_api.answer_of(path, began), lines, ollama_api.MEDIA_TYPE)

        return answer

    async def tags(self, _: Request) -> Response:
        """The council and every expert, as Ollama lists them."""
        return JSONResponse(ollama_api.model_rows(self._rows()))

    async def show(self, request: Request) -> Response:
        """One model, as Ollama describes it."""
        self._expert(ollama_api.model_name(await read_body(request)))
        return JSONResponse(ollama_api.model_facts())

    async def version(self, _: Request) -> Response:
        """The version of Ollama whose format is read."""
        return JSONResponse({"version": ollama_api.VERSION})

    async def _ready_turn(self, chat: Chat, owner: str) -> tuple[ChatTurn, WireCalls | None]:
        turn, wire = self._turn(chat, owner)
        return await turn.with_facts() if wire else turn, wire

    async def _whole(
        self, request: Request, turn: ChatTurn, wire: WireCalls | None
    ) -> tuple[dict[str, Any], dict[str, str]]:
        async with self.admission.enter():
            body, verdict = await _unless_gone(request, chat_answers.answer(turn, wire), turn.chat.deadline_s)
        self._count_verdict(body)
        return body, turn.headers(verdict)

    async def _stream(self, turn: ChatTurn, wire: WireCalls | None) -> AsyncIterator[bytes]:
        stack = AsyncExitStack()
        try:
            await stack.enter_async_context(self.admission.enter())
            stream: AsyncIterator[bytes]
            if wire is None:
                stream = _closing(stack, chat_streams.stream_by_call(turn))
            else:
                answer = await wire.open(stack, chat_answers.PATH, chat_answers.wire_body(turn))
                stream = chat_streams.stream_by_wire(turn, stack, answer, wire)
        except BaseException:
            await stack.aclose()
            raise
        if turn.chat.deadline_s:
            stream = chat_streams.until_deadline(stream, turn.chat.deadline_s)
        return stream

    def _count_verdict(self, body: dict[str, Any]) -> None:
        verdict = body["afs"]["verdict"]
        self.counts[f'afs_verdicts_total{{stage="{verdict["stage"] if verdict else "none"}"}}'] += 1

    def _counter(self, owner: str, plan: RoutePlan, name: str) -> Callable[[int], None]:
        """Counts the tokens of an answer in another dialect, and logs its route."""

        def count(tokens: int) -> None:
            self.spending.add(owner, tokens)
            if self.log is not None:
                row = RouteRow(id=new_reply_id(), at=time.time(), question="", route=plan.route, expert=name)
                self.log.add_route(msgspec.structs.replace(row, abstained=plan.abstained, owner=owner, tokens=tokens))

        return count

    def _relayed(self, path: str) -> Handler:
        """A handler that forwards a dialect to the expert's own server."""

        async def relayed(request: Request) -> Response:
            body = await read_body(request)
            model = body.get("model", NAME)
            if not isinstance(model, str):
                raise Refusal(400, "model: want a name", param="model")
            asked = Message(role="user", text=relay.question_of(path, body))
            is_foreign = path.startswith("messages") and model.startswith("claude")
            plan = self.council.plan([asked], "" if is_foreign else self._expert(model))
            name = (plan.names or [""])[0]
            expert, provider = self.council.member(name)
            wire = wire_of(provider)
            if _can_be_chat(path, body) and not (wire and wire.serves(path) and _is_agents(path, body)):
                return await self._as_chat(request, path, body)
            if wire is None or not wire.serves(path):
                raise Refusal(
                    400, f"the model of {name or NAME} does not serve {path}", code="unsupported", param="model"
                )
            self.spending.check(request.state.owner)
            ready = relay.prepare(path, body, expert)
            headers = {"x-expert": name or "fallback"}
            passed = relay.PassedOn(f"{NAME}/{name}" if name else NAME, self._counter(request.state.owner, plan, name))
            async with self.admission.enter():
                return await relay.relay(wire, path, ready, passed, headers)

        return relayed


def _refuse(request: Request, problem: Refusal) -> Response:
    """A problem in the form that the client reads."""
    if request.url.path.startswith("/api/"):
        return JSONResponse(ollama_api.error_body(problem), status_code=problem.status, headers=problem.headers)
    return refusal_response(problem)


def _can_be_chat(path: str, body: dict[str, Any]) -> bool:
    """Whether a chat request can stand for this one."""
    return path == "messages" or (path == "responses" and responses_api.is_plain(body))


def _is_agents(path: str, body: dict[str, Any]) -> bool:
    """Whether an agent asks: its tools' turns, and its own jobs, go to the model's server as they came."""
    return bool(body.get("tools")) or (path == "messages" and messages_api.is_client_job(body))


async def _closing(stack: AsyncExitStack, stream: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    async with stack:
        async for piece in stream:
            yield piece


async def _unless_gone(request: Request, work: Any, deadline_s: float | None = None) -> Any:
    """The result; canceled when the client goes away or the deadline passes first, so that its slot is free."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED, timeout=deadline_s)
        if not task.done() and not gone.done():
            raise Refusal(504, f"no answer within the deadline of {deadline_s:g} s", code="deadline")
        if not task.done():
            raise Refusal(408, "the client went away")
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def run_server(
    council: Council, listener: socket.socket, rules: tuple[Tokens, str, int], log: ReplyLog, spending: Spending
) -> None:
    """Serve on the socket until a signal stops it; the rules are tokens, host, and answers at once."""
    tokens, host, concurrency = rules
    gateway = Gateway(council, tokens=tokens, host=host, concurrency=concurrency, log=log, spending=spending)
    server = uvicorn.Config(
        gateway.app(), http=TimedProtocol, log_level="warning", lifespan="off", timeout_keep_alive=30
    )
    with watch_health(council.members().values()):
        uvicorn.Server(server).run(sockets=[listener])
