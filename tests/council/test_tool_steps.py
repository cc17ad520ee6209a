"""Tools for weak models: one object a step, six at most, none twice; the user's files with consent; facts beforehand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import pytest

from afs import sandbox
from afs.council.file_and_command_tools import FileTools
from afs.council.tool_steps import JoinedTools, answer_with_tools, read_call, read_final, step_schema
from afs.council.toolbox import Toolbox, ToolOutcome
from afs.providers.base import GREEDY, Sampling
from afs.types import Completion, Json, Message, Tool, ToolCall

ASK = [Message(role="user", text="How many cycles?")]


class Scripted:
    """Says its lines one after another, then the last for ever; remembers what it was asked."""

    def __init__(self, *lines: str) -> None:
        self.name, self.lines = "scripted", list(lines)
        self.heard: list[tuple[list[Message], Sampling]] = []

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        self.heard.append((list(messages), sampling))
        return Completion(text=self.lines.pop(0) if len(self.lines) > 1 else self.lines[0], model="scripted")


class Counter:
    """A tool that counts its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, Json]] = []

    def tools(self) -> list[Tool]:
        return [Tool(name="count", description="Count.", parameters={"type": "object", "properties": {"n": {}}})]

    def call(self, name: str, arguments: Json) -> ToolOutcome:
        self.calls.append((name, arguments))
        return ToolOutcome(f"counted {arguments}")


@pytest.mark.parametrize(
    "said",
    [
        '{"tool": "count", "arguments": {"n": 1}}',
        'Let me see.\n<tool_call>\n{"name": "count", "arguments": {"n": 1}}\n</tool_call>',
        'I call it:\n```json\n{"tool": "count", "arguments": {"n": 1}}\n```',
        'Sure: {"name": "count", "arguments": "{\\"n\\": 1}"} is what I need',
        '{"text_response": null, "commands": [], "tool_calls": [{"tool_name": "count", "args": {"n": 1}}]}',
        '{"function": {"name": "count", "arguments": {"n": 1}}}',
    ],
)
def test_a_call_is_read_in_every_form(said: str) -> None:
    assert read_call(Completion(text=said, model="m")) == ("count", {"n": 1})


def test_native_calls_and_answers_are_told_apart() -> None:
    native = Completion(text="", model="m", tool_calls=(ToolCall(id="1", name="count", arguments={"n": 2}),))
    assert read_call(native) == ("count", {"n": 2})
    for said in ('{"final": "42"}', "just 42", '{"text_response": "42", "tool_calls": []}', "{broken"):
        assert read_call(Completion(text=said, model="m")) is None
    assert read_final('{"final": "42"}') == "42" and read_final("just 42") == "just 42"


def test_a_call_then_an_answer() -> None:
    model, tool = Scripted('{"tool": "count", "arguments": {"n": 1}}', '{"final": "It is 1."}'), Counter()
    found = answer_with_tools(model, ASK, GREEDY, tool)
    assert found.completion.text == "It is 1." and tool.calls == [("count", {"n": 1})]
    assert "counted {'n': 1}" in model.heard[1][0][-1].text and "5 calls are left" in model.heard[1][0][-1].text
    assert model.heard[0][1].schema == step_schema(tool.tools())


def test_a_call_is_made_once_and_the_sixth_is_the_last() -> None:
    model, tool = Scripted('{"tool": "count", "arguments": {"n": 1}}'), Counter()
    found = answer_with_tools(model, ASK, GREEDY, tool)
    assert len(tool.calls) == 1 and len(found.steps) == 6 and all(step.is_problem for step in found.steps[1:])
    assert "made already" in found.steps[1].result
    schema = model.heard[-1][1].schema
    assert schema is not None and "anyOf" not in schema, "at the budget only an answer is possible"


@pytest.fixture(scope="module")
def box() -> Iterator[Toolbox]:
    found = Toolbox()
    yield found
    found.close()


def test_the_packs_tools_answer_and_facts_are_looked_up(box: Toolbox) -> None:
    source = "lda #$01\nsta $10\nrts\n"
    call = msgspec.json.encode({"tool": "snes_cycles", "arguments": {"source": source}}).decode()
    found = answer_with_tools(Scripted(call, '{"final": "eleven"}'), ASK, GREEDY, box)
    assert "CPU cycles 11" in found.steps[0].result and not found.steps[0].is_problem
    facts = box.facts(f"What does INIDISP do, and why is this slow?\n```asm\n{source}```\nIt uses $7E:0010.")
    assert "$2100" in facts and "A9 01 85 10 60" in facts and "CPU cycles 11" in facts and "WRAM" in facts
    assert box.facts("What is the capital of Mongolia?") == ""
    broken = box.facts("Fix it:\n```asm\nedxcxc #$8A\n```")
    assert "does not assemble" in broken and "edxcxc" in broken


def test_files_below_the_root_only(tmp_path: Path) -> None:
    root = tmp_path / "root"
    (root / "src").mkdir(parents=True)
    (root / "src/main.asm").write_text("lda #$01\n")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link").symlink_to(tmp_path / "secret.txt")
    tools = FileTools(root)
    assert tools.call("list_files", {"folder": "."}).text == "link\nsrc/main.asm"
    assert tools.call("read_file", {"path": "src/main.asm"}).text == "lda #$01\n"
    assert tools.call("search_files", {"text": "#$01"}).text == "src/main.asm:1: lda #$01"
    assert "secret" not in tools.call("search_files", {"text": "secret"}).text.replace("'secret'", "")
    assert "did you mean src/main.asm?" in tools.call("read_file", {"path": "main.asm"}).text
    for path in ("../secret.txt", "link", "/etc/hostname", str(tmp_path / "secret.txt")):
        refused = tools.call("read_file", {"path": path})
        assert refused.is_problem and "outside of the root" in refused.text
    assert tools.call("read_file", {"file": "x"}).text == "read_file: want path as text"


def test_nothing_is_written_or_run_without_consent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def agree(what: str, thing: str) -> bool:
        asked.append((what, thing))
        return len(asked) > 1

    tools = FileTools(tmp_path, consent=agree)
    write: Json = {"path": "a/b.txt", "content": "x"}
    assert tools.call("write_file", write).is_problem and not (tmp_path / "a").exists()
    assert not tools.call("write_file", write).is_problem and (tmp_path / "a/b.txt").read_text() == "x"
    assert asked == [("write", "a/b.txt")] * 2
    assert FileTools(tmp_path).call("run_command", {"command": "ls"}).is_problem
    monkeypatch.setattr(sandbox, "available", lambda: None)
    names = [tool.name for tool in FileTools(tmp_path, allowed=("run",)).tools()]
    assert "run_command" not in names, "without walls there is no such tool"


@pytest.mark.skipif(not sandbox.available(), reason="no sandbox here")
def test_a_command_reads_the_root_and_writes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.txt").write_text("hello")
    tools = JoinedTools(FileTools(root, allowed=("run",)), Counter())
    ran = tools.call("run_command", {"command": "cat a.txt"})
    assert ran.text == "hello\n[exit 0]"
    assert "[exit 0]" in tools.call("run_command", {"command": "touch made"}).text
    assert not (root / "made").exists()
