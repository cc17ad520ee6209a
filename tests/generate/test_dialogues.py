"""Tool dialogues against the pack's own sandbox: look, act, recover from an error, say that it is done."""

from __future__ import annotations

import msgspec
import pytest

from afs import datasets, verbs
from afs.answer_verifier import load_pack
from afs.errors import ConfigError
from afs.generate import GenerateConfig
from afs.model_calls.ledger_reader import reading
from afs.types import Completion, Dataset, ToolCall, Usage
from afs.workspace import Workspace

from .conftest import SCRIPT


def make(workspace: Workspace, **fields: object) -> Dataset:
    table = {"domain": "tools", "name": "c", "families": [{"family": "write", "count": 6}], "teacher": "pupil:x"}
    config = msgspec.convert(table | {"dialogue_turns": 6, **fields}, GenerateConfig)
    found = verbs.do("generate", config, workspace)
    assert isinstance(found, Dataset)
    return found


def solve(text: str, sampling, number: int) -> Completion:
    """List the files, read one that is not there, do what is asked, and say so."""
    turns = SCRIPT.conversations[number - 1]
    question = next(turn.text for turn in turns if turn.role == "user")
    rounds = sum(turn.role == "assistant" for turn in turns)
    pack = load_pack("tools")
    task = next(task for task in pack.tasks("write", 0, 100) if task.prompt == question)
    gold = tuple(msgspec.json.decode(block.text, type=ToolCall) for block in pack.extract(task.reference))
    calls = {0: (ToolCall(name="list_files", arguments={"folder": "."}),),
             1: (ToolCall(name="read_file", arguments={"path": "gone.txt"}),), 2: gold}.get(rounds, ())  # fmt: skip
    state = {"signature": f"s3cr3t-{rounds}"}
    used = Usage(output_tokens=1, cost_usd=0.25)
    return Completion(text="" if calls else "Done.", tool_calls=calls, model="x", usage=used, provider_state=state)


def test_a_dialogue_with_the_real_sandbox_becomes_a_record(workspace: Workspace, script) -> None:
    script.say = solve
    made = make(workspace)
    rows = list(datasets.read(workspace, made))
    assert len(rows) == 6 and len(script.asked) == 6 * 4
    roles = [message.role for message in rows[0].messages]
    assert roles == ["system", "user", *["assistant", "tool"] * 3, "assistant"]
    listing, missing, written = (message.text for message in rows[0].messages if message.role == "tool")
    assert "/" in listing and missing == "error: gone.txt: no such file" and written == "written"
    assert rows[0].messages[-1].text == "Done." and "dialogue" in rows[0].tags and rows[0].verdicts[0].ok
    states = [turn.provider_state for turn in script.conversations[-1] if turn.role == "assistant"]
    assert states[0] == {"signature": "s3cr3t-0"}, "a provider gets back what it wants back"
    for path in workspace.root.rglob("*"):
        assert not path.is_file() or b"s3cr3t" not in path.read_bytes()
    before = len(script.asked)
    assert make(workspace).ref == made.ref and len(script.asked) == before


def test_a_teacher_that_never_ends_is_judged_by_what_it_did(workspace: Workspace, script) -> None:
    look = Completion(text='<tool_call>\n{"name": "list_files", "arguments": {"folder": "."}}\n</tool_call>', model="x")
    script.say = lambda text, sampling, number: look
    made = make(workspace, families=[{"family": "write", "count": 1}], candidates=2.0, dialogue_turns=3)
    assert made.counts == {"dropped:verdict:match": 2, "short:write": 1} and len(script.asked) == 2 * 3
    with reading(workspace.root / "campaigns" / "c" / "calls.db") as database:
        assert database.execute("SELECT MAX(tries) FROM pieces").fetchone() == (1,), "one attempt has several answers"


def test_a_pack_without_a_sandbox_is_refused_before_anything_is_asked(workspace: Workspace, script) -> None:
    with pytest.raises(ConfigError, match="the pack sums carries out no calls"):
        make(workspace, domain="sums", families=[{"family": "add", "count": 1}])
    assert not script.asked
