"""Every reader on what its format really does: branches, joins by id, updates, rewinds, prefixes, hostile input."""

from __future__ import annotations

import base64
import contextlib
import json
import sqlite3
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs import datasets, licenses
from afs.ingest.base import Reading, Unit
from afs.ingest.read_unit import make_source
from afs.types import Dropped, Record


def read(kind: str, place: Path, **options: object) -> tuple[list[Record], list[Dropped], Reading]:
    """What a reader makes of a place, with its account added up."""
    source = make_source(kind, options)
    records, dropped, whole = [], [], None
    for unit in source.units(place):
        reading = Reading(unit, source="test", domain="general")
        for item in source.read(unit, reading):
            (dropped if isinstance(item, Dropped) else records).append(item)  # type: ignore[arg-type]
        if whole is None:
            whole = reading
        else:
            whole.counts.update(reading.counts)
            whole.unreadable += reading.unreadable
    assert whole is not None
    assert whole.counts["found"] == len(records) + len(dropped) + len(whole.unreadable)
    return records, dropped, whole


def lines(path: Path, *rows: object) -> Path:
    path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows), "utf-8")
    return path


def shape(record: Record) -> list[str]:
    return [
        f"{m.role}:{m.text}" + "".join(f"[{c.name} {json.dumps(c.arguments)}]" for c in m.tool_calls)
        for m in record.messages
    ]


def entry(kind: str, uuid: str, parent: str | None, content: object, **more: object) -> dict[str, object]:
    message = {"role": kind, "content": content} | (
        {"id": more.pop("mid", uuid), "model": "claude-x"} if kind == "assistant" else {}
    )
    return {"type": kind, "uuid": uuid, "parentUuid": parent, "sessionId": "s1", "message": message} | more


def use(key: str, name: str, **arguments: object) -> dict[str, object]:
    return {"type": "tool_use", "id": key, "name": name, "input": arguments}


def result(key: str, content: object, **more: object) -> dict[str, object]:
    return {"type": "tool_result", "tool_use_id": key, "content": content} | more


def test_claude_code_follows_the_newest_branch_and_joins_results_by_id(tmp_path: Path) -> None:
    lines(
        tmp_path / "s.jsonl",
        {"type": "summary", "summary": "x", "leafUuid": "z"},
        {"type": "brand-new-thing", "uuid": "n"},
        entry("user", "u0", None, "<command-name>/clear</command-name>"),
        entry("user", "u1", "u0", "list the files <system-reminder>be nice</system-reminder>"),
        entry("assistant", "a1", "u1", [{"type": "thinking", "thinking": "hm"}], mid="m1"),
        entry(
            "assistant", "a2", "a1", [{"type": "text", "text": "Let me look."}, use("t1", "Bash", cmd="ls")], mid="m1"
        ),
        entry("assistant", "a3", "a2", [use("t2", "Read", path="x")], mid="m1"),
        entry("user", "r2", "a3", [result("t2", [{"type": "text", "text": "content"}, {"type": "image"}])]),
        entry("user", "r1", "a2", [result("t1", "a b", is_error=True)]),
        entry("assistant", "a4", "r2", [{"type": "text", "text": "Two files."}], mid="m2"),
        entry("user", "old", "a4", "never mind"),
        entry("user", "u2", "a4", [{"type": "text", "text": "thanks"}]),
        entry("assistant", "e", "u2", "API Error: 500", isApiErrorMessage=True),
        entry("assistant", "a5", "e", [{"type": "text", "text": "Welcome."}], mid="m3"),
        entry("assistant", "a5", "e", [{"type": "text", "text": "Welcome."}], mid="m3"),
        "{torn",
    )
    records, dropped, reading = read("claude-code", tmp_path, history="none")
    assert [shape(r) for r in records] == [
        [
            "user:list the files",
            'assistant:[Bash {"cmd": "ls"}][Read {"path": "x"}]',
            "tool:error: a b",
            "tool:content\n[image]",
            "assistant:Two files.",
        ],
        ["user:thanks", "assistant:Welcome."],
    ]
    assert records[0].messages[1].thinking == "hm"
    assert (records[0].origin.group, records[0].origin.maker) == ("s1", "anthropic:claude-x")
    assert [(d.reason, d.record.messages[0].text) for d in dropped] == [("rewound branch", "never mind")]
    assert reading.counts["narration"] == 1
    assert reading.counts["unknown:brand-new-thing"] == 1
    assert reading.counts["entries:repeated"] == 1
    assert len(reading.unreadable) == 1


def test_claude_code_keeps_a_line_of_another_shape_aside_and_mends_one_that_is_badly_encoded(tmp_path: Path) -> None:
    question = json.dumps({"type": "user", "uuid": "u", "message": {"content": "Why?"}})
    answer = '{"type": "assistant", "uuid": "a", "parentUuid": "u", "message": {"id": "m", "content": "So\\ud800."}}'
    odd = json.dumps({"type": "user", "uuid": "x", "message": "no object"})
    (tmp_path / "s.jsonl").write_text("\n".join((question, odd, answer, "[1]")))
    records, _, reading = read("claude-code", tmp_path, history="none")
    assert [[m.text for m in r.messages] for r in records] == [["Why?", "So\ufffd."]]
    assert [(u.uri.rpartition("#")[2], u.type, json.loads(u.entry)) for u in reading.aside] == [
        ("L2", "shape", json.loads(odd))
    ]
    assert [(u.uri.rpartition("#")[2], u.problem) for u in reading.unreadable] == [
        ("L4", "a row must be an object, got list")
    ]
    assert (reading.counts["found"], reading.counts["lines"]) == (2, 4)


def test_claude_code_continues_after_a_compaction(tmp_path: Path) -> None:
    lines(
        tmp_path / "s.jsonl",
        entry("user", "u1", None, "first"),
        entry("assistant", "a1", "u1", [{"type": "text", "text": "one"}]),
        {"type": "system", "subtype": "compact_boundary", "uuid": "c", "parentUuid": None, "logicalParentUuid": "a1"},
        entry("user", "s", "c", "This session is being continued", isCompactSummary=True),
        entry("user", "u2", "s", "second"),
        entry("assistant", "a2", "u2", [{"type": "text", "text": "two"}]),
    )
    records, _, _ = read("claude-code", tmp_path, history="none")
    assert [shape(r) for r in records] == [["user:first", "assistant:one"], ["user:second", "assistant:two"]]


def test_claude_code_reads_sub_agents_and_marks_unfinished_turns(tmp_path: Path) -> None:
    lines(
        tmp_path / "s.jsonl",
        entry("user", "u1", None, "go"),
        entry("assistant", "a1", "u1", [use("t", "Task")]),
        entry("user", "q", None, "find it", isSidechain=True),
        entry("assistant", "w", "q", [{"type": "text", "text": "here"}], isSidechain=True),
    )
    records, dropped, reading = read("claude-code", tmp_path)
    assert [shape(r) for r in records] == [["user:find it", "assistant:here"]]
    assert [d.reason for d in dropped] == ["no answer"]
    assert reading.counts["calls set aside: no result"] == 1


def item(**payload: object) -> dict[str, object]:
    return {"timestamp": "t", "type": "response_item", "payload": payload}


def test_codex_reads_response_items_only(tmp_path: Path) -> None:
    lines(
        tmp_path / "rollout-1.jsonl",
        {"type": "session_meta", "payload": {"id": "abc", "cwd": "/x"}},
        {"type": "turn_context", "payload": {"model": "gpt-x"}},
        item(type="message", role="user", content=[{"type": "input_text", "text": "<environment_context>x"}]),
        item(type="message", role="developer", content=[{"type": "input_text", "text": "rules"}]),
        item(type="message", role="user", content=[{"type": "input_text", "text": "run it"}]),
        {"type": "event_msg", "payload": {"type": "user_message", "message": "run it"}},
        item(type="reasoning", summary=[{"type": "summary_text", "text": "think"}], encrypted_content="z"),
        item(type="function_call", name="shell", arguments='{"cmd": ["ls"]}', call_id="c1"),
        item(type="custom_tool_call", name="apply_patch", input="*** patch", call_id="c2"),
        item(type="local_shell_call", call_id="c3", action={"type": "exec", "command": ["pwd"]}),
        item(type="function_call_output", call_id="c1", output='{"output": "a", "metadata": {"exit_code": 2}}'),
        item(type="custom_tool_call_output", call_id="c2", output={"output": "ok", "metadata": {"exit_code": 0}}),
        item(type="function_call_output", call_id="c3", output=[{"type": "input_text", "text": "/x"}]),
        item(type="message", role="assistant", content=[{"type": "output_text", "text": "done"}]),
        item(type="message", role="assistant", content=[{"text": "copy"}], metadata={"compaction_output": True}),
        {"type": "from_the_future", "payload": {}},
    )
    records, dropped, reading = read("codex", tmp_path)
    assert [shape(r) for r in records] == [
        [
            "user:run it",
            'assistant:[shell {"cmd": ["ls"]}]',
            "tool:exit code: 2\na",
            'assistant:[apply_patch {"input": "*** patch"}]',
            "tool:ok",
            'assistant:[shell {"command": ["pwd"]}]',
            "tool:/x",
            "assistant:done",
        ]
    ]
    assert not dropped
    assert records[0].messages[1].thinking == "think"
    assert (records[0].origin.group, records[0].origin.maker) == ("abc", "openai:gpt-x")
    assert reading.counts["unknown:from_the_future"] == 1


def test_gemini_replays_updates_and_rewinds(tmp_path: Path) -> None:
    lines(
        tmp_path / "session-1.jsonl",
        {"sessionId": "g1", "projectHash": "h", "kind": "main"},
        {"id": "1", "type": "user", "content": [{"text": "look"}]},
        {"id": "2", "type": "gemini", "content": "", "toolCalls": [{"id": "c", "name": "ls", "args": {"p": "."}}]},
        {
            "id": "2", "type": "gemini", "content": "", "model": "gem", "thoughts": [{"subject": "S", "description": "D"}],
            "toolCalls": [
                {"id": "c", "name": "ls", "args": {"p": "."}, "status": "success",
                 "result": [{"functionResponse": {"response": {"output": "a b"}}}]}
            ],
        },
        {"id": "3", "type": "gemini", "content": "Two files."},
        {"id": "4", "type": "user", "content": "wrong"},
        {"$rewindTo": "4"},
        {"$set": {"lastUpdated": "now"}},
        {"id": "5", "type": "info", "content": "notice"},
    )  # fmt: skip
    records, dropped, _ = read("gemini", tmp_path)
    assert [shape(r) for r in records] == [
        ["user:look", 'assistant:[ls {"p": "."}]', "tool:a b", "assistant:Two files."]
    ]
    assert records[0].messages[1].thinking == "S: D"
    assert (records[0].origin.group, records[0].origin.maker) == ("g1", "google:gem")
    assert not dropped


def test_gemini_old_form_and_a_rewind_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "chats").mkdir()
    old = {"sessionId": "o", "messages": [{"type": "user", "content": "hi"}, {"type": "gemini", "content": "yo"}]}
    (tmp_path / "chats" / "session-2.json").write_text(json.dumps(old))
    lines(tmp_path / "chats" / "session-3.jsonl", {"id": "1", "type": "user", "content": "x"}, {"$rewindTo": "none"})
    records, dropped, _ = read("gemini", tmp_path)
    assert [shape(r) for r in records] == [["user:hi", "assistant:yo"]]
    assert not dropped


CALLS = [
    {"role": "system", "content": "use tools"},
    {"role": "user", "content": "weather?\nBegin!"},
    {"role": "assistant", "content": "I should ask."},
    {
        "role": "assistant",
        "content": None,
        "function_call": {"name": "get-it.v2", "arguments": '{"q": "He said \\"hi\\""}'},
    },
    {"role": "function", "name": "get-it.v2", "content": '{"error": "", "response": "sun"}'},
    {
        "role": "assistant",
        "content": "",
        "function_call": {
            "name": "Finish",
            "arguments": '{"return_type": "give_answer", "final_answer": "It is \\"sunny\\"."}',
        },
    },
]


def test_toolbench_answer_files_keep_calls_native_and_the_answer_whole(tmp_path: Path) -> None:
    answer = {
        "valid_data": True, "finish_type": "give_answer", "query": "weather?", "train_messages": [CALLS[:4], CALLS],
        "function": [{"name": "get-it.v2", "description": "d", "parameters": {"type": "object"}}, {"name": "Finish"}],
    }  # fmt: skip
    (tmp_path / "1.json").write_text(json.dumps({"win": True, "answer_generation": answer}))
    bad = answer | {"finish_type": "give_up_and_restart"}
    (tmp_path / "2.json").write_text(json.dumps({"answer_generation": bad}))
    (tmp_path / "3.json").write_text(json.dumps({"answer_generation": {"valid_data": False, "query": "q"}}))
    records, dropped, _ = read("toolbench", tmp_path)
    assert [shape(r) for r in records] == [
        [
            "user:weather?",
            'assistant:[get-it.v2 {"q": "He said \\"hi\\""}]',
            'tool:{"error": "", "response": "sun"}',
            'assistant:It is "sunny".',
        ]
    ]
    assert records[0].messages[1].thinking == "I should ask."
    assert [t.name for t in records[0].tools] == ["get-it.v2"]
    assert sorted(d.reason for d in dropped) == ["gave up", "not valid data"]


def test_toolbench_prompts_of_the_tree_search_are_nobodys_turns(tmp_path: Path) -> None:
    prompt = "This is not the first time you try this task, all previous trails failed.\nPrevious candidates: []"
    searched = [
        *CALLS[:5],
        {"role": "user", "content": prompt, "valid": False},
        {"role": "assistant", "content": "Unlike the candidates, I finish."},
        CALLS[-1],
    ]
    answer = {"valid_data": True, "finish_type": "give_answer", "query": "weather?", "train_messages": [searched]}
    (tmp_path / "1.json").write_text(json.dumps({"answer_generation": answer}))
    records, _, reading = read("toolbench", tmp_path)
    assert [m.role for m in records[0].messages] == ["user", "assistant", "tool", "assistant"]
    assert records[0].messages[-1].thinking == ""
    assert reading.counts["search prompts"] == 1


@pytest.mark.parametrize(("text", "count"), [("[]", 1), ("[]\n", 1), ("[\n]\n", 2), ("", 0)])
def test_lines_of_a_json_file_are_counted_as_an_editor_does(tmp_path: Path, text: str, count: int) -> None:
    (tmp_path / "a.json").write_text(text)
    source = make_source("chats", {})
    reading = Reading(next(iter(source.units(tmp_path))), source="t", domain="d")
    assert not list(source.read(reading.unit, reading))
    assert reading.counts["lines"] == count


def test_a_reader_of_trees_changes_with_the_readers_it_uses() -> None:
    parts = [make_source(kind, {}).version for kind in ("asm", "code", "cpp", "docs")]
    assert make_source("git", {}).version.split()[1:] == parts
    assert make_source("afs-memory", {}).version.split()[1:] == parts[3:]


def test_toolbench_queries_are_drops_and_tool_descriptions_stand_aside(tmp_path: Path) -> None:
    (tmp_path / "query.json").write_text(json.dumps([{"query": "quotes?", "query_id": 1, "api_list": []}]))
    (tmp_path / "tool.json").write_text(json.dumps({"api_list": [{"name": "Roll", "schema": {}}]}))
    for name, reason, question, kept in (
        ("query.json", ["a query without an answer"], ["quotes?"], 0),
        ("tool.json", [], [], 1),
    ):
        records, dropped, reading = read("toolbench", tmp_path / name)
        assert not records and [d.reason for d in dropped] == reason
        assert [datasets.question_text(d.record) for d in dropped] == question
        assert len(reading.aside) == kept


def test_toolbench_steps_become_one_and_columns_become_turns(tmp_path: Path) -> None:
    turns = [
        {"from": "system", "value": "tools"},
        {"from": "user", "value": "q"},
        {"from": "assistant", "value": '\nThought: t\nAction: a.b\nAction Input: {"x": {"y": 1}}'},
        {"from": "function", "value": "r"},
        {
            "from": "assistant",
            "value": 'Thought: \nAction: Finish\nAction Input: {"return_type": "give_answer", "final_answer": "42"}',
        },
    ]
    rows = [{"id": "Step 3: q", "conversations": turns[:3]}, {"id": "Step 5: q", "conversations": turns}]
    (tmp_path / "train.json").write_text(json.dumps(rows))
    columns = {"from": [t["from"] for t in turns], "value": [t["value"] for t in turns]}
    lines(tmp_path / "col.jsonl", {"id": "q", "conversations": columns})
    records, dropped, _ = read("toolbench", tmp_path)
    want = ["user:q", 'assistant:[a.b {"x": {"y": 1}}]', "tool:r", "assistant:42"]
    assert [shape(r) for r in records] == [want, want]
    assert [d.reason for d in dropped] == ["step of a longer one"]


def test_toolbench_tools_come_from_the_python_list_in_the_system_prompt(tmp_path: Path) -> None:
    listed = [{"name": "t.x", "description": 'The user\'s "own" list', "parameters": {"required": [], "x": None}}]
    give_up = '\nThought: a\nThought: b\nAction: Finish\nAction Input: {"return_type": "give_up_and_restart"}'
    turns = [
        {"from": "system", "value": f"You have access to the following APIs: {listed}"},
        {"from": "user", "value": "\nq\nBegin!\n"},
        {"from": "assistant", "value": "\nThought: a\nThought: b\nAction: t.x\nAction Input: {}"},
    ]
    lines(
        tmp_path / "a.jsonl",
        {"id": "Step 3: q", "conversations": turns},
        {"id": "Step 3: r", "conversations": [*turns[:2], {"from": "assistant", "value": give_up}]},
    )
    _, dropped, _ = read("toolbench", tmp_path)
    assert [d.reason for d in dropped] == ["no final answer", "gave up"]
    assert dropped[0].record.tools[0].description == 'The user\'s "own" list'
    assert (dropped[0].record.messages[0].text, dropped[0].record.messages[1].thinking) == ("q", "a\nb")


def test_codesearchnet_takes_the_docstring_out_of_the_answer(tmp_path: Path) -> None:
    code = 'def add(a, b):\n    """Add two numbers here.\n\n    More.\n    """\n    return a + b\n'
    lines(
        tmp_path / "a.jsonl",
        {"repo": "o/r", "path": "x.py", "func_name": "M.add", "code": code, "docstring": "Add two numbers here.\n\nMore.",
         "language": "python", "sha": "abc", "partition": "test", "url": "u"},
        {"repository_name": "o/r", "func_name": "F", "whole_func_string": "func F() {}", "language": "go",
         "func_documentation_string": "F does nothing at all", "split_name": "train", "func_code_url": "u2"},
        {"repo": "o/r", "func_name": "g", "code": "def g(: x", "docstring": "three words here", "language": "python"},
        {"repo": "o/r", "func_name": "h", "code": "x", "docstring": "", "language": "go"},
    )  # fmt: skip
    records, dropped, _ = read("codesearchnet", tmp_path)
    assert [datasets.answer_text(r) for r in records[:2]] == [
        "```python\ndef add(a, b):\n    return a + b\n```",
        "```go\nfunc F() {}\n```",
    ]
    assert datasets.question_text(records[0]) == "Write a python function `add`: Add two numbers here."
    assert (records[0].origin.group, records[0].origin.commit) == ("o/r", "abc")
    assert "given-split:test" in records[0].tags
    assert [d.reason for d in dropped] == ["no documentation"]


def test_codesearchnet_asks_by_the_first_paragraph_without_signs_and_parameters(tmp_path: Path) -> None:
    url = f"https://github.com/o/r/blob/{'ab' * 20}/x.go#L3-L9"
    lines(
        tmp_path / "a.jsonl",
        {"func_name": "Two", "whole_func_string": "func Two() {}", "language": "go", "func_code_url": url,
         "func_documentation_string": "// Two gives two\n// in one go.\n//\n// More."},
        {"func_name": "C.emit", "code": "void emit(U v) {}", "language": "java",
         "docstring": "Emits it in order.\n@param v the value"},
        {"func_name": "old", "code": 'def old(x):\n    """Print\n      it, always."""\n    print x', "language": "python",
         "docstring": "Print\n  it, always."},
        {"func_name": "feed", "code": 'def feed(x):\n    """Feed it \x0c always."""\n    return "\x0c"\n', "language": "python",
         "docstring": "Feed it \x0c always."},
    )  # fmt: skip
    records, dropped, _ = read("codesearchnet", tmp_path)
    assert [datasets.question_text(r).partition(": ")[2] for r in records] == [
        "Two gives two in one go.",
        "Emits it in order.",
        "Feed it always.",
    ]
    assert (records[0].origin.uri, records[0].origin.commit) == (url, "ab" * 20)
    assert datasets.answer_text(records[2]) == '```python\ndef feed(x):\n    return "\x0c"\n```'
    assert [d.reason for d in dropped] == ["docstring could not be removed"]


def test_git_makes_fixes_into_before_and_after(tmp_path: Path) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(
            ["git", "-C", str(tmp_path), "-c", "user.name=n", "-c", "user.email=e@x", *arguments], check=True,
            capture_output=True,
        )  # fmt: skip

    git("init", "-q", "-b", "main")
    (tmp_path / "LICENSE").write_text("SPDX-License-Identifier: MIT\n")
    (tmp_path / "a.asm").write_text("start:\n    lda #$01\n    rts\n")
    git("add", ".")
    git("commit", "-qm", "first")
    (tmp_path / "a.asm").write_text("start:\n    sep #$20\n    lda #$01\n    rts\n")
    (tmp_path / "notes.xyz").write_text("x\n")
    git("add", ".")
    git("commit", "-qm", "Fix width of the accumulator\n\nIt was 16 bits.\n\nSigned-off-by: me <m@x>")
    records, dropped, reading = read("git", tmp_path)
    assert len(records) == 1 and [d.reason for d in dropped] == ["no comment"]
    assert (records[0].kind, records[0].tags) == ("debug", ("commit", "language:asm"))
    assert "lda #$01" in datasets.question_text(records[0]) and "sep #$20" not in datasets.question_text(records[0])
    assert "sep #$20" in datasets.answer_text(records[0]) and "Signed-off-by" not in datasets.answer_text(records[0])
    assert records[0].origin.license == "MIT" and len(records[0].origin.commit) == 40
    assert records[0].origin.uri.endswith("a.asm#L1")
    assert reading.counts["commits"] == 2 and reading.counts["changes of other files"] == 1
    (tmp_path / "fast.asm").write_text("; Gives back one.\nOne:\n    lda #$01\n    nop\n    rts\n")
    git("add", ".")
    git("commit", "-qm", "add")
    (tmp_path / "fast.asm").write_text("; Gives back one.\nOne:\n    lda #$01\n    rts\n    rts\n")
    git("commit", "-qam", "One is faster")
    bare = tmp_path.parent / "bare.git"
    git("clone", "-q", "--bare", ".", str(bare))
    for place in (tmp_path, bare):
        records, _, _ = read("git", place)
        assert sorted(r.kind for r in records) == ["asm", "debug", "optimize"]
        (routine,) = (r for r in records if r.kind == "asm")
        assert routine.origin.uri.endswith("/fast.asm#L2-5") and routine.origin.license == "MIT"
        assert routine.origin.commit and "Gives back one." in datasets.question_text(routine)
    assert not read("git", bare, files=False)[2].counts["files in the repository"]


def test_docs_answer_by_section(tmp_path: Path) -> None:
    body = "word " * 40
    (tmp_path / "a.md").write_text(f"# Guide\n\nshort\n\n## Setup\n\n{body}\n```\n# not a heading\n```\n")
    (tmp_path / "b.html").write_text(f"<html><script>x()</script><h2>Use &amp; more</h2><p>{body}</p></html>")
    records, dropped, _ = read("docs", tmp_path)
    assert [datasets.question_text(r) for r in records] == ["Explain: Guide / Setup", "Explain: Use & more"]
    assert "# not a heading" in datasets.answer_text(records[0])
    assert [d.reason for d in dropped] == ["too short"]


def test_history_reads_spilled_payloads_and_nothing_outside(tmp_path: Path) -> None:
    folder = tmp_path / "history"
    folder.mkdir()
    (folder / "payloads").mkdir()
    (folder / "payloads" / "spill.json").write_text(json.dumps({"prompt": "p2", "response": "r2"}))
    lines(
        folder / "events_20260101.jsonl",
        {
            "type": "model",
            "payload": {"prompt": "p", "system": "s", "response": "r"},
            "metadata": {"provider": "x", "model": "m"},
        },
        {"type": "model", "payload_ref": "payloads/spill.json"},
        {"type": "model", "payload_ref": "../../../etc/passwd"},
        {"type": "model", "payload_ref": "payloads/spill.json", "payload_sha256": "0" * 64},
        {"type": "cli", "metadata": {"argv": ["ls"]}},
        {"type": "martian"},
    )
    records, dropped, reading = read("afs-history", folder)
    assert [shape(r) for r in records] == [["system:s", "user:p", "assistant:r"], ["user:p2", "assistant:r2"]]
    assert records[0].origin.maker == "x:m"
    assert len(dropped) == 1 and len(reading.unreadable) == 2
    assert reading.counts["unknown:martian"] == 1


def test_memory_rows_and_notes(tmp_path: Path) -> None:
    lines(
        tmp_path / "m.jsonl",
        {"user": "q", "response": "a", "labels": ["l"], "tag": "t", "domain": "d"},
        {"content": "lonely"},
    )
    records, dropped, _ = read("afs-memory", tmp_path)
    assert [shape(r) for r in records] == [["user:q", "assistant:a"]]
    assert records[0].tags == ("l", "t", "domain:d")
    assert [d.reason for d in dropped] == ["no question"]


def field(number: int, value: bytes) -> bytes:
    size, out = len(value), b""
    while size > 0x7F:
        out += bytes([size & 0x7F | 0x80])
        size >>= 7
    return bytes([number << 3 | 2]) + out + bytes([size]) + value


def test_antigravity_digs_json_out_of_protobuf_in_base64(tmp_path: Path) -> None:
    task = json.dumps({"TaskName": "Größe prüfen", "TaskSummary": "sum", "Mode": "PLANNING"}).encode()
    answer = json.dumps({"Message": "see cci:7:file:///a/b", "PathsToReview": []}).encode()
    again = json.dumps({"TaskName": "%SAME%", "TaskSummary": "%SAME%", "Mode": "X"}).encode()
    inner = base64.b64encode(field(3, task) + b"\x08\x05" + field(4, answer) + field(3, again) + field(4, answer))
    db = sqlite3.connect(tmp_path / "state.vscdb")
    db.execute("CREATE TABLE ItemTable (key TEXT, value BLOB)")
    value = base64.b64encode(field(1, field(2, inner))).decode()
    db.execute("INSERT INTO ItemTable VALUES ('unifiedStateSync.trajectorySummaries', ?)", (value,))
    db.commit()
    db.close()
    records, dropped, _ = read("antigravity", tmp_path)
    assert [shape(r) for r in records] == [["user:Größe prüfen\n\nsum", "assistant:see /a/b"]] * 2
    assert not dropped


def test_antigravity_pairs_within_a_conversation_and_reads_the_arguments_of_calls(tmp_path: Path) -> None:
    def step(arguments: dict[str, object]) -> bytes:
        call = field(1, b"call_1") + field(2, b"name") + field(3, json.dumps(arguments).encode())
        return field(1, b"\x08\x51" + field(5, field(1, b"\x08\x05") + field(4, call)))

    def entry(title: str, *steps: bytes) -> bytes:
        summary = field(1, title.encode()) + b"\x10\x14" + b"".join(field(11 + n, s) for n, s in enumerate(steps))
        uuid = b"00000000-0000-4000-8000-000000000000"
        return field(1, field(1, uuid) + field(2, field(1, base64.b64encode(summary + field(4, uuid)))))

    told = step({"Message": "Done.", "PathsToReview": []})
    value = entry("Adding a login", told, step({"TaskName": "Plan it", "Mode": "PLANNING", "TaskSummary": ""}))
    value += entry("Fixing the build", told) + entry("Nobody answers", step({"TaskName": "Wait", "Mode": "X"}))
    with contextlib.closing(sqlite3.connect(tmp_path / "state.vscdb")) as db, db:
        db.execute("CREATE TABLE ItemTable (key TEXT, value BLOB)")
        key = "antigravityUnifiedStateSync.trajectorySummaries"
        db.execute("INSERT INTO ItemTable VALUES (?, ?)", (key, base64.b64encode(value).decode()))
    records, dropped, reading = read("antigravity", tmp_path)
    assert [shape(r) for r in records] == [
        ["user:Plan it", "assistant:Done."],
        ["user:Fixing the build", "assistant:Done."],
    ]
    assert [(d.reason, datasets.question_text(d.record)) for d in dropped] == [("no answer", "Wait")]
    assert reading.counts["conversations"] == 3


def test_cpp_functions_with_docs_and_calls(tmp_path: Path) -> None:
    (tmp_path / "rom.h").write_text(
        "#pragma once\nnamespace yaze {\n/// A cartridge image in memory.\nclass Rom {\n public:\n"
        "  /// Reads one byte at the given address.\n  /// Fails past the end.\n"
        "  absl::StatusOr<uint8_t> ReadByte(int address,\n      bool checked = true) const;\n  int size() const { return size_; }\n};\n}\n"
    )
    (tmp_path / "rom.cc").write_text("void f(Rom& rom) {\n  auto b = rom.ReadByte(0x10);\n  use(b);\n}\n")
    records, dropped, _ = read("cpp", tmp_path)
    assert datasets.question_text(records[0]).startswith("What does the C++ function `yaze::Rom::ReadByte` do")
    answer = datasets.answer_text(records[0])
    assert "absl::StatusOr<uint8_t> ReadByte(int address, bool checked = true) const;" in answer
    assert "Reads one byte at the given address. Fails past the end." in answer and "rom.ReadByte(0x10)" in answer
    assert [d.reason for d in dropped] == ["no documentation"]


def test_python_functions_are_asked_by_their_docstring(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "HEAD").write_text("ref: refs/heads/main\n")
    (tmp_path / ".git" / "packed-refs").write_text(f"# pack\n{'a' * 40} refs/heads/main\n")
    (tmp_path / "a.py").write_text(
        'class A:\n    def f(self, x):\n        """Give back twice the number.\n\n        More.\n        """\n'
        "        y = x * 2\n        return y\n\ndef g():\n    pass\n"
    )
    (tmp_path / "b.py").write_text("def f(:\n")
    records, dropped, reading = read("code", tmp_path)
    assert datasets.question_text(records[0]) == (
        "Write a Python function `f`: Give back twice the number. More.\n\nThe code around it:\n\n"
        "```python\nclass A:\n    def f(self, x): ...\n```"
    )
    assert datasets.answer_text(records[0]) == "```python\ndef f(self, x):\n    y = x * 2\n    return y\n```"
    assert records[0].origin.uri.endswith("a.py#L2-8")
    assert [d.reason for d in dropped] == ["no documentation"] and len(reading.unreadable) == 1
    assert licenses.find_commit(tmp_path) == "a" * 40


LINE_READERS = [
    "jsonl",
    "chats",
    "claude-code",
    "codex",
    "gemini",
    "afs-history",
    "afs-memory",
    "toolbench",
    "codesearchnet",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(
            ["type", "uuid", "parentUuid", "message", "content", "payload", "role", "id", "messages", "conversations",
             "toolCalls", "$set", "$rewindTo", "from", "value", "text", "code", "docstring", "user", "assistant", "metadata"]
        ),
        inner | st.sampled_from(["user", "assistant", "response_item", "message", "gemini", "model", "tool_use"]),
        max_size=5,
    ),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(LINE_READERS), st.lists(JSON, max_size=6))
def test_any_json_is_taken_without_a_crash_and_adds_up(
    tmp_path_factory: pytest.TempPathFactory, kind: str, rows: list[object]
) -> None:
    path = lines(tmp_path_factory.mktemp("fuzz") / "session-f.jsonl", *[json.dumps(row) for row in rows])
    source = make_source(kind, {})
    for unit in source.units(path):
        reading = Reading(unit, source="t", domain="d")
        out = list(source.read(unit, reading))
        assert reading.counts["found"] == len(out) + len(reading.unreadable)


@settings(max_examples=30, deadline=None)
@given(st.sampled_from(["antigravity", "asm", "code", "cpp", "docs"]), st.binary(max_size=200))
def test_any_bytes_are_taken_without_a_crash(
    tmp_path_factory: pytest.TempPathFactory, kind: str, content: bytes
) -> None:
    path = tmp_path_factory.mktemp("fuzz") / {"antigravity": "a.vscdb", "cpp": "a.h", "code": "a.py"}.get(
        kind, f"a.{'md' if kind == 'docs' else kind}"
    )
    path.write_bytes(content)
    source = make_source(kind, {})
    reading = Reading(Unit(path, path.name), source="t", domain="d")
    out = list(source.read(Unit(path, path.name), reading))
    assert reading.counts["found"] == len(out) + len(reading.unreadable)
