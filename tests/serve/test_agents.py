"""Agents against the council: YAZE's contract, and the council's own tools in answers and streams."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import httpx2
import openai
import pytest
from tests.serve.chat_backend import ChatBackend, Served, running

from afs import datasets
from afs.council.answer import Council
from afs.council.reply_check import ReplyChecker
from afs.providers.base import GREEDY, Sampling
from afs.serve.gateway import Gateway
from afs.serve.in_process_chat import LocalChat
from afs.types import Completion, Expert, Message, Tool

YAZE = """You are an assistant for ROM hacking. Answer with one JSON object: {"text_response": string or null,
"commands": [strings], "tool_calls": [{"tool_name": string, "args": object}], "reasoning": string}."""


@pytest.fixture(scope="module")
def checker() -> Iterator[ReplyChecker]:
    found = ReplyChecker()
    yield found
    found.close()


class YazeAgent:
    """What YAZE's agent does with a model: parse the object, run its tools, hand back results until it gets text."""

    def __init__(self, client: openai.OpenAI, *, stream: bool) -> None:
        self.client, self.stream, self.commands, self.ran = client, stream, list[str](), list[str]()
        self.turns: list[Any] = [{"role": "system", "content": YAZE}]

    def say(self, text: str) -> str:
        self.turns.append({"role": "user", "content": text})
        for _ in range(4):
            said = self._complete()
            self.turns.append({"role": "assistant", "content": said})
            answer = json.loads(said)
            self.commands += answer.get("commands") or []
            if not answer.get("tool_calls"):
                return str(answer["text_response"])
            for call in answer["tool_calls"]:
                self.ran.append(call["tool_name"])
                result = json.dumps({"rooms": [18], "asked": call["args"]})
                self.turns.append({"role": "user", "content": f"[TOOL RESULT] {result}"})
        raise AssertionError("no answer in four rounds")

    def _complete(self) -> str:
        if not self.stream:
            whole = self.client.chat.completions.create(model="council", messages=self.turns)
            return whole.choices[0].message.content or ""
        parts = self.client.chat.completions.create(model="council", messages=self.turns, stream=True)
        return "".join(part.choices[0].delta.content or "" for part in parts if part.choices)


@pytest.mark.parametrize("stream", [False, True])
def test_yazes_agent_gets_the_object_it_asks_for(checker: ReplyChecker, stream: bool) -> None:
    call = {
        "text_response": None,
        "commands": [],
        "tool_calls": [{"tool_name": "dungeon-list", "args": {"room": "18"}}],
    }
    code = "Hook it:\n```asm\nlda #$01\nsta $10\nrts\n```"
    final = {
        "text_response": code,
        "commands": ["overworld set-tile --map 0 --x 1 --y 2 --tile 0x14C"],
        "tool_calls": [],
    }
    backend = ChatBackend(json.dumps(call), json.dumps(final))
    with running(backend.app()) as url:
        seats = {"din": (Expert(name="din", model="d"), Served(url))}
        with running(Gateway(Council(seats, None, None, checker)).app()) as gateway:
            client = openai.OpenAI(base_url=f"{gateway}/v1", api_key="none", max_retries=0)
            agent = YazeAgent(client, stream=stream)
            assert agent.say("Set a tile in room 18") == code
    assert agent.ran == ["dungeon-list"] and agent.commands == final["commands"]
    assert "[TOOL RESULT]" in backend.bodies[1]["messages"][-1]["content"]


class Caller:
    """A model that looks a register up, then answers with what it got."""

    name = "caller"

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        assert sampling.schema is not None
        last = messages[-1].text
        if last.startswith("Result of"):
            return Completion(text=json.dumps({"final": f"It is {last.split()[4]}."}), model="caller")
        call = {"tool": "snes_register", "arguments": {"name": "2100"}}
        return Completion(text=json.dumps(call), model="caller")


def test_an_answer_with_tools_shows_its_steps(checker: ReplyChecker) -> None:
    council = Council({"veran": (Expert(name="veran", model="v"), Caller())}, None, None, checker)
    council.tools = "steps"
    sent: dict[str, Any] = {
        "model": "council",
        "messages": [{"role": "user", "content": "What is the brightness port?"}],
    }
    with running(Gateway(council).app()) as gateway, httpx2.Client(base_url=gateway, timeout=60) as client:
        whole = client.post("/v1/chat/completions", json=sent).json()
        streamed = client.post("/v1/chat/completions", json=sent | {"stream": True}).text
    assert whole["choices"][0]["message"]["content"].startswith("It is INIDISP")
    assert [step["tool"] for step in whole["afs"]["steps"]] == ["snes_register"]
    assert "It is INIDISP" in streamed and streamed.rstrip().endswith("[DONE]")
    council.box.close()


def test_facts_are_put_before_the_model(checker: ReplyChecker) -> None:
    backend = ChatBackend("The brightness.")
    with running(backend.app()) as url:
        council = Council({"din": (Expert(name="din", model="d"), Served(url))}, None, None, checker)
        council.tools = "prefetch"
        chat = LocalChat(council)
        assert "".join(chat.ask(datasets.task_messages("What does INIDISP do?"))) == "The brightness."
        council.box.close()
    asked = backend.bodies[0]["messages"][-1]["content"]
    assert asked.startswith("What does INIDISP do?") and "$2100" in asked
    assert chat.reply is not None and chat.reply.question == "What does INIDISP do?", "the log keeps the user's words"
