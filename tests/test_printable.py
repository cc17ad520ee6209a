"""What comes from records, file names and providers cannot control the terminal."""

from __future__ import annotations

import json

import pytest

from afs.cli import output
from afs.printable import escape_json_controls, show_controls
from afs.types import Value

EVIL = "a\x1b[31mb\x07\x00\r\x9b2J\u202etxt\u2066\ufeff\udcff\x1b]0;title\x07"


class Row(Value, frozen=True, kw_only=True):
    name: str


class Colored(Value, frozen=True, kw_only=True):
    def text(self) -> str:
        return "\x1b[31mred\x1b[0m \x1b[8mhidden"


def is_safe(text: str) -> bool:
    return all(letter.isprintable() or letter in "\n\t" for letter in text)


def test_controls_are_shown_and_other_text_is_left_alone() -> None:
    assert is_safe(show_controls(EVIL)) and show_controls(EVIL).startswith("a\\x1b[31mb\\x07\\x00\\x0d")
    plain = "tab\tline\nüñí 日本語 🎉 “quotes”"
    assert show_controls(plain) is plain
    assert is_safe(escape_json_controls(json.dumps(EVIL, ensure_ascii=False)))
    assert json.loads(escape_json_controls(json.dumps(EVIL, ensure_ascii=False))) == EVIL


@pytest.mark.parametrize("as_json", [False, True])
def test_results_errors_and_events_are_safe(capsys: pytest.CaptureFixture[str], as_json: bool) -> None:
    evil = EVIL.replace("\udcff", "")
    for value in (evil, [Row(name=evil)], Row(name=evil)):
        output.print_result(value, as_json=as_json)
    output.print_problem(EVIL)
    with output.console(quiet=False):
        output.PlainView()({"event": "notice", "text": EVIL})
    shown = capsys.readouterr()
    assert is_safe(shown.out) and is_safe(shown.err)


def test_our_own_colors_stay_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_result(Colored(), as_json=False)
    assert capsys.readouterr().out == "\x1b[31mred\x1b[0m \\x1b[8mhidden\n"
