"""The terminal's view and the static copy, from the same real runs as the pages."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from tests.dashboard.test_run_index import make_run, step

from afs.cli.main import main
from afs.dashboard.export_command import CopyConfig, export_pages
from afs.dashboard.top_command import TopConfig, show_top
from afs.errors import UsageError
from afs.workspace import Workspace


def top(workspace: Workspace, what: str = "") -> str:
    found = show_top(TopConfig(what=what, once=True), workspace)
    assert found is not None
    return found.text()


def test_home_a_run_and_a_campaign(real: Workspace) -> None:
    home = top(real)
    assert "0 running" in home and "small" in home and "train toy" in home and "$" in home
    run = next(p.name for p in (real.root / "runs").iterdir() if "-train-" in p.name)
    text = top(real, run)
    assert "loss" in text and "steps" in text and run in text
    campaign = top(real, "echoed")
    assert "cells" in campaign and "echo:x" in campaign and "30" in campaign
    assert top(real, "latest").startswith(max(p.name for p in (real.root / "runs").iterdir()))


def test_foreign_text_is_no_markup_and_no_control_code(real: Workspace) -> None:
    folder = make_run(real, "20990101-000000-train-aaaaaa", step(1), "failed")
    (folder / "config.json").write_text(json.dumps({"name": "[red]x[/nope]\x1b[31m"}))
    text = top(real)
    assert "[red]x[/nope]" in text and "\x1b" not in text


def test_a_name_that_means_nothing_or_too_much(real: Workspace) -> None:
    with pytest.raises(UsageError, match="no run and no campaign"):
        top(real, "nobody")
    with pytest.raises(UsageError, match="more than one run"):
        top(real, "train")


def test_as_json(real: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["top", "--once", "--json", "--workspace", str(real.root)]) == 0
    view = json.loads(capsys.readouterr().out)["view"]
    assert {run["liveness"] for run in view["runs"]} == {"done"} and view["campaigns"]


def test_an_empty_workspace(workspace: Workspace) -> None:
    assert "no run yet" in top(workspace)


def test_a_copy_holds_every_page_and_every_record_it_cites(real: Workspace, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    found = export_pages(CopyConfig(folder=copy), real)
    assert found.pages == len(list(copy.glob("*.html"))) > 15 and found.records > 30
    for page in copy.glob("*.html"):
        text = page.read_text()
        assert "data-live" not in text and "https:" not in text
        for target in re.findall(r'(?:href|src)="([^"#?]+)', text):
            assert target.startswith("login") or (copy / unquote(target)).exists(), (page.name, target)
    export_pages(CopyConfig(folder=copy), real)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match="not empty"):
        export_pages(CopyConfig(folder=tmp_path / "full"), real)
