"""Requests to a model's own server, with what every request to it must carry; an answer of it, whole or as it comes.

Before the first byte of an answer another machine with the model is tried; after it the stream ends with an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any

import msgspec

from afs.errors import ProviderError
from afs.model_calls.canary import WrongModelError
from afs.providers.base import LentWire, Provider, Wire, WireLender, WireProvider
from afs.providers.failures import CallError
from afs.providers.model_lists import is_same_model
from afs.serve import upstream_client
from afs.serve.error_responses import Refusal, of_provider, of_upstream

_ASK_AGAIN = (429, 500, 502, 503, 504)
"""Statuses after which another machine may do better."""


class WireCalls:
    """A model whose requests are passed on."""

    def __init__(self, provider: WireProvider | WireLender) -> None:
        self._provider = provider

    async def open(self, stack: AsyncExitStack, path: str, body: Mapping[str, Any]) -> upstream_client.UpstreamAnswer:
        """A server's answer to a request; raises Refusal when no machine gives one."""
        failed: dict[str, Refusal] = {}
        while True:
            try:
                lent = await self._lend(failed)
            except ProviderError as error:
                raise (list(failed.values()) or [of_provider(error)])[-1] from error
            inner = AsyncExitStack()
            try:
                inner.push(_Settled(lent))
                answer = await _open(inner, lent.wire, path, body)
            except Refusal as problem:
                await inner.__aexit__(CallError, _of_refusal(problem), None)
                if problem.status not in _ASK_AGAIN:
                    raise
                failed[lent.name] = problem
                continue
            except ProviderError as error:
                await inner.__aexit__(type(error), error, None)
                failed[lent.name] = of_provider(error)
                continue
            except BaseException:
                await inner.aclose()
                raise
            await stack.enter_async_context(inner)
            return answer

    async def _lend(self, failed: Mapping[str, Refusal]) -> LentWire:
        provider = self._provider
        if not isinstance(provider, WireLender):
            if failed:
                raise CallError("busy", f"{provider.name} failed")
            return LentWire(provider.wire(), provider.name, lambda _: None)
        while True:
            lent, wait = await asyncio.to_thread(provider.lend_wire, tuple(failed))
            if lent is not None:
                return lent
            await asyncio.sleep(wait)

    async def fetch(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The whole answer as JSON."""
        async with AsyncExitStack() as stack:
            answer = await self.open(stack, path, body)
            return _decode(await answer.read())

    def serves(self, path: str) -> bool:
        """Whether its servers know a dialect."""
        provider = self._provider
        if isinstance(provider, WireProvider):
            return path in provider.wire().dialects
        targets = getattr(provider, "targets", ())
        found = [t.provider.wire().dialects for t in targets if isinstance(t.provider, WireProvider)]
        return any(path in dialects for dialects in found)


class _Settled:
    """Says how a request ended to whoever lent the address."""

    def __init__(self, lent: LentWire) -> None:
        self._lent = lent

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._lent.settle(error if isinstance(error, ProviderError) else None)


async def _open(
    stack: AsyncExitStack, wire: Wire, path: str, body: Mapping[str, Any]
) -> upstream_client.UpstreamAnswer:
    content = msgspec.json.encode({**body, **wire.fields})
    post = upstream_client.post(f"{wire.url}/{path}", content, wire.headers, wire.timeout_s)
    answer = await stack.enter_async_context(post)
    if answer.status != 200:
        raise of_upstream(answer.status, await answer.read())
    if not body.get("stream"):
        first = await answer.read()
        _check_first(_decode(first), wire.model)
        return answer._replace(first=first)
    first = b""
    async for piece in answer.pieces:
        first += piece
        if b"\n\n" in first or b"\r\n\r\n" in first:
            break
    start = first.find(b"{")
    with suppress(msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        if start >= 0:
            _check_first(msgspec.json.decode(first[start:].split(b"\n")[0], type=dict[str, Any]), wire.model)
    return answer._replace(first=first)


def _check_first(seen: Mapping[str, Any], model: str) -> None:
    """An error or another model's name in the first event, which nobody has seen yet."""
    if seen.get("error"):
        raise of_upstream(502, msgspec.json.encode(seen))
    for table in (seen, seen.get("message"), seen.get("response")):
        answered = table.get("model") if isinstance(table, dict) else None
        if model and isinstance(answered, str) and not is_same_model(model, answered):
            raise WrongModelError(model, answered)


def _of_refusal(problem: Refusal) -> CallError:
    """What a server's answer says of the server: nothing, when the request was at fault."""
    return CallError("busy" if problem.status in _ASK_AGAIN else "task", problem.message)


def _decode(raw: bytes) -> dict[str, Any]:
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        raise Refusal(502, "the model's server sent no JSON", code="upstream_error") from error


def wire_of(provider: Provider) -> WireCalls | None:
    """A model whose requests can be passed on; None for one that runs in this process."""
    if isinstance(provider, WireProvider):
        return WireCalls(provider)
    if not isinstance(provider, WireLender):
        return None
    targets = getattr(provider, "targets", ())
    return WireCalls(provider) if any(isinstance(t.provider, WireProvider) for t in targets) else None
