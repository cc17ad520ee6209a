"""Talking with the council: streams in a terminal, repair, the log, thumbs, and what is learned from them."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from tests.serve.chat_backend import ChatBackend, Served, running

from afs import config as configs
from afs import datasets, verbs
from afs.cli import output
from afs.council.answer import Council
from afs.council.passages import PassageIndex, read_documents
from afs.council.reply_check import ReplyChecker
from afs.council.reply_log import ReplyLog
from afs.errors import DataError, UsageError
from afs.generate import GenerateConfig
from afs.serve.ask_command import AskConfig, AskStream, read_task
from afs.serve.chat_command import talk
from afs.serve.cited_answer import CitedStream
from afs.serve.feedback_commands import FeedbackConfig, FeedbackRecordsConfig, FeedbackTargetsConfig
from afs.serve.gateway import Gateway
from afs.serve.in_process_chat import LocalChat
from afs.serve.terminal_chat import ChatSession
from afs.types import Dataset, Expert
from afs.workspace import Workspace

RIGHT = "Use this:\n\n```asm\nlda #$01\nsta $10\nrts\n```\n"
WRONG = "Use this:\n\n```asm\nlda #$01\nedxcxc\nrts\n```\n"


@pytest.fixture(scope="module")
def checker() -> Iterator[ReplyChecker]:
    found = ReplyChecker()
    yield found
    found.close()


def council_of(url: str, checker: ReplyChecker, repairs: int = 0) -> Council:
    seats = {"din": (Expert(name="din", model="d", system="be din"), Served(url))}
    return Council(seats, None, None, checker, repairs, {"din": "din-sft@3 sha256:abc"})


def test_a_conversation_in_a_terminal(workspace: Workspace, checker: ReplyChecker, tmp_path: Path) -> None:
    backend = ChatBackend("one two", RIGHT)
    log = ReplyLog(workspace)
    with running(backend.app()) as url:
        session = ChatSession(LocalChat(council_of(url, checker), log), log)
        typed = ["/expert nobody", "/expert din", "hello", "store 1 in $10", "/up works", f"/save {tmp_path / 'c.md'}"]
        shown = io.StringIO()
        talk(session, io.StringIO("\n".join([*typed, "/what", "/quit", "never asked"])), shown)
    text = shown.getvalue()
    assert "no expert is called 'nobody'" in text and "din answers" in text and "there is no /what" in text
    assert "one two" in text and "sta $10" in text and "▸ runs; effect not stated" in text
    assert "— din, 100%" in text and "rated up: din" in text
    assert len(backend.bodies) == 2 and [m["role"] for m in backend.bodies[1]["messages"]][1:] == [
        "user", "assistant", "user",
    ]  # fmt: skip
    assert (tmp_path / "c.md").read_text().count("## ") == 4
    (rated,) = log.replies()
    assert rated.artifact == "din-sft@3 sha256:abc" and rated.override == "din" and rated.answer == RIGHT
    assert log.ratings()[rated.id].note == "works"
    assert next(log.routes()).question and "hello" not in (log.folder / "routes.jsonl").read_text()
    assert (log.folder / "replies.jsonl").stat().st_mode & 0o077 == 0


def test_an_answer_streams_or_is_one_json_object(
    workspace: Workspace, checker: ReplyChecker, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(ChatBackend("one two").app()) as url:
        for as_json in (False, True):
            chat = LocalChat(council_of(url, checker), ReplyLog(workspace), keeps_last=True)
            stream = AskStream(chat, chat.ask(datasets.task_messages("hello")))
            output.print_result(stream, as_json=as_json)
    plain, _, raw = capsys.readouterr().out.partition("chatcmpl-")
    assert plain.startswith("one two\n\n— din, 100%; no code; 2 tokens; ")
    found = json.loads(raw[raw.index("{") :])
    assert found["answer"] == "one two" and found["route"] == {"din": 1.0} and found["usage"]["output_tokens"] == 2
    assert ReplyLog(workspace).find("last") is not None, "a later process can rate it"


@pytest.mark.parametrize("verify", ["hold", "after"])
def test_a_refuted_answer_is_corrected_in_the_stream(checker: ReplyChecker, verify: str) -> None:
    backend = ChatBackend(WRONG, RIGHT)
    with running(backend.app()) as url:
        chat = LocalChat(council_of(url, checker, repairs=2))
        text = "".join(chat.ask(datasets.task_messages("store 1 in $10"), verify=verify))
    assert ("edxcxc" in text) is (verify == "after"), "held code that is refuted is not shown when it can be corrected"
    assert "Corrected:" in text and "sta $10" in text and "best of 2 attempts, the first was refuted" in text
    assert chat.reply is not None and chat.reply.attempts == 2 and chat.reply.answer == RIGHT
    assert "failed its check" in backend.bodies[1]["messages"][-1]["content"]


def test_a_refuted_answer_that_stays_wrong_is_shown_and_marked(checker: ReplyChecker) -> None:
    backend = ChatBackend(WRONG)
    with running(backend.app()) as url:
        chat = LocalChat(council_of(url, checker, repairs=2))
        text = "".join(chat.ask(datasets.task_messages("store 1 in $10")))
    assert len(backend.bodies) == 3 and "edxcxc" in text and "✘ refuted" in text and "best of 3 attempts" in text


def test_without_repairs_an_answer_is_asked_for_once(checker: ReplyChecker) -> None:
    backend = ChatBackend(WRONG, RIGHT)
    with running(backend.app()) as url:
        text = "".join(LocalChat(council_of(url, checker)).ask(datasets.task_messages("store 1 in $10")))
    assert len(backend.bodies) == 1 and "✘ refuted" in text


def test_thumbs_by_http_become_a_figure_records_and_a_campaign(
    workspace: Workspace, checker: ReplyChecker, tmp_path: Path
) -> None:
    log = ReplyLog(workspace)
    asked = "This is broken, fix it:\n```asm\nlda #$01\nedxcxc\nrts\n```"
    with (
        running(ChatBackend("one two", WRONG).app()) as url,
        running(Gateway(council_of(url, checker), log=log).app()) as gateway,
        httpx2.Client(base_url=gateway, timeout=30) as client,
    ):
        sent = {"model": "council", "messages": [{"role": "user", "content": asked}]}
        ids = [client.post("/v1/chat/completions", json=sent).json()["id"] for _ in range(2)]
        up = client.post("/v1/feedback", json={"id": ids[0], "thumb": "up"})
        assert up.json()["artifact"] == "din-sft@3 sha256:abc"
        assert client.post("/v1/feedback", json={"id": ids[1], "thumb": "down", "note": "no"}).status_code == 200
        assert client.post("/v1/feedback", json={"id": "other", "thumb": "up"}).status_code == 404
        assert client.post("/v1/feedback", json={"id": ids[0], "thumb": "sideways"}).status_code == 400
        assert 'thumb="down"} 1' in client.get("/metrics").text
    figure = verbs.do("feedback", FeedbackConfig(), workspace)
    text = figure.text()  # type: ignore[attr-defined]
    assert "user satisfaction  50%" in text and "n=2" in text and "din-sft@3" in text
    stored = verbs.do("feedback records", FeedbackRecordsConfig(), workspace)
    assert isinstance(stored, Dataset)
    records = list(datasets.read(workspace, stored))
    assert {record.origin.maker for record in records} == {"din-sft@3 sha256:abc"}
    assert {"thumb:up", "thumb:down"} <= {tag for record in records for tag in record.tags}
    assert {record.kind for record in records} == {"din/reply"} and {record.domain for record in records} == {"snes"}
    file = tmp_path / "targets.toml"
    verbs.do("feedback targets", FeedbackTargetsConfig(file=file, each=7), workspace)
    campaign = configs.decode(GenerateConfig, configs.load_toml(file))
    assert [(cell.domain, cell.family, cell.count) for cell in campaign.cells] == [("snes", "debug", 7)]


def test_what_nobody_rated_is_not_kept(workspace: Workspace, checker: ReplyChecker) -> None:
    log = ReplyLog(workspace)
    with running(ChatBackend("one two").app()) as url:
        "".join(LocalChat(council_of(url, checker), log).ask(datasets.task_messages("a secret")))
    log = ReplyLog(workspace)
    assert list(log.replies()) == [] and len(list(log.routes())) == 1
    with pytest.raises(UsageError, match="no reply is called 'x'"):
        log.rate("x", "up")


def test_documents_answer_with_checked_citations(
    workspace: Workspace, checker: ReplyChecker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    notes = tmp_path / "notes.md"
    notes.write_text("# Save\n\nThe save slot lies at $7E0044.\n\n# Doors\n\nDoor 12 opens with the small key.\n")
    asked = AskConfig(question="Where does the save slot lie?", docs=(str(notes),))
    output.print_result(verbs.do("ask", asked, workspace), as_json=False)
    assert capsys.readouterr().out == f"The save slot lies at $7E0044 [1].\n\n[1] {notes}:3 — Save\n"
    index = PassageIndex(read_documents([str(notes)], workspace))
    with running(ChatBackend("At $7E0044 [1].", "At $7E0045 [1].").app()) as url:
        chat = LocalChat(council_of(url, checker))
        right = CitedStream("Where does the save slot lie?", index, chat)
        wrong = CitedStream("Where does the save slot lie?", index, chat)
        assert "✔ 1 of 1 citations hold" in "".join(right.pieces())
        text = "".join(wrong.pieces())
    assert "✘ 0 of 1 citations hold; $7E0045 is not in [1]" in text and "In the passages:\nThe save slot" in text
    assert wrong.reply().citations.holding == 0 and wrong.reply().sources == (f"{notes}:3",)
    assert "No passage" in "".join(CitedStream("zebra", index, None).pieces())


def test_a_held_out_task_of_a_dataset_can_be_asked(workspace: Workspace) -> None:
    campaign = {"domain": "sums", "name": "raw", "families": [{"family": "say", "count": 3}]}
    verbs.do("generate", configs.decode(GenerateConfig, campaign), workspace)
    first, second = (read_task(f"raw:{split}:{n}", workspace) for split, n in (("", 1), ("", 2)))
    assert first.family == second.family == "say" and first.id != second.id
    with pytest.raises(DataError, match="has 3 tasks; want a number from 1"):
        read_task("raw::4", workspace)
    with pytest.raises(DataError, match="raw@1 has no split 'tset'"):
        read_task("raw:tset:1", workspace)
    with pytest.raises(DataError, match=r"task\.json"):
        read_task("task.json", workspace)
