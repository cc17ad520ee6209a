"""Flips: items that only one of two models solved are counted and shown with both answers; ties and broken reports are not."""

from __future__ import annotations

from afs.dashboard.dashboard_state import Views
from afs.dashboard.flips import find_flips
from afs.dashboard.pages_by_name import build_page
from afs.evaluate import report_store
from afs.evaluate.result_rows import ResultRow
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.providers.base import Sampling
from afs.types import Report, Task
from afs.workspace import Workspace


def row(item: str, model: str, ok: bool | None, output: str = "") -> ResultRow:
    return ResultRow(
        suite="d",
        item=item,
        family="add",
        category="c",
        cluster=item,
        model=model,
        sampling=Sampling(),
        outcome="answered" if ok is not None else "slow",
        score=None if ok is None else float(ok),
        ok=ok,
        output=output,
        reason="" if ok else f"{item} is wrong",
    )


def store(workspace: Workspace, own: str, base: str) -> Report:
    """A report on items i0, i1 …: `1` solved, `0` not, `?` no answer."""
    meaning = {"1": True, "0": False, "?": None}
    rows = [row(f"i{n}", "a", meaning[mark], f"a says {n}") for n, mark in enumerate(own)]
    rows += [row(f"i{n}", "b", meaning[mark], f"<b>{n}</b>") for n, mark in enumerate(base)]
    tasks = [Task(id=f"i{n}", domain="", family="add", prompt="?", reference="!") for n in range(len(own))]
    suite = Suite(name="s", items=tuple(SuiteItem(category="c", task=task) for task in tasks))
    facts = {"subject": "a", "suite": "s", "suite_digest": "d", "summary": {}, "environment": {"base": "b"}}
    return report_store.store(workspace, "r", suite, rows, facts)


def test_gains_losses_and_nothing_else(workspace: Workspace) -> None:
    report = store(workspace, "1100?", "10111")
    found = find_flips(workspace.root, str(report.ref))
    assert found is not None
    assert (found.base, found.gained, found.lost) == ("b", 1, 2)
    assert [(flip.item, flip.is_gain, flip.reason) for flip in found.latest] == [
        ("i2", False, "i2 is wrong"),
        ("i3", False, "i3 is wrong"),
        ("i1", True, "i1 is wrong"),
    ]


def test_the_page_shows_them_escaped(workspace: Workspace) -> None:
    store(workspace, "10", "01")
    views = Views(workspace)
    views.look()
    page = build_page(views, "evaluation.html")
    assert page is not None
    body = str(next(part.body for part in page.sections if part.key == "flips"))
    assert "1 gained, 1 lost" in body
    assert "&lt;b&gt;1&lt;/b&gt;" in body and "<b>1</b>" not in body


def test_equal_answers_and_a_damaged_report_have_none(workspace: Workspace) -> None:
    views = Views(workspace)
    report = store(workspace, "11", "11")
    page = build_page(views, "evaluation.html")
    assert page is not None and not str(next(part.body for part in page.sections if part.key == "flips"))
    folder = report_store.folder_of(workspace, str(report.ref))
    find_flips.cache_clear()
    (folder / report_store.RESULTS).write_bytes(b"torn")
    assert find_flips(workspace.root, str(report.ref)) is None
