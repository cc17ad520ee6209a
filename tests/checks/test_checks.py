"""A user's own checks: each kind right, wrong and unknown; nothing is called wrong because of the checker."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from afs import answer_verifier
from afs.checks import command, program_lookup
from afs.checks.check_parser import NamedChecks, build_task, read_check, require_check
from afs.config import Plugin
from afs.errors import AfsError, ConfigError, MissingError
from afs.sandbox import available
from afs.types import Json, Task, Verdict

walled = pytest.mark.skipif(available().rung is None, reason="no sandbox stands on this machine")

ADD = "def add(a, b):\n    return a + b\n"
TESTS = "from answer import add\n\ndef test_add():\n    assert add(2, 3) == 5\n"
PYTEST = "env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 pytest -q -p no:cacheprovider {folder}"


def judge(
    check: str | Plugin, answer: str, *, folder: Path = Path("."), reference: str = "", spec: Json | None = None
) -> Verdict:
    """The verdict by the seam that everything else uses."""
    return answer_verifier.check_answer(
        build_task(read_check(check, folder), "?", reference=reference, spec=spec or {}), answer
    )


@walled
class TestCommand:
    def test_pytest_right_wrong_and_syntax_error(self) -> None:
        spec: Json = {"files": {"test_answer.py": TESTS}}
        right = judge(PYTEST, f"Here it is:\n```python\n{ADD}```\nRun it:\n```sh\npytest\n```", spec=spec)
        assert (right.ok, right.stage, right.checker) == (True, "run", "check/1")
        wrong = judge(PYTEST, "```python\ndef add(a, b):\n    return a - b\n```", spec=spec)
        assert wrong.ok is False and "assert -1 == 5" in wrong.reason
        assert judge(PYTEST, "```python\ndef add(a, b)\n```", spec=spec).ok is False
        assert judge(PYTEST, "", spec=spec).stage == "extract"

    def test_leaving_pytest_early_is_no_pass(self) -> None:
        answer = "```python\nimport os\nos._exit(0)\n```"
        assert judge(PYTEST, answer, spec={"files": {"test_answer.py": TESTS}}).ok is False

    def test_no_tests_says_nothing(self) -> None:
        assert judge("env PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 pytest -q {file}", f"```python\n{ADD}```").ok is None

    def test_a_shell_line_and_the_whole_answer(self) -> None:
        assert judge("cat {file} | grep -q '^select'", "```sql\nselect 1;\n```").ok is True
        assert judge("echo '{answer}' | grep -q two", "one; touch /tmp/x two").ok is True
        assert judge("test {answer} = 4", "4").ok is True

    def test_files_named_by_the_command_come_along(self, tmp_path: Path) -> None:
        (tmp_path / "judge.py").write_text("import sys\nsys.exit(open(sys.argv[1]).read() != 'yes\\n')\n")
        table = read_check("python judge.py {file}", tmp_path)
        (tmp_path / "judge.py").unlink()
        assert judge(table, "yes").ok is True
        assert judge(table, "no").ok is False

    def test_a_hanging_checker_says_nothing(self) -> None:
        verdict = judge({"use": "command", "run": "tail -f {file}", "timeout_s": 1}, "x", reference="y")
        assert verdict.ok is None and "limit (1 s)" in verdict.reason

    def test_an_answer_that_hangs_where_the_reference_passes_is_wrong(self) -> None:
        check: Plugin = {"use": "command", "run": "python {file}", "timeout_s": 1}
        verdict = judge(check, "while True: pass", reference="print(1)")
        assert (verdict.ok, verdict.stage) == (False, "limit")
        assert judge(check, "while True: pass").ok is None

    def test_a_flood_says_nothing(self) -> None:
        verdict = judge("sh -c 'cat {file}; yes'", "x")
        assert verdict.ok is None and "output" in verdict.reason

    @pytest.mark.parametrize(
        "run", ["no-such-checker {file}", "sh -c 'no-such-checker' {file}", "python -m no_such {file}"]
    )
    def test_a_missing_checker_says_nothing(self, run: str) -> None:
        assert judge(run, "x").ok is None

    def test_a_missing_command_is_one_line_before_anything_is_judged(self) -> None:
        with pytest.raises(MissingError, match="no-such-checker"):
            require_check(read_check("no-such-checker {file}", Path(".")))

    def test_it_reaches_nothing_outside(self, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("key")
        assert judge(f"cat {secret} {{file}}", "x").ok is False
        code = "import socket; socket.create_connection(('127.0.0.1', 80), 1)"
        assert judge("python {file}", code).ok is False


def test_without_a_sandbox_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program_lookup, "find_sandbox_problem", lambda: "no sandbox stands on this machine")
    assert judge("true {file}", "x").ok is None
    assert command.program_lookup is program_lookup


@walled
class TestPython:
    def write(self, folder: Path, body: str) -> Plugin:
        (folder / "checks.py").write_text(body)
        return read_check("python:checks.py:judge", folder)

    @pytest.mark.parametrize(
        ("body", "ok", "score"),
        [
            ("def judge(answer): return answer == '4'", True, 1.0),
            ("def judge(answer, task): return task['reference'] == answer", True, 1.0),
            ("def judge(answer): return 0.5, 'half'", False, 0.5),
            ("def judge(answer): return {'ok': False, 'reason': 'no'}", False, 0.0),
            ("def judge(answer):\n    print('noise')\n    return True", True, 1.0),
            ("def judge(answer): return None", None, None),
            ("def judge(answer): return 7", None, None),
            ("def judge(answer): return 1 / 0", None, None),
            ("def other(answer): return True", None, None),
            ("import os\ndef judge(answer): os._exit(0)", None, None),
        ],
    )
    def test_what_it_returns(self, tmp_path: Path, body: str, ok: bool | None, score: float | None) -> None:
        verdict = judge(self.write(tmp_path, body), "4", reference="4")
        assert (verdict.ok, verdict.score) == (ok, score)

    def test_a_function_that_hangs_says_nothing(self, tmp_path: Path) -> None:
        check = {**self.write(tmp_path, "def judge(answer):\n    while True: pass"), "timeout_s": 1}
        assert judge(check, "x", reference="y").ok is None

    def test_a_name_that_is_no_function(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"file\.py:function"):
            read_check("python:checks.py", tmp_path)
        with pytest.raises(ConfigError, match="no such file"):
            read_check("python:missing.py:judge", tmp_path)


SCHEMA: Json = {
    "type": "object",
    "required": ["total", "currency"],
    "additionalProperties": False,
    "properties": {
        "total": {"type": "number", "minimum": 0},
        "currency": {"enum": ["EUR", "USD"]},
        "lines": {"type": "array", "items": {"$ref": "#/$defs/line"}},
    },
    "$defs": {
        "line": {"type": "object", "required": ["item"], "properties": {"item": {"type": "string", "minLength": 1}}}
    },
}


class TestSchema:
    @pytest.mark.parametrize(
        ("answer", "stage"),
        [
            ('{"total": 3, "currency": "EUR"}', ""),
            ('Sure:\n```json\n{"total": 3.5, "currency": "USD", "lines": [{"item": "pen"}]}\n```', ""),
            ('{"total": "3", "currency": "EUR"}', "schema"),
            ('{"total": true, "currency": "EUR"}', "schema"),
            ('{"total": -1, "currency": "EUR"}', "schema"),
            ('{"total": 3, "currency": "GBP"}', "schema"),
            ('{"total": 3}', "schema"),
            ('{"total": 3, "currency": "EUR", "more": 1}', "schema"),
            ('{"total": 3, "currency": "EUR", "lines": [{"item": ""}]}', "schema"),
            ("the total is 3", "parse"),
            ('{"total": NaN, "currency": "EUR"}', "parse"),
            ("[" * 100_000, "parse"),
            ("", "extract"),
        ],
    )
    def test_fits_or_not(self, answer: str, stage: str) -> None:
        verdict = judge({"use": "schema", "schema": SCHEMA}, answer)
        assert (verdict.ok, verdict.stage) == ((True, "schema") if not stage else (False, stage))

    def test_values_of_the_reference(self) -> None:
        check: Plugin = {"use": "schema", "schema": SCHEMA, "match": True}
        reference = '{"total": 3, "currency": "EUR"}'
        assert judge(check, '{"currency": "EUR", "total": 3.0}', reference=reference).ok is True
        half = judge(check, '{"currency": "USD", "total": 3}', reference=reference)
        assert (half.ok, half.score) == (False, 0.5)
        assert judge(check, reference, reference="none").ok is None

    def test_an_unknown_keyword_is_refused(self) -> None:
        with pytest.raises(ConfigError, match="unevaluatedItems"):
            read_check({"use": "schema", "schema": {"unevaluatedItems": False}}, Path("."))

    def test_a_schema_file(self, tmp_path: Path) -> None:
        (tmp_path / "invoice.json").write_text(json.dumps(SCHEMA))
        assert read_check("schema:invoice.json", tmp_path)["schema"] == SCHEMA
        with pytest.raises(AfsError, match=r"other\.json"):
            read_check("schema:other.json", tmp_path)

    def test_a_schema_without_an_end(self) -> None:
        loop: Json = {"$ref": "#"}
        assert judge({"use": "schema", "schema": loop}, "1").ok is True


class TestText:
    def test_regex(self) -> None:
        assert judge("regex:\\b4\\b", "It is 4.").ok is True
        assert judge({"use": "regex", "pattern": "\\d+", "whole": True}, "It is 4.").ok is False
        assert judge({"use": "regex", "pattern": "4", "without": "5"}, "4 or 5").ok is False
        with pytest.raises(ConfigError, match="RE2"):
            read_check("regex:(?=x)", Path("."))

    def test_a_regex_cannot_hang(self) -> None:
        assert judge("regex:^(a+)+$", "a" * 5000 + "b").ok is False

    def test_exact(self) -> None:
        assert judge("exact", " four\n", reference="four").ok is True
        assert judge({"use": "exact", "accept": ["4", "four"], "ignore_case": True}, "FOUR").ok is True
        assert judge("exact", "five", reference="four").ok is False
        assert judge("exact", "five").ok is None


def test_a_check_is_read_or_refused() -> None:
    with pytest.raises(ConfigError, match="names neither"):
        read_check("pytest -q", Path("."))
    with pytest.raises(AfsError, match="did you mean 'regex'"):
        read_check({"use": "regexp", "pattern": "x"}, Path("."))
    assert read_check("default", Path("."), NamedChecks(Path("."), {"default": "exact"})) == {"use": "exact"}


def test_a_task_without_a_check_is_no_wrong_answer(tmp_path: Path) -> None:
    task = Task(id="t", domain="check", family="f", prompt="p")
    with answer_verifier.Verifier() as verifier:
        assert verifier.verify(task, "x").ok is None


@walled
def test_slow_checks_have_their_own_time() -> None:
    check: Plugin = {"use": "command", "run": "sh -c 'sleep 0.4; grep -q 4' {file} < {file}"}
    task = build_task(read_check(check, Path(".")), "?")
    with answer_verifier.Verifier(timeout_s=0.2) as verifier:
        found = list(verifier.verify_all([(task, "4"), (task, "5")]))
    assert [verdict.ok for verdict in found] == [True, False]
    assert msgspec.json.decode(msgspec.json.encode(task), type=Task) == task
