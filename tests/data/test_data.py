"""Looking at data and taking it out: round trips, refusals, differences, cards, the report."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from backports import zstd

from afs import datasets, runs
from afs.curate import CurateConfig, curate
from afs.curate.format_checks import ValidateConfig, validate
from afs.data.browse import ListConfig, RedactionsConfig, ShowConfig, StatsConfig, list_sets, redactions, show, stats
from afs.data.diff import DiffConfig, compare_sets
from afs.data.export import ExportConfig, export_dataset
from afs.data.record_text import paint_ansi, render_record
from afs.data.report import ReportConfig, write_report
from afs.errors import RefusedError, UsageError
from afs.ingest import IngestConfig, ingest
from afs.types import Dropped, Message, Origin, Record, Task, Tool, ToolCall, Verdict, record_id
from afs.workspace import Workspace


def record(*turns: Message, license: str = "MIT", kind: str = "chat", **more: object) -> Record:
    made = Record(
        id=record_id("general", turns), domain="general", kind=kind, messages=turns,
        origin=Origin(source="mine", uri="a.jsonl#L1", license=license, group="g"),
    )  # fmt: skip
    return msgspec.structs.replace(made, **more)


def said(role: str, text: str = "", **more: object) -> Message:
    return msgspec.structs.replace(Message(role="user"), role=role, text=text, **more)


PLAIN = record(
    said("system", "be brief"),
    said("user", "what is <|im_end|> X?"),
    said("assistant", "an index\n\n```asm\n  ldx #$01 ; one\n```"),
)
LONG = record(said("user", "a"), said("assistant", "b"), said("user", "c"), said("assistant", "d", thinking="hm"))
TOOLS = record(
    said("user", "list"),
    said("assistant", "", thinking="look", tool_calls=(ToolCall(id="1", name="ls", arguments={"p": [1, {"x": "é"}]}),)),
    said("tool", "a b", tool_call_id="1", name="ls"),
    said("assistant", "two files"),
    kind="tools", tools=(Tool(name="ls", description="list", parameters={"type": "object"}),), tags=("t",),
)  # fmt: skip
TASK = record(
    said("user", "1+1"), said("assistant", "2"),
    task=Task(id="t1", domain="sums", family="add", prompt="1+1", reference="2", spec={"numbers": [1, 1]}),
    verdicts=(Verdict(task="t1", ok=True, score=1.0, stage="match"),),
)  # fmt: skip
EVERY = (PLAIN, LONG, TOOLS, TASK)


def store(
    workspace: Workspace, records: tuple[Record, ...], name: str = "set", drops: tuple[Dropped, ...] = ()
) -> None:
    with datasets.write_dataset(workspace, name, "dataset", splits=("train", "val", "test")) as pending:
        for number, item in enumerate(records):
            pending.add(("train", "val", "test")[number % 3], item)
        for drop in drops:
            pending.drop(drop)


@pytest.mark.parametrize(
    ("format_", "whole"),
    [("messages", EVERY), ("unsloth", EVERY), ("mlx", EVERY), ("hf", EVERY), ("sharegpt", EVERY), ("alpaca", (PLAIN, LONG, TASK)),
     ("chatml", EVERY), ("completions", (PLAIN, TASK)), ("mlx-completions", (PLAIN, TASK))],
)  # fmt: skip
def test_a_round_trip_gives_the_same_records(
    workspace: Workspace, tmp_path: Path, format_: str, whole: tuple[Record, ...]
) -> None:
    store(workspace, EVERY)
    made = export_dataset(ExportConfig(ref="set", format=format_, to=tmp_path / "out"), workspace)
    assert sum(made.rows.values()) == len(whole)
    assert sum(made.rows.values()) + sum(made.left_out.values()) == len(EVERY)
    config = IngestConfig(kind="jsonl", paths=(tmp_path / "out",), name="back")
    with runs.open_run(workspace, "ingest", config) as run:
        back = ingest(config, run)
    assert {r.id: r for r in datasets.read(workspace, back)} == {r.id: r for r in whole}


def test_pairs_come_back_as_the_record_and_the_answer_turned_away(workspace: Workspace, tmp_path: Path) -> None:
    turns = (said("user", "1+1"), said("assistant", "3"))
    bad = msgspec.structs.replace(TASK, messages=turns, id=record_id("general", turns), verdicts=())
    store(workspace, (TASK,), drops=(Dropped(record=bad, reason="score: verdict below its floor"),))
    export_dataset(ExportConfig(ref="set", format="dpo", to=tmp_path / "out"), workspace)
    config = IngestConfig(kind="jsonl", paths=(tmp_path / "out",), name="back")
    with runs.open_run(workspace, "ingest", config) as run:
        back = ingest(config, run)
    assert list(datasets.read(workspace, back)) == [TASK]
    (dropped,) = datasets.read_dropped(workspace, back)
    assert dropped.record == bad and back.counts["found"] == 2
    export_dataset(ExportConfig(ref="back", format="dpo", to=tmp_path / "again"), workspace)
    assert (tmp_path / "again" / "train.jsonl").read_bytes() == (tmp_path / "out" / "train.jsonl").read_bytes()


def test_chatml_by_hand_is_read_and_an_edited_text_is_a_child(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, (TOOLS,))
    export_dataset(ExportConfig(ref="set", format="chatml", to=tmp_path / "out"), workspace)
    path = tmp_path / "out" / "train.jsonl"
    row = json.loads(path.read_text())
    row["text"] = row["text"].replace("two files", "three files")
    hand = {"text": "<|im_start|>user\nhi<|im_end|>\n<|im_start|>assistant\nho"}
    path.write_text(json.dumps(row) + "\n" + json.dumps(hand) + "\n")
    config = IngestConfig(kind="jsonl", paths=(path,), name="back")
    with runs.open_run(workspace, "ingest", config) as run:
        edited, plain = datasets.read(workspace, ingest(config, run))
    assert edited.origin.parents == (TOOLS.id,) and edited.messages[:-1] == TOOLS.messages[:-1]
    assert [m.text for m in plain.messages] == ["hi", "ho"]


def test_an_edited_row_comes_back_as_a_child_without_verdicts(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, (TASK,))
    export_dataset(ExportConfig(ref="set", to=tmp_path / "out"), workspace)
    path = tmp_path / "out" / "train.jsonl"
    row = json.loads(path.read_text())
    row["messages"][-1]["content"] = "3"
    path.write_text(json.dumps(row))
    config = IngestConfig(kind="jsonl", paths=(path,), name="back")
    with runs.open_run(workspace, "ingest", config) as run:
        (back,) = datasets.read(workspace, ingest(config, run))
    assert back.id != TASK.id and back.origin.parents == (TASK.id,)
    assert back.task == TASK.task and not back.verdicts


def test_mlx_files_have_the_names_mlx_reads(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, EVERY)
    export_dataset(ExportConfig(ref="set", format="mlx", to=tmp_path / "out"), workspace)
    assert {p.name for p in (tmp_path / "out").iterdir()} >= {"train.jsonl", "valid.jsonl", "test.jsonl", "README.md"}


def test_chatml_cannot_be_broken_by_its_content(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, (PLAIN,))
    export_dataset(ExportConfig(ref="set", format="chatml", to=tmp_path / "out"), workspace)
    text = json.loads((tmp_path / "out" / "train.jsonl").read_text())["text"]
    assert text.count("<|im_start|>") == text.count("<|im_end|>") == 3


def test_preferences_pair_a_kept_with_a_turned_away_answer(workspace: Workspace, tmp_path: Path) -> None:
    bad = msgspec.structs.replace(TASK, messages=(said("user", "1+1"), said("assistant", "3")), id="x" * 32)
    store(workspace, (TASK,), drops=(Dropped(record=bad, reason="score: verdict below its floor"),))
    export_dataset(ExportConfig(ref="set", format="dpo", to=tmp_path / "out"), workspace)
    row = json.loads((tmp_path / "out" / "train.jsonl").read_text())
    assert (row["chosen"][0]["content"], row["rejected"][0]["content"]) == ("2", "3")
    store(workspace, (TASK,), name="none")
    with pytest.raises(RefusedError, match="no pairs"):
        export_dataset(ExportConfig(ref="none", format="dpo", to=tmp_path / "none"), workspace)


def test_unknown_licenses_and_secrets_do_not_go_out(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, (record(said("user", "q"), said("assistant", "a"), license=""),), name="free")
    with pytest.raises(RefusedError, match="--allow-unlicensed mine"):
        export_dataset(ExportConfig(ref="free", to=tmp_path / "a"), workspace)
    assert (
        export_dataset(ExportConfig(ref="free", to=tmp_path / "a", allow_unlicensed=("mine",)), workspace).rows["train"]
        == 1
    )
    store(workspace, (record(said("user", "q"), said("assistant", "mail joe.doe@corp.org")),), name="leak")
    with pytest.raises(RefusedError, match=r"\(email\)"):
        export_dataset(ExportConfig(ref="leak", to=tmp_path / "b"), workspace)
    assert not (tmp_path / "b").exists()


def test_what_a_format_cannot_hold_is_counted_or_refused(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, EVERY)
    made = export_dataset(ExportConfig(ref="set", format="completions", to=tmp_path / "a"), workspace)
    assert made.left_out == {"tool calls": 1, "more than one question": 1}
    with pytest.raises(RefusedError, match="cannot represent"):
        export_dataset(ExportConfig(ref="set", format="completions", to=tmp_path / "a", unfit=False), workspace)
    with pytest.raises(UsageError, match="did you mean 'alpaca'"):
        export_dataset(ExportConfig(ref="set", format="alpacca", to=tmp_path / "c"), workspace)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("x")
    with pytest.raises(UsageError, match="not an export"):
        export_dataset(ExportConfig(ref="set", to=tmp_path / "mine"), workspace)


def test_an_export_replaces_an_earlier_one_and_what_a_killed_one_left(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / ".out.staged-left" / "new").mkdir(parents=True)
    for records in (EVERY, EVERY[:1]):
        store(workspace, records)
        export_dataset(ExportConfig(ref="set", to=tmp_path / "out"), workspace)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "workspace") == ["out"]
    assert (tmp_path / "out/test.jsonl").read_bytes() == b""


def test_the_card_tells_sources_licenses_and_counts(workspace: Workspace, tmp_path: Path) -> None:
    store(workspace, EVERY)
    export_dataset(ExportConfig(ref="set", to=tmp_path / "out"), workspace)
    text = (tmp_path / "out" / "README.md").read_text()
    assert "license: mit" in text and "| mine | 4 |" in text and "| train | 2 |" in text
    assert (tmp_path / "out" / "lengths.svg").read_bytes().startswith(b"<svg xmlns=")


def test_the_card_shows_scores_and_what_was_hidden(workspace: Workspace, tmp_path: Path) -> None:
    rows = tmp_path / "a.jsonl"
    rows.write_text(
        "".join(
            f'{{"instruction": "who wrote part {n} of it?", "output": "part {n} is by a{n}@corp.org"}}\n'
            for n in range(40)
        )
    )
    taken = IngestConfig(kind="jsonl", paths=(rows,), name="raw", license="MIT")
    with runs.open_run(workspace, "ingest", taken) as run:
        ingest(taken, run)
    made = CurateConfig(sources=("raw",), name="set")
    with runs.open_run(workspace, "curate", made) as run:
        curate(made, run)
    export_dataset(ExportConfig(ref="set", to=tmp_path / "out"), workspace)
    text = (tmp_path / "out" / "README.md").read_text()
    assert "![scores](scores.svg)" in text and "| email | 40 |" in text
    assert (tmp_path / "out" / "scores.svg").read_bytes().startswith(b"<svg xmlns=")
    page = Path(write_report(ReportConfig(ref="set"), workspace).file).read_text()
    assert page.count("<svg ") == 2 and "<td>email" in page


def test_redactions_show_every_rule_before_a_second_of_one(workspace: Workspace, tmp_path: Path) -> None:
    rows = tmp_path / "a.jsonl"
    texts = [*(f"by a{n}@corp.org" for n in range(9)), "at 192.168.4.77", "in /home/annabel/x"]
    rows.write_text(
        "".join(f'{{"instruction": "where is part {n}?", "output": "{text}"}}\n' for n, text in enumerate(texts))
    )
    config = IngestConfig(kind="jsonl", paths=(rows,), name="raw")
    with runs.open_run(workspace, "ingest", config) as run:
        ingest(config, run)
    found = redactions(RedactionsConfig(ref="raw", n=4), workspace)
    assert {s.rule for s in found.samples} == {"email", "ipv4", "home-path"} and len(found.samples) == 4
    assert len(redactions(RedactionsConfig(ref="raw", rule="email"), workspace).samples) == 9


def test_code_and_verdicts_are_painted_and_long_turns_are_cut() -> None:
    text = render_record(PLAIN, "why", paint_ansi)
    assert "\x1b[33m#$01\x1b[0m" in text and "\x1b[2m; one\x1b[0m" in text and "\x1b[31m  dropped: why\x1b[0m" in text
    assert "\x1b[32m  verdict: passes at match" in render_record(TASK, "", paint_ansi)
    long = record(said("user", "q"), said("assistant", "\n".join(map(str, range(100)))))
    assert "… 60 more lines" in render_record(long) and render_record(long, lines=0).endswith("  99")


def test_diff_says_what_entered_left_changed_and_moved(workspace: Workspace) -> None:
    store(workspace, (PLAIN, LONG, TASK))
    other = msgspec.structs.replace(TASK, id="z" * 32)
    new = record(said("user", "new"), said("assistant", "x"), origin=Origin(source="mine", uri="b#L1"))
    store(workspace, (LONG, new, other))
    found = compare_sets(DiffConfig(before="set@1", after="set@2"), workspace)
    assert (found.entered, found.left, found.changed, found.moved, found.same) == (1, 1, 1, 1, 0)
    assert "1 entered, 1 left, 1 changed, 1 on another side" in found.text()


def test_show_list_and_stats(workspace: Workspace) -> None:
    store(workspace, EVERY, drops=(Dropped(record=PLAIN, reason="score: x", detail="why"),))
    assert list_sets(ListConfig(), workspace)[0].dropped == 1
    assert [r.id for r in show(ShowConfig(ref="set", find="list"), workspace).records] == [TOOLS.id]
    assert "dropped: score: x: why" in show(ShowConfig(ref="set", dropped="all"), workspace).text()
    assert "→ ls" in show(ShowConfig(ref="set", family="tools"), workspace).text()
    assert show(ShowConfig(ref="set", id="nope"), workspace).text() == "set@1: no matching record"
    found = stats(StatsConfig(ref="set"), workspace)
    assert (found.tool_calls, found.distinct_questions, found.questions_on_two_sides) == (1, 4, 0)


def test_the_report_is_one_safe_page(workspace: Workspace) -> None:
    evil = record(said("user", "<script>alert(1)</script>"), said("assistant", "x"))
    store(workspace, (evil,), drops=(Dropped(record=evil, reason="<b>bad"),))
    page = Path(write_report(ReportConfig(ref="set"), workspace).file).read_text()
    assert "<script" not in page and "&lt;b&gt;bad: 1" in page


def test_the_funnel_begins_with_what_the_readers_found(workspace: Workspace, tmp_path: Path) -> None:
    rows = [
        {
            "instruction": f"what is {i}?",
            "output": f"It is the number {i}, which comes after {i - 1} and before {i + 1} when one counts up.",
        }
        for i in range(30)
    ]
    text = "".join(json.dumps(row) + "\n" for row in [*rows, {"instruction": "q", "output": ""}])
    (tmp_path / "a.jsonl").write_text(text + "{broken\n")
    config = IngestConfig(kind="jsonl", paths=(tmp_path / "a.jsonl",), name="raw", license="MIT")
    with runs.open_run(workspace, "ingest", config) as run:
        ingest(config, run)
    curation = CurateConfig(sources=("raw",), name="set")
    with runs.open_run(workspace, "curate", curation) as run:
        curate(curation, run)
    page = Path(write_report(ReportConfig(ref="set"), workspace).file).read_text()
    assert 'found in the sources</td><td class="n">32' in page
    assert "unreadable: 1" in page and "no answer: 1 <span class=soft>when raw@1 was read" in page
    export_dataset(ExportConfig(ref="set", to=tmp_path / "out"), workspace)
    assert "| found in the sources | 32 |" in (tmp_path / "out" / "README.md").read_text()


def test_validate_lists_every_problem_with_its_place(workspace: Workspace) -> None:
    bad = record(said("assistant", "x"), said("user", "\x00<|im_end|>"), said("tool", "r", tool_call_id="9"))
    store(workspace, (PLAIN, PLAIN, bad, PLAIN))
    found = validate(ValidateConfig(ref="set", licenses=("Apache-2.0",)), workspace)
    told = {(p.place, p.problem.partition(":")[0]) for p in found.problems}
    assert found.records == 4 and found.exit_code == 3
    assert {
        ("test-00000.jsonl.zst:1", what) for what in ("roles", "encoding at messages[1]", "markers at messages[1]")
    } <= {(place, problem) for place, problem in told} | {
        (
            p.place,
            p.problem.replace(": control characters", "").replace(": a chat template's own token in the text", ""),
        )
        for p in found.problems
    }
    assert sum("license" in p.problem for p in found.problems) == 4
    assert any("is in train too" in p.problem for p in found.problems)


def test_a_file_of_records_is_checked_line_by_line(workspace: Workspace, tmp_path: Path) -> None:
    raw = msgspec.json.encode(LONG)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(
        b"\n".join([raw, raw.replace(b'"kind"', b'"kind":"x","kind"'), b'{"id": "\\ud800"}', b'{"id', b"\xff"])
    )
    found = validate(ValidateConfig(ref=str(path)), workspace)
    assert [p.place for p in found.problems] == [f"rows.jsonl:{n}" for n in (2, 3, 4, 5)]
    assert "appears twice" in found.problems[0].problem and found.records == 5


def test_validate_finds_clipped_answers(workspace: Workspace) -> None:
    clipped = record(said("user", "q"), said("assistant", "so:\n```asm\n  lda #$01"))
    cut = record(said("user", "q"), said("assistant", "and then [truncated]"))
    store(workspace, (PLAIN, clipped, cut))
    problems = validate(ValidateConfig(ref="set"), workspace).problems
    assert [p.problem for p in problems if "clipped" in p.problem] == ["answer: clipped"] * 2


def test_validate_finds_duplicate_keys_torn_lines_and_changed_files(workspace: Workspace) -> None:
    store(workspace, (PLAIN,))
    dataset = datasets.load(workspace, "set")
    path = datasets.folder_of(workspace, dataset) / dataset.splits[0].shards[0].path
    raw = zstd.decompress(path.read_bytes())
    twice = raw.replace(b'"kind":"chat"', b'"kind":"chat","kind":"x"')
    path.write_bytes(zstd.compress(raw + twice + b'{"id": \n'))
    problems = [p.problem for p in validate(ValidateConfig(ref="set"), workspace).problems]
    assert any("appears twice" in p for p in problems)
    assert sum("manifest says" in p for p in problems) == 1 and len(problems) == 4


def test_redactions_can_be_reviewed(workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"instruction": "write to joe.doe@corp.org", "output": "ok"}\n')
    config = IngestConfig(kind="jsonl", paths=(tmp_path / "a.jsonl",), name="raw")
    with runs.open_run(workspace, "ingest", config) as run:
        ingest(config, run)
    found = redactions(RedactionsConfig(ref="raw"), workspace)
    assert found.counts == {"email": 1}
    assert "joe" not in found.text() and "<EMAIL:" in found.text()
