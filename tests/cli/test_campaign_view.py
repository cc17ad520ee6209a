"""A campaign in the terminal: what a pulse says, as a person reads it."""

from __future__ import annotations

from rich.console import Console

from afs.cli.campaign_view import campaign_lines, campaign_table, summary_line

PULSE = {
    "accepted": 30,
    "wanted": 120,
    "acceptance": [0.4, 0.5, 0.6],
    "spent_usd": 1.25,
    "budget_usd": 20.0,
    "eta_s": [300.0, 420.0, 700.0],
    "cells": {"snes/explain": [25, 100, 50], "snes/debug": [5, 20, 10]},
    "models": {
        "openai:gpt-5.2": {
            "rate": 3.25,
            "answered": 55,
            "failed": 2,
            "in_flight": 8,
            "cost_usd": 1.25,
            "quota_left": [440, 500, 60.0],
            "closed": "",
        },
        "box:qwen3": {
            "rate": 0.0,
            "answered": 0,
            "failed": 5,
            "in_flight": 0,
            "cost_usd": 0.0,
            "quota_left": None,
            "closed": "5 failures in a row, the last: no connection",
        },
    },
}


def test_what_a_pulse_says() -> None:
    cells, models, line = campaign_lines(PULSE)
    assert [row[0] for row in cells] == ["snes/explain", "snes/debug"] and cells[0][2:] == ["25/100", "50% accepted"]
    assert models[0][1:6] == ["3.2/s", "55 answers", "2 errors", "$1.2500", "440 of 500 left in 60 s"]
    assert models[1][-1].startswith("rests: 5 failures in a row")
    assert line == "30 of 120 accepted · acceptance 50% [40%, 60%] · $1.2500 of $20 · 7 min left [5 min, 12 min]"


def test_an_unknown_is_not_shown_as_a_number() -> None:
    first = {**PULSE, "accepted": 0, "acceptance": [None, None, None], "eta_s": None, "budget_usd": None}
    assert summary_line(first) == "0 of 120 accepted · $1.2500"


def test_the_table_fits_a_narrow_terminal() -> None:
    cells = {f"snes/family-{n}": [n, 40, 40] for n in range(30)}
    console = Console(width=60, record=True, file=open("/dev/null", "w", encoding="utf-8"))  # noqa: SIM115  closed with the test
    console.print(campaign_table({**PULSE, "cells": cells}))
    console.file.close()
    lines = console.export_text().splitlines()
    assert max(map(len, lines)) <= 60 and any("14 more" in line for line in lines)
