"""Requests to a model's own server, with what every request to it must carry; an answer of it, whole or as it comes."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from afs.providers.base import Provider, Wire, WireProvider
from afs.serve import upstream
from afs.serve.problems import Refusal, of_upstream

TIMEOUT_S = 600.0


async def open_answer(stack: AsyncExitStack, wire: Wire, path: str, body: Mapping[str, Any]) -> upstream.UpstreamAnswer:
    """A server's answer to a request; raises Refusal for anything but 200."""
    content = msgspec.json.encode({**body, **wire.fields})
    answer = await stack.enter_async_context(upstream.post(f"{wire.url}/{path}", content, wire.headers, TIMEOUT_S))
    if answer.status != 200:
        raise of_upstream(answer.status, await answer.read())
    return answer


async def fetch(wire: Wire, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """The whole answer as JSON."""
    async with AsyncExitStack() as stack:
        answer = await open_answer(stack, wire, path, body)
        raw = await answer.read()
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refusal(502, "the model's server sent no JSON", code="upstream_error") from error


def wire_of(provider: Provider) -> Wire | None:
    """The address of a model's own server; None without one."""
    return provider.wire() if isinstance(provider, WireProvider) else None
