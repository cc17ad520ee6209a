"""One check judges records, campaigns, rewards and served replies: whatever takes a pack's verdict takes it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from afs import datasets, verbs
from afs.answer_verifier import check_answer
from afs.checks.check_parser import build_task, read_check
from afs.config import decode
from afs.council.answer import Council
from afs.council.reply_check import ReplyChecker, footer
from afs.errors import ConfigError, MissingError
from afs.init import InitConfig, init
from afs.providers.echo import Echo
from afs.train.rewards import reward
from afs.train.settings import Reward
from afs.types import Expert, Record
from afs.workspace import Workspace

WORDS = "regex:(?i)please"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.create(tmp_path / "work")


def do(workspace: Workspace, verb: str, **fields: object) -> list[Record]:
    made = verbs.do(verb, decode(verbs.config_class(verbs.VERBS[verb]), fields), workspace)
    return list(datasets.read(workspace, made))  # type: ignore[arg-type]


def write_rows(folder: Path, rows: list[dict[str, object]]) -> str:
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


def test_records_are_judged_when_they_are_curated(workspace: Workspace, tmp_path: Path) -> None:
    rows = [
        {"instruction": "Ask for tea.", "output": "Some tea, please."},
        {"instruction": "Ask for milk.", "output": "Milk!", "spec": {"why": "rude"}},
        {"instruction": "Ask for salt."},
    ]
    read = do(workspace, "ingest", kind="jsonl", paths=[write_rows(tmp_path, rows)], name="rows", check=WORDS)
    assert [record.task.domain for record in read if record.task] == ["check"] * 3
    assert read[1].task is not None and read[1].task.spec["why"] == "rude"
    assert [len(record.messages) for record in read] == [2, 2, 1]
    kept = do(workspace, "curate", sources=["rows"], name="polite")
    assert [datasets.answer_text(record) for record in kept] == ["Some tea, please."]
    assert kept[0].verdicts[-1].ok is True


def test_a_campaign_asks_the_questions_and_keeps_what_passes(workspace: Workspace, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"instruction": "Say please."}, {"instruction": "Say thanks."}]
    do(workspace, "ingest", kind="jsonl", paths=[write_rows(tmp_path, rows)], name="questions", check=WORDS)
    made = do(
        workspace, "generate", domain="check", source="questions", name="answers", teacher="echo:x", candidates=1.0
    )
    assert [datasets.answer_text(record) for record in made] == ["Say please."]


def test_rewards_follow_the_verdict() -> None:
    task = build_task(read_check(WORDS, Path(".")), "Ask for tea.")
    right, wrong = (check_answer(task, text) for text in ("Tea, please.", "Tea!"))
    assert (reward(task, "Tea, please.", right, Reward()) or 0) > 0.8
    assert reward(task, "Tea!", wrong, Reward()) == 0.0


def test_every_reply_of_an_expert_with_a_check_is_judged() -> None:
    polite = Expert(name="polite", model="echo:x", check=read_check(WORDS, Path(".")))
    with_none = Expert(name="free", model="echo:x")
    checker = ReplyChecker()
    council = Council({"polite": (polite, Echo("x")), "free": (with_none, Echo("x"))}, None, check=checker)
    try:
        told = council.ask(datasets.task_messages("Tea!"), expert="polite")
        assert told.verdict is not None and told.verdict.ok is False
        assert "refuted by check/1" in footer(told.verdict)
        fine = council.ask(datasets.task_messages("Tea, please"), expert="polite").verdict
        assert fine is not None and fine.ok is True
        free = council.ask(datasets.task_messages("Tea!"), expert="free").verdict
        assert free is not None and free.ok is None
    finally:
        checker.close()


def test_init_stores_a_check_and_a_missing_command_stores_nothing(tmp_path: Path) -> None:
    init(InitConfig(folder=tmp_path / "a", check=WORDS))
    init(InitConfig(folder=tmp_path / "a", check=WORDS))
    assert Workspace(tmp_path / "a").settings.checks == {"default": WORDS}
    with pytest.raises(ConfigError, match="another check"):
        init(InitConfig(folder=tmp_path / "a", check="exact"))
    with pytest.raises(MissingError, match="no-such-checker"):
        init(InitConfig(folder=tmp_path / "b", check="no-such-checker {file}"))
    assert not (tmp_path / "b").exists()


def test_a_missing_command_is_an_error_before_anything_is_read(workspace: Workspace, tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"instruction": "a", "output": "b"}]
    with pytest.raises(MissingError, match="no-such-checker"):
        do(
            workspace,
            "ingest",
            kind="jsonl",
            paths=[write_rows(tmp_path, rows)],
            name="r",
            check="no-such-checker {file}",
        )
    assert workspace.names("records") == []
