"""Agent sessions: who wrote a turn, what is an answer, what is context, and an account of every call and typed turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.ingest.base import Reading, open_balance
from afs.ingest.read_unit import make_source
from afs.ingest.session_insertions import clip
from afs.redaction.terminal_escapes import strip_escapes
from afs.types import Dropped, Record


def read(kind: str, place: Path, **options: object) -> tuple[list[Record], list[Dropped], Reading]:
    source = make_source(kind, options)
    (unit,) = source.units(place)
    reading = Reading(unit, source="test", domain="general")
    items = list(source.read(unit, reading))
    assert reading.counts["found"] == len(items) + len(reading.unreadable)
    assert not open_balance(reading.counts, "calls")
    assert not open_balance(reading.counts, "typed turns")
    return [i for i in items if isinstance(i, Record)], [i for i in items if isinstance(i, Dropped)], reading


def write(path: Path, *rows: dict[str, object]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


class Log:
    """A Claude Code session in which every entry follows the one before."""

    def __init__(self) -> None:
        self.rows: list[dict[str, object]] = []

    def _add(self, row: dict[str, object]) -> Log:
        parent = next((r["uuid"] for r in reversed(self.rows) if "uuid" in r), None)
        self.rows.append({"uuid": f"e{len(self.rows)}", "parentUuid": parent, "sessionId": "s"} | row)
        return self

    def user(self, content: object, **more: object) -> Log:
        return self._add({"type": "user", "message": {"role": "user", "content": content}} | more)

    def say(self, text: str, call: str = "") -> Log:
        blocks: list[object] = [{"type": "text", "text": text}] if text else []
        blocks += [{"type": "tool_use", "id": call, "name": "Bash", "input": {"command": call}}] if call else []
        message = {"id": f"m{len(self.rows)}", "role": "assistant", "model": "claude-x", "content": blocks}
        return self._add({"type": "assistant", "message": message})

    def result(self, call: str, text: str = "ok") -> Log:
        return self.user([{"type": "tool_result", "tool_use_id": call, "content": text}])

    def queue(self, text: str, **more: object) -> Log:
        attachment = {"type": "queued_command", "prompt": text, "commandMode": "prompt"} | more
        return self._add({"type": "attachment", "attachment": attachment})

    def to(self, folder: Path) -> Path:
        return write(folder / "session.jsonl", *self.rows)


def talk(record: Record) -> list[str]:
    return [f"{m.role}:{m.text}" + "".join(f"[{c.id}]" for c in m.tool_calls) for m in record.messages]


def test_a_session_that_opens_with_a_slash_command_is_read_with_its_expansion(tmp_path: Path) -> None:
    log = Log().user(
        "<command-message>init</command-message>\n<command-name>/init</command-name>\n<command-args>fast</command-args>"
    )
    log.user([{"type": "text", "text": "Analyze this codebase"}], isMeta=True).say("", "c1").result("c1").say("Done.")
    records, dropped, reading = read("claude-code", log.to(tmp_path))
    assert [talk(r) for r in records] == [
        ["user:/init fast\n\nAnalyze this codebase", "assistant:[c1]", "tool:ok", "assistant:Done."]
    ]
    assert not dropped and reading.counts["calls in records"] == 1


def test_a_command_that_no_model_answered_is_set_aside_and_counted(tmp_path: Path) -> None:
    log = Log().user("<command-name>/clear</command-name>").user("<local-command-stdout>ok</local-command-stdout>")
    log.user("hello").say("Hi.")
    records, _, reading = read("claude-code", log.to(tmp_path))
    assert [talk(r) for r in records] == [["user:hello", "assistant:Hi."]]
    assert reading.counts["typed turns set aside: local command"] == 1


@pytest.mark.parametrize(
    "notice",
    [
        "<task-notification>\n<task-id>b1</task-id>\n</task-notification>",
        "<system-reminder>\nPostToolUse:Edit hook additional context\n</system-reminder>",
        "This session is being continued from a previous conversation that ran out of context.",
        "Stop hook feedback: run the tests",
    ],
)
def test_what_a_program_wrote_is_never_the_users_turn(tmp_path: Path, notice: str) -> None:
    log = Log().user("start it").say("", "c1").result("c1").say("Started.").user(notice).say("", "c2").result("c2")
    records, dropped, reading = read("claude-code", log.say("It works.").to(tmp_path))
    assert [talk(r) for r in records] == [
        ["user:start it", "assistant:[c1]", "tool:ok", "assistant:[c2]", "tool:ok", "assistant:It works."]
    ]
    assert not dropped and reading.counts["narration"] == 1


def test_a_prompt_typed_while_the_agent_works_is_the_users(tmp_path: Path) -> None:
    log = Log().user("build it").say("", "c1").result("c1").queue("and run the tests").say("", "c2").result("c2")
    log.queue("<task-notification>x</task-notification>", commandMode="task-notification").say("Both done.")
    records, _, reading = read("claude-code", log.to(tmp_path))
    assert talk(records[0])[3:] == ["user:and run the tests", "assistant:[c2]", "tool:ok", "assistant:Both done."]
    assert reading.counts["typed turns in records"] == 2


def test_a_queued_prompt_of_older_files_is_found_once(tmp_path: Path) -> None:
    log = Log().user("build it").say("", "c1").result("c1")
    rows = [*log.rows, {"type": "queue-operation", "operation": "enqueue", "content": "check again"}]
    log.rows = rows
    log.say("", "c2").result("c2").say("Fine.").user("check again")
    log.say("Still fine.")
    _, _, reading = read("claude-code", log.to(tmp_path))
    assert reading.counts["typed turns found"] == 2


def test_prompts_written_by_a_model_are_tagged(tmp_path: Path) -> None:
    log = Log().user("find all TODOs", isSidechain=True).say("Two.")
    log.rows = [row | {"isSidechain": True} for row in log.rows]
    records, _, reading = read("claude-code", log.to(tmp_path))
    assert "author:model" in records[0].tags and reading.counts["typed turns found"] == 0


def test_a_compaction_agent_is_a_named_drop(tmp_path: Path) -> None:
    log = Log().user("Your task is to create a detailed summary of the conversation so far").say("Summary.")
    log.rows = [row | {"isSidechain": True} for row in log.rows]
    records, dropped, _ = read("claude-code", log.to(tmp_path))
    assert not records and [d.reason for d in dropped] == ["compaction agent"]


def test_calls_on_a_rewound_branch_are_in_a_drop(tmp_path: Path) -> None:
    log = Log().user("try").say("", "c1").result("c1").say("Failed.")
    rows = [*log.rows, log.rows[0] | {"uuid": "again", "message": {"role": "user", "content": "try better"}}]
    rows.append(
        {
            "type": "assistant",
            "uuid": "last",
            "parentUuid": "again",
            "sessionId": "s",
            "message": {"id": "z", "content": "Good."},
        }
    )
    records, dropped, reading = read("claude-code", write(tmp_path / "s.jsonl", *rows))
    assert [talk(r) for r in records] == [["user:try better", "assistant:Good."]]
    assert [(d.reason, talk(d.record)) for d in dropped] == [
        ("rewound branch", ["user:try", "assistant:[c1]", "tool:ok", "assistant:Failed."])
    ]
    assert reading.counts["calls in drops"] == 1


@pytest.mark.parametrize(("text", "answer"), [("All fixed.", "assistant:All fixed."), ("Let me check:", ""), ("", "")])
def test_final_text_beside_a_call_is_the_answer_unless_it_announces_the_call(
    tmp_path: Path, text: str, answer: str
) -> None:
    records, dropped, _ = read("claude-code", Log().user("fix").say(text, "c1").result("c1").to(tmp_path))
    if answer:
        assert talk(records[0])[1:] == ["assistant:[c1]", "tool:ok", answer]
        assert "answer:beside call" in records[0].tags
    else:
        assert [d.reason for d in dropped] == ["no final answer"]


def test_an_interrupted_exchange_is_a_drop_and_the_context_of_the_next(tmp_path: Path) -> None:
    log = (
        Log()
        .user("fix")
        .say("Fixing.", "c1")
        .result("c1")
        .user("[Request interrupted by user]")
        .user("continue")
        .say("Done.")
    )
    records, dropped, _ = read("claude-code", log.to(tmp_path))
    assert [d.reason for d in dropped] == ["interrupted"]
    assert talk(records[0]) == ["user:fix", "assistant:[c1]", "tool:ok", "user:continue", "assistant:Done."]
    assert records[0].trained_turns == (3,) or records[0].trained_turns == (4,)


def test_history_stands_before_the_turn_untrained_and_within_the_budget(tmp_path: Path) -> None:
    log = Log()
    for n in range(4):
        log.user(f"question {n}").say("", f"c{n}").result(f"c{n}", "x" * 9000).say(f"answer {n}")
    path = log.to(tmp_path)
    records, _, _ = read("claude-code", path, tokens=600, result_tokens=20)
    assert len(records) == 4 and records[0].trained_turns is None
    last = records[-1]
    assert last.messages[-1].text == "answer 3" and len(last.messages) > 4
    assert {m.text for i, m in enumerate(last.messages) if i in (last.trained_turns or ())} == {"", "answer 3"}
    assert sum(len(m.text) for m in last.messages) < 600 * 4
    assert all("omitted" in m.text for m in last.messages if m.role == "tool")
    alone, _, _ = read("claude-code", path, history="none")
    assert [len(r.messages) for r in alone] == [4, 4, 4, 4]
    (whole,), _, _ = read("claude-code", path, history="session", tokens=20_000)
    assert len(whole.messages) == 16 and whole.trained_turns is None


def test_escape_codes_are_stripped(tmp_path: Path) -> None:
    log = Log().user("run").say("", "c1").result("c1", "\x1b[31mred\x1b[0m\x1b]0;title\x07 \x1b(Bplain\x00").say("Ok.")
    records, _, _ = read("claude-code", log.to(tmp_path))
    assert records[0].messages[2].text == "red plain"
    assert strip_escapes("tab\tline\nend") == "tab\tline\nend"


def test_codex_prompts_typed_in_a_running_task_belong_to_it(tmp_path: Path) -> None:
    def item(**payload: object) -> dict[str, object]:
        return {"type": "response_item", "payload": payload}

    def event(kind: str) -> dict[str, object]:
        return {"type": "event_msg", "payload": {"type": kind}}

    def user(text: str) -> dict[str, object]:
        return item(type="message", role="user", content=[{"type": "input_text", "text": text}])

    call = item(type="function_call", name="shell", arguments='{"command": ["ls"]}', call_id="c1")
    out = item(type="function_call_output", call_id="c1", output="a.txt")
    said = item(type="message", role="assistant", content=[{"type": "output_text", "text": "Listed."}])
    path = write(
        tmp_path / "rollout-1.jsonl",
        event("task_started"), user("<environment_context>x</environment_context>"), user("list"), call, out,
        user("only text files"), said, call | {"payload": call["payload"] | {"call_id": "c2"}},  # type: ignore[operator]
        out | {"payload": out["payload"] | {"call_id": "c2"}}, event("task_complete"),  # type: ignore[operator]
    )  # fmt: skip
    records, _, reading = read("codex", path)
    assert talk(records[0]) == [
        "user:list", "assistant:[c1]", "tool:a.txt", "user:only text files", "assistant:[c2]", "tool:a.txt",
        "assistant:Listed.",
    ]  # fmt: skip
    assert reading.counts["typed turns in records"] == 2


@given(st.text(max_size=400), st.integers(3, 60))
def test_clip_keeps_head_and_tail(text: str, limit: int) -> None:
    short = clip(text, limit)
    assert short == text or (short.startswith(text[: limit * 2 // 3]) and "omitted" in short)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_shuffled_and_truncated_sessions_still_add_up(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    log = Log().user("a").say("t", "c1").result("c1").queue("q").say("", "c2").user("[Request interrupted by user]")
    log.user("<command-name>/x</command-name>").say("", "c3").result("c3").say("end").user("b").say("", "c4")
    rows = data.draw(st.permutations(log.rows))[: data.draw(st.integers(0, len(log.rows)))]
    folder = tmp_path_factory.mktemp("session")
    read(
        "claude-code",
        write(folder / "s.jsonl", *rows),
        history=data.draw(st.sampled_from(["none", "turns", "session"])),
    )


def test_codex_prompts_from_an_editor_lose_its_context_and_nothing_else(tmp_path: Path) -> None:
    """The extension's prompts were taken for notices: 34 of 43 typed turns of 17 public sessions were lost."""
    context = "# Context from my IDE setup:\n\n## Open tabs:\n- a.py: src/a.py\n\n## My request for Codex:\n"
    items = [
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": f"{context}fix the loop\n"}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": context.partition("## My")[0]}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "done"}]},
    ]
    path = write(tmp_path / "rollout-1.jsonl", *({"type": "response_item", "payload": item} for item in items))
    (record,), dropped, reading = read("codex", path)
    assert [message.text for message in record.messages] == ["fix the loop", "done"]
    assert reading.counts["typed turns found"] == 1 and not dropped


def test_copilot_results_are_trees_of_text_and_calls_without_arguments_are_counted(tmp_path: Path) -> None:
    leaf = [{"type": 2, "text": "a leopard"}, {"type": 2, "text": "lives high", "lineBreakBefore": True}]
    tree = {"node": {"type": 1, "children": [{"type": 1, "ctorName": "t", "children": leaf}]}}
    rounds = [
        {"response": "", "toolCalls": [{"name": "search", "arguments": "{}", "id": "c1"}]},
        {"response": "It lives high.", "toolCalls": []},
    ]
    results = {"c1": {"$mid": 20, "content": [{"$mid": 23, "value": tree}, {"$mid": 21}]}}
    finished = {"toolCallRounds": rounds, "toolCallResults": results}
    shown = [{"kind": "toolInvocationSerialized", "toolId": "x"}, {"value": "Still searching."}]
    requests = [
        {"message": {"text": "where?"}, "response": [{"value": "It lives high."}], "result": {"metadata": finished}},
        {"message": {"text": "and now?"}, "response": shown},
    ]
    path = tmp_path / "chat.json"
    path.write_text(json.dumps({"requesterUsername": "x", "requests": requests}))
    records, _, reading = read("copilot", path)
    assert records[0].messages[2].text == "a leopard\nlives high" and records[0].messages[-1].text == "It lives high."
    assert reading.counts["calls set aside: shown without arguments"] == 1


def test_aider_prompts_written_twice_are_one_and_an_architects_plan_is_a_models(tmp_path: Path) -> None:
    path = tmp_path / ".aider.chat.history.md"
    path.write_text(
        "# aider chat started at 2026-01-01\n\n> Model: x/y with diff edit format\n\n#### /architect save it  \n\n"
        "#### save it  \n\nCreate `a.md`:\n\n- one\n\n> Edit the files? (Y)es/(N)o [Yes]: y  \n\n"
        "#### Create `a.md`:  \n####   \n#### - one  \n\nCreated.\n\n#### /res  \n\n#### thanks  \n\nYou are welcome.\n"
    )
    records, _, reading = read("aider", path)
    assert [talk(record)[-2:] for record in records] == [
        ["user:save it", "assistant:Create `a.md`:\n\n- one"],
        ["user:Create `a.md`:\n\n- one", "assistant:Created."],
        ["user:thanks", "assistant:You are welcome."],
    ]
    assert "author:model" in records[1].tags and reading.counts["typed turns found"] == 3
    assert reading.counts["entries:repeated prompt"] == 1
