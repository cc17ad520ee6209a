"""Whatever JSON a client sends, the gateway gives an answer or an error object below 500, and stays up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.serve.chat_backend import ChatBackend, Served, running

from afs.council.answer import Council
from afs.council.keyword_router import open_keyword_router
from afs.council.reply_log import ReplyLog
from afs.providers import provider
from afs.serve.gateway import Gateway
from afs.types import Expert
from afs.workspace import Workspace

PATHS = ("chat/completions", "completions", "responses", "messages", "messages/count_tokens", "embeddings", "feedback")
FIELDS = (
    "model", "messages", "stream", "stream_options", "afs", "temperature", "top_p", "n", "stop", "seed", "max_tokens",
    "max_completion_tokens", "tools", "tool_choice", "response_format", "input", "prompt", "system", "id", "thumb", "note",
    "previous_response_id", "user", "metadata", "instructions", "functions", "logit_bias",
)  # fmt: skip
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=6,
)
TURN = st.fixed_dictionaries(
    {},
    optional={
        "role": st.sampled_from(["user", "assistant", "system", "tool", "developer"]) | JSON,
        "content": st.text(max_size=8)
        | st.lists(st.fixed_dictionaries({"type": JSON, "text": JSON}), max_size=2)
        | JSON,
        "tool_calls": st.lists(st.fixed_dictionaries({"id": JSON, "function": JSON}), max_size=2) | JSON,
        "tool_call_id": JSON,
    },
)
OWN = st.fixed_dictionaries({}, optional={"verify": JSON, "task": JSON, "deadline_s": JSON, "x": JSON})
BODY = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(FIELDS, JSON),
        "model": st.sampled_from(["council", "din", "council/echo", "echo", "claude-x"]) | JSON,
        "messages": st.lists(TURN, max_size=3) | JSON,
        "afs": OWN | JSON,
        "stream": st.booleans() | JSON,
    },
)
GOOD: dict[str, Any] = {"model": "council", "messages": [{"role": "user", "content": "a routine"}]}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx2.Client]:
    log = ReplyLog(Workspace.create(tmp_path_factory.mktemp("fuzz") / "workspace"))
    with running(ChatBackend("one").app()) as url:
        seats = {
            "din": (Expert(name="din", model="d"), Served(url)),
            "echo": (Expert(name="echo", model="e"), provider("echo:x")),
        }
        council = Council(seats, open_keyword_router("triforce"), provider("echo:base"))
        with (
            running(Gateway(council, log=log).app()) as gateway,
            httpx2.Client(base_url=gateway, timeout=30) as one,
        ):
            yield one


def check(answer: httpx2.Response) -> None:
    assert answer.status_code < 500, answer.text[:500]
    if answer.status_code >= 400:
        error = answer.json()["error"]
        assert set(error) == {"message", "type", "code", "param"} and error["message"]


@settings(max_examples=120, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(path=st.sampled_from(PATHS), body=BODY | JSON)
def test_any_body(client: httpx2.Client, path: str, body: object) -> None:
    check(client.post(f"/v1/{path}", json=body))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(field=st.sampled_from(FIELDS), value=JSON | OWN | st.lists(TURN, max_size=2))
def test_a_good_body_with_one_field_replaced(client: httpx2.Client, field: str, value: object) -> None:
    check(client.post("/v1/chat/completions", json={**GOOD, field: value}))


@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(
    raw=st.binary(max_size=60),
    method=st.sampled_from(["GET", "PUT", "POST", "DELETE", "PATCH"]),
    path=st.text(max_size=12),
)
def test_any_bytes_method_and_path(client: httpx2.Client, raw: bytes, method: str, path: str) -> None:
    check(client.post("/v1/chat/completions", content=raw))
    answer = client.request(method, "/v1/models/" + "".join(c for c in path if c.isalnum()))
    assert answer.status_code < 500


def test_the_description_names_what_is_served(client: httpx2.Client) -> None:
    described = client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        for method in methods:
            answer = client.request(method, path.replace("{name}", "din"), json={})
            assert answer.status_code != 405 and '"not_found"' not in answer.text, path
    assert {f"/v1/{path}" for path in PATHS} <= set(described["paths"])


def test_deep_json(client: httpx2.Client) -> None:
    for depth in (500, 5000, 100_000):
        deep = '{"messages": ' + "[" * depth + "]" * depth + "}"
        check(client.post("/v1/chat/completions", content=deep.encode()))
    assert client.get("/health").json()["status"] == "ok"
