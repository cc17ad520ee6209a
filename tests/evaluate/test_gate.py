"""What the gate lets pass, and each thing it must not."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from afs import artifacts, datasets, verbs
from afs.errors import ConfigError, DataError, RefusedError
from afs.evaluate import (
    EvalRunConfig,
    contamination,
    eval_run,
    gate_checks,
    models_under_test,
    report_store,
    result_rows,
)
from afs.evaluate.gate import eval_gate
from afs.evaluate.gate_checks import GateConfig
from afs.evaluate.suite_types import SuiteItem
from afs.evaluate.suites import open_suite
from afs.providers.base import provider
from afs.registry import Registry, alpha_spending
from afs.registry.event_log import Event, RegistryLog
from afs.runs import Run
from afs.types import Interval, Origin, Record, Task, record_id
from afs.workspace import Workspace

from .conftest import Player, rewrite_rows


@pytest.fixture
def measured(workspace: Workspace, run: Run, player: Player, monkeypatch: pytest.MonkeyPatch) -> str:
    """A stored model that is better than its stored base, measured; its answers come from a file."""
    items = open_suite(workspace, "sums:add,sort", count=60).items
    specs = {
        "good@1": player("good", items, lambda i, item: item.task.reference if i % 12 else "7 7 7"),
        "base@1": player("base", items, lambda i, item: item.task.reference if i % 3 == 1 else "none"),
    }
    train = [_record("say 1 2 3", "one two three"), _record("copy 5 5 5 5", "5 5 5 5")]
    with datasets.write_dataset(workspace, "train-set", "dataset", splits=("train",)) as pending:
        for record in train:
            pending.add("train", record)
    for name, base in (("base", ""), ("good", "base@1")):
        form, dataset = ("adapter", "train-set@1") if base else ("base", "")
        with artifacts.store_artifact(workspace, name, form=form, base=base, dataset=dataset) as made:
            (made.folder / "weights").write_text(name)

    class Named:
        def __init__(self, name: str) -> None:
            self.inner, self.name = provider(specs[name]), name
            self.complete = self.inner.complete

    monkeypatch.setattr(Registry, "open", lambda _, spec, __={}: Named(spec if "@" in spec else f"{spec}@1"))
    config = EvalRunConfig(suite="sums:add,sort", model=("good",), count=60, name="r")
    assert eval_run(config, run).environment["base"] == "base@1"
    assert models_under_test.find_subject(workspace, "good").base == "base@1"
    told = str(report_store.load(workspace, "r").environment["notes"])
    assert "No item of the suite is in the training data train-set@1" in told
    return "r"


def _record(prompt: str, answer: str) -> Record:
    messages = datasets.task_messages(prompt, "", answer)
    return Record(id=record_id("sums", messages), domain="sums", kind="x", messages=messages, origin=Origin(source="t"))


def test_a_better_model_passes_and_may_be_promoted(workspace: Workspace, run: Run, measured: str) -> None:
    report = eval_gate(GateConfig(report=measured, max_unusable=0.0), run)
    assert report.ref == "r-gate@1" and report.subject == "good@1"
    registry = Registry(workspace)
    registry.register("din", "good@1")
    assert registry.promote("din", gate=report_store.load(workspace, "r-gate")).aliases["champion"] == "good@1"


def test_an_unshown_gain_is_refused_with_exit_3(workspace: Workspace, run: Run, measured: str) -> None:
    table = report_store.table(workspace, report_store.load(workspace, measured))
    same = [row if row.model == "base@1" else msgspec.structs.replace(row, ok=False, score=0.0) for row in table.rows]
    _replace(workspace, measured, same)
    with pytest.raises(RefusedError, match="target all failed") as caught:
        eval_gate(GateConfig(report=measured), run)
    assert caught.value.exit_code == 3
    gate = report_store.load(workspace, "r-gate").environment["gate"]
    assert isinstance(gate, dict) and gate["passed"] is False
    with pytest.raises(RefusedError):
        registry = Registry(workspace)
        registry.register("din", "good@1")
        registry.promote("din", gate=report_store.load(workspace, "r-gate"))


def _replace(workspace: Workspace, name: str, rows: list[result_rows.ResultRow]) -> None:
    rewrite_rows(report_store.folder_of(workspace, name) / report_store.RESULTS, rows)


def test_other_files_than_measured_are_refused(workspace: Workspace, run: Run, measured: str) -> None:
    (workspace.root / "models" / "good" / "1" / "weights").write_text("changed")
    with pytest.raises(RefusedError, match="files failed"):
        eval_gate(GateConfig(report=measured), run)


def test_items_in_the_training_data_are_refused(workspace: Workspace, run: Run, measured: str) -> None:
    item = open_suite(workspace, "sums:add,sort", count=60).items[3]
    with datasets.write_dataset(workspace, "leaky", "dataset", splits=("train",)) as pending:
        pending.add("train", _record(item.task.prompt, item.task.reference))
    with pytest.raises(RefusedError, match=r"contamination failed \(1 items in leaky@1"):
        eval_gate(GateConfig(report=measured, dataset="leaky"), run)


def test_a_guarded_category_that_fell_is_refused(workspace: Workspace, run: Run, measured: str) -> None:
    table = report_store.table(workspace, report_store.load(workspace, measured))
    rows = [
        msgspec.structs.replace(row, ok=False, score=0.0) if row.model == "good@1" and row.category == "sort" else row
        for row in table.rows
    ]
    _replace(workspace, measured, rows)
    with pytest.raises(RefusedError, match="guards sort failed"):
        eval_gate(GateConfig(report=measured, target="add", guards=("sort",)), run)
    with pytest.raises(RefusedError, match="guard: the other categories failed"):
        eval_gate(GateConfig(report=measured, target="add"), run)


def test_unknown_is_not_passed(workspace: Workspace, run: Run, measured: str) -> None:
    with pytest.raises(RefusedError, match="perplexity unknown"):
        eval_gate(GateConfig(report=measured, preset="founding"), run)
    with pytest.raises(ConfigError, match="did you mean 'founding'"):
        eval_gate(GateConfig(report=measured, preset="fonding"), run)
    with pytest.raises(ConfigError, match="no category 'addd'"):
        eval_gate(GateConfig(report=measured, target="addd"), run)


def test_a_gate_is_a_verb_with_a_run(workspace: Workspace, measured: str) -> None:
    made = verbs.do("eval gate", GateConfig(report=measured), workspace)
    assert isinstance(made, report_store.StoredReport) and "may be shipped" in made.text()


CODE = """Load the value and store it.
```asm
start:
    rep #$20        ; wide
    lda #$1234
    sta $7E0010
    eor #$00FF
    sta $7E0012
```"""


def _item(number: int, prompt: str, gold: str) -> SuiteItem:
    return SuiteItem(task=Task(id=f"i{number}", domain="", family="f", prompt=prompt, reference=gold), category="c")


def test_code_is_found_under_other_labels_comments_and_case() -> None:
    item = _item(1, "Write it.", CODE)
    other = "begin:\n  REP #$20\n  LDA #$1234 ; another comment\n  STA $7e0010\n  EOR #$00ff\n  STA $7e0012\n  RTS"
    hits = contamination.find_leaks([item], [_record("Something else", other)])
    assert [hit.kind for hit in hits] == ["run"] and hits[0].length >= 8


def test_a_template_and_other_constants_are_no_leak() -> None:
    prompt = "Write a routine that adds {} to the word at $7E0010 and stores the sum at $7E0012 without changing X"
    items = [_item(n, prompt.format(n), f"adc #{n}") for n in range(5)]
    train = [_record(prompt.format(n), f"adc #{n}") for n in range(50, 60)]
    assert contamination.find_leaks(items, train) == []
    assert [hit.item for hit in contamination.find_leaks(items, [_record(prompt.format(3), "adc #3")])] == ["i3"]


def test_an_item_among_its_own_training_tasks_is_found(workspace: Workspace, tmp_path: Path) -> None:
    items = open_suite(workspace, "sums:add", count=5).items
    task = items[2].task
    record = msgspec.structs.replace(_record("asked in another way", "x"), task=task)
    assert [(hit.item, hit.kind) for hit in contamination.find_leaks(items, [record])] == [(task.id, "task")]


def test_trying_again_and_again_on_the_same_items_costs_error_rate(
    workspace: Workspace, run: Run, measured: str
) -> None:
    log = RegistryLog(workspace)
    for other in range(3):
        alpha_spending.record_gate(log, "sums", "x", suite=_suite_digest(workspace, measured), results=f"other{other}")
    with pytest.raises(
        RefusedError, match=r"at 99\.66%, as this is gate 4 on these items; 17% of the error rate is left"
    ):
        eval_gate(GateConfig(report=measured, contamination=False, at_least={"nothing": 1.0}), run)


def test_gating_the_same_results_again_is_not_another_try(workspace: Workspace, run: Run, measured: str) -> None:
    digest = _suite_digest(workspace, measured)
    for margin in (0.05, 0.06):
        verbs.do("eval gate", GateConfig(report=measured, contamination=False, margin=margin), workspace)
    events = RegistryLog(workspace).read()
    assert len([e for e in events if e.action == "gate"]) == 2
    assert alpha_spending.allowance(events, digest, "fresh results").number == 2
    assert alpha_spending.allowance(events, "other items", "fresh results").number == 1


def test_a_gate_killed_after_its_report_was_stored_is_recorded_once(
    workspace: Workspace, run: Run, measured: str
) -> None:
    config = GateConfig(report=measured, contamination=False)
    first = eval_gate(config, run)
    log = RegistryLog(workspace)
    log.path.unlink()
    assert [eval_gate(config, run).ref for _ in range(2)] == [first.ref, first.ref]
    assert [event.ref for event in log.read()] == [first.ref]
    assert workspace.versions("report", first.ref.partition("@")[0]) == [1]


def test_a_series_of_any_length_errs_at_most_twice_as_often() -> None:
    events: list[Event] = []
    shares = []
    for k in range(400):
        shares.append(alpha_spending.allowance(events, "s", f"r{k}").share)
        events.append(
            Event(number=k, time=0.0, action="gate", name="s", fields={"suite": "s", "results": f"r{k}"}, previous="")
        )
    assert shares[0] == 1.0 and 1.99 < sum(shares) < 2.0 and alpha_spending.allowance(events, "s", "x").left < 0.01


def _suite_digest(workspace: Workspace, report: str) -> str:
    return report_store.load(workspace, report).suite_digest


def test_edited_result_rows_are_refused(workspace: Workspace, run: Run, measured: str) -> None:
    path = report_store.folder_of(workspace, measured) / report_store.RESULTS
    rows = [msgspec.structs.replace(row, ok=True, score=1.0) for row in result_rows.read(path).rows]
    report_store.write_packed(path, rows)
    with pytest.raises(DataError, match=r"results\.jsonl\.zst: .* the manifest"):
        eval_gate(GateConfig(report=measured), run)


def test_a_one_sided_bound_errs_as_often_as_the_whole_interval() -> None:
    assert [gate_checks.one_sided(level) for level in (0.95, 0.9, 0.5)] == pytest.approx([0.9, 0.8, 0.0])


def test_a_failed_guard_says_how_many_items_an_equal_model_needs() -> None:
    def guard(n: int, better: int, worse: int, *, passed: bool = False) -> str:
        found = SimpleNamespace(difference=SimpleNamespace(n=n), better=better, worse=worse)
        check = gate_checks.GateCheck(name="g", passed=passed, measured="m", wanted="w")
        return gate_checks._with_need(check, found, 0.05).wanted  # type: ignore[arg-type]

    assert guard(60, 6, 6) == "w (60 items; an equal model needs about 495 to pass)"
    assert guard(60, 0, 0) == "w", "60 are enough where one item in 60 differs"
    assert guard(60, 6, 6, passed=True) == "w" and guard(0, 0, 0) == "w"
    assert guard(2000, 6, 6) == "w"


def test_a_metric_meets_its_threshold_or_is_unknown() -> None:
    summary = {"exact": Interval(value=0.5), "perplexity": Interval(value=3.0), "lost": Interval(value=None)}

    def words(**limits: dict[str, float]) -> list[tuple[str, str]]:
        case = SimpleNamespace(config=GateConfig(report="r", **limits), report=SimpleNamespace(summary=summary))
        return [(check.measured, check.wanted) for check in gate_checks.check_numbers(case)]  # type: ignore[arg-type]

    summary["odd"] = Interval(value=1.23456)
    assert words(at_least={"odd": 0.4}, at_most={"odd": 3}) == [("1.235", "above 0.4"), ("1.235", "below 3")]

    def checked(**limits: dict[str, float]) -> dict[str, bool | None]:
        case = SimpleNamespace(config=GateConfig(report="r", **limits), report=SimpleNamespace(summary=summary))
        return {check.name: check.passed for check in gate_checks.check_numbers(case)}  # type: ignore[arg-type]

    assert checked(at_least={"exact": 0.4, "lost": 0.1, "nothing": 0.1}) == {
        "exact": True, "lost": None, "nothing": None,
    }  # fmt: skip
    assert checked(at_least={"exact": 0.5}) == checked(at_least={"exact": 0.6}) == {"exact": False}
    assert checked(at_most={"perplexity": 3.5}) == {"perplexity": True}
    assert checked(at_most={"perplexity": 3.0}) == checked(at_most={"perplexity": 2.0}) == {"perplexity": False}


@pytest.mark.parametrize(("count", "total", "passed"), [(2, 100, True), (3, 100, False), (0, 0, None), (0, 9, True)])
def test_a_share_passes_up_to_its_limit(count: int, total: int, passed: bool | None) -> None:
    check = gate_checks._share("form", count, total, 0.02, "answers unusable")
    assert check.passed is passed and check.wanted == "at most 2 %"
