"""Parts of pages: commands in hints are code, foreign text stays text, money has as many digits as it needs."""

from __future__ import annotations

import time

import pytest

from afs.cloud.ledger import Ledger
from afs.dashboard.dashboard_state import Views
from afs.dashboard.home_page import home_page
from afs.dashboard.page_parts import count_of, format_usd, heading, paragraph, with_code
from afs.pages import Html
from afs.workspace import Workspace


def test_commands_are_code_and_markup_is_escaped() -> None:
    assert with_code("run `afs top <x>` now") == "run <code>afs top &lt;x&gt;</code> now"
    assert paragraph("`a` and <b>") == "<p><code>a</code> and &lt;b&gt;</p>"
    assert "<code>afs cloud reap</code>" in heading("Machines", "`afs cloud reap` destroys")
    assert with_code(Html("<i>`kept`</i>")) == "<i>`kept`</i>"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "unknown"),
        (0, "$0.00"),
        (0.31, "$0.31"),
        (0.3125, "$0.3125"),
        (1234.5, "$1,234.50"),
        (0.0000012, "$0.0000012"),
    ],
)
def test_money(value: float | None, text: str) -> None:
    assert format_usd(value) == text


def test_counts() -> None:
    assert [count_of(number, "note") for number in (0, 1, 2)] == ["0 notes", "1 note", "2 notes"]


def test_a_rented_machine_is_money_being_spent(workspace: Workspace) -> None:
    ledger = Ledger(workspace.root / "cloud")
    for step in ("intent", "created", "running"):
        ledger.append("afs-a", step, provider="vast", machine="7", gpu="A4000", usd_hour=0.5, deadline=time.time() + 9)
    views = Views(workspace)
    views.look()
    tiles = next(part.body for part in home_page(views).sections if part.key == "tiles")
    assert "rented machines: $0.50 an hour" in tiles and "nothing is being spent" not in tiles
