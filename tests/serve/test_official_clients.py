"""The providers' own Python clients against a running gateway: what they ask arrives, what they get they can read."""

from __future__ import annotations

import base64
from collections.abc import Iterator

import anthropic
import ollama
import openai
import pytest
from tests.serve.chat_backend import ChatBackend, Served, running

from afs.council import Council
from afs.council.reply_check import ReplyChecker
from afs.serve.gateway import Gateway
from afs.types import Expert

QUESTION = "Write 65816 code that stores $12 at $10."
REPLY = "Here it is:\n```asm\nlda #$12\nsta $10\nrts\n```\nDone."
TURNS = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def backend() -> ChatBackend:
    return ChatBackend(REPLY)


@pytest.fixture(scope="module")
def address(backend: ChatBackend) -> Iterator[str]:
    checker = ReplyChecker()
    with running(backend.app()) as url:
        seats = {"nayru": (Expert(name="nayru", model="n", domain="snes", system="be brief"), Served(url))}
        with running(Gateway(Council(seats, None, None, checker)).app()) as gateway:
            yield gateway
    checker.close()


@pytest.fixture
def claude(address: str) -> Iterator[anthropic.Anthropic]:
    with anthropic.Anthropic(base_url=address, api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
def gpt(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="x", max_retries=0) as client:
        yield client


@pytest.fixture
def llama(address: str) -> Iterator[ollama.Client]:
    client = ollama.Client(host=address)
    yield client
    client._client.close()


def test_anthropics_client(claude: anthropic.Anthropic, backend: ChatBackend) -> None:
    message = claude.messages.create(
        model="nayru",
        max_tokens=64,
        system="short",
        stop_sequences=["END"],
        messages=[{"role": "user", "content": QUESTION}],
    )
    assert message.content[0].type == "text" and message.content[0].text.startswith(REPLY)
    assert (message.stop_reason, message.role) == ("end_turn", "assistant") and message.usage.output_tokens > 0
    assert backend.bodies[-1]["stop"] == ["END"] and backend.bodies[-1]["max_tokens"] == 64
    with claude.messages.stream(model="nayru", max_tokens=64, messages=[{"role": "user", "content": QUESTION}]) as got:
        text = "".join(got.text_stream)
        assert text.startswith(REPLY) and got.get_final_message().stop_reason == "end_turn"
    with pytest.raises(anthropic.NotFoundError, match="no model is called 'nobody'"):
        claude.messages.create(model="nobody", max_tokens=9, messages=[{"role": "user", "content": "hi"}])
    with pytest.raises(anthropic.BadRequestError, match="mcp_servers"):
        claude.messages.create(
            model="nayru", max_tokens=9, messages=[{"role": "user", "content": "hi"}],
            extra_body={"mcp_servers": [{"url": "x"}]},
        )  # fmt: skip


def test_openais_client(gpt: openai.OpenAI) -> None:
    assert [model.id for model in gpt.models.list()] == ["council", "council/nayru"]
    assert gpt.models.retrieve("council").id == "council"
    whole = gpt.chat.completions.create(model="nayru", messages=[{"role": "user", "content": QUESTION}])
    assert (whole.choices[0].message.content or "").startswith(REPLY)
    parts = gpt.chat.completions.create(model="nayru", stream=True, messages=[{"role": "user", "content": QUESTION}])
    assert "".join(part.choices[0].delta.content or "" for part in parts if part.choices).startswith(REPLY)
    assert gpt.responses.create(model="nayru", input=QUESTION).output_text.startswith(REPLY)
    with pytest.raises(openai.NotFoundError, match="no model is called 'nobody'"):
        gpt.responses.create(model="nobody", input="hi")


def test_ollamas_client(llama: ollama.Client, backend: ChatBackend) -> None:
    assert [model.model for model in llama.list().models] == ["council", "council/nayru"]
    assert llama.show("council:latest").capabilities == ["completion", "tools"]
    whole = llama.chat(model="nayru:latest", messages=TURNS, options={"num_predict": 32, "num_ctx": 4096, "seed": 3})
    assert whole.done and (whole.message.content or "").startswith(REPLY)
    assert whole.done_reason == "stop" and (whole.eval_count or 0) > 0 and whole.total_duration
    sent = backend.bodies[-1]
    assert (sent["max_tokens"], sent["seed"]) == (32, 3) and "num_ctx" not in sent
    parts = list(llama.chat(model="nayru", messages=TURNS, stream=True))
    assert "".join(part.message.content or "" for part in parts).startswith(REPLY)
    assert [part.done for part in parts[-2:]] == [False, True] and parts[-1].eval_count
    said = llama.generate(model="nayru", prompt=QUESTION, system="short")
    assert said.response.startswith(REPLY) and said.done
    assert "".join(part.response for part in llama.generate(model="nayru", prompt=QUESTION, stream=True))


def test_ollamas_client_is_refused_by_name(llama: ollama.Client) -> None:
    for call, status, match in (
        (lambda: llama.chat(model="nobody", messages=TURNS), 404, "no model is called 'nobody'"),
        (lambda: llama.chat(model="nayru", messages=TURNS, think=True), 400, "think is not supported"),
        (lambda: llama.chat(model="nayru", messages=TURNS, options={"mirostat": 1}), 400, "options.mirostat"),
        (lambda: llama.generate(model="nayru", prompt="x", suffix="y"), 400, "suffix is not supported"),
    ):
        with pytest.raises(ollama.ResponseError, match=match) as caught:
            call()
        assert caught.value.status_code == status


def test_images_and_formats_of_ollama_arrive(llama: ollama.Client, backend: ChatBackend) -> None:
    image = base64.b64encode(b"\x89PNG\r\n").decode()
    llama.generate(model="nayru", prompt="what is this?", images=[image], format="json")
    sent = backend.bodies[-1]
    assert sent["messages"][-1]["content"][1]["image_url"]["url"] == f"data:image/png;base64,{image}"
    assert sent["response_format"] == {"type": "json_object"}
