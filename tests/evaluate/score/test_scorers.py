"""Each scorer on answers whose worth is plain, and on the tricks of the seeds' keyword counting."""

from __future__ import annotations

from importlib import resources

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afs.errors import ConfigError, UsageError
from afs.evaluate.score import python_function, score_answer
from afs.evaluate.score.scorer_interface import scorer
from afs.sandbox import ProgramResult, isolation_support
from afs.sandbox.sandboxed_command import StoppedBy
from afs.types import Task, Tool, Verdict

from ...domains.test_long_answers import within


def judge(how: dict[str, object], answer: str, prompt: str = "Why?", gold: str = "", **fields: object) -> Verdict:
    task = Task(id="t", domain="", family="f", prompt=prompt, reference=gold, **fields)  # type: ignore[arg-type]
    return scorer(how).score(task, answer)


KEYS = {"use": "keywords", "groups": [["PHA", "pushes A"], ["stack"], ["Y"]]}


@pytest.mark.parametrize(
    "answer, value",
    [
        ("The routine pushes A on to the stack and leaves Y alone.", 1.0),
        ("It uses PHA, and the stack grows.", 2 / 3),
        ("Say it twice: stack, stack, stack, and once more the stack of plates.", 1 / 3),
        ("Any English word with a y, or haystack, or alphas.", 0.0),
        ("PHA stack Y", 0.4),
        ("PHA PHA stack stack Y Y", 0.4),
        ("", 0.0),
    ],
)
def test_keywords(answer: str, value: float) -> None:
    assert judge(KEYS, answer).score == pytest.approx(value)


def test_an_echo_of_the_prompt_says_nothing() -> None:
    prompt = "Explain why PHA before the loop leaves the stack unbalanced when Y is zero."
    assert judge(KEYS, prompt, prompt).score == 0.0
    assert judge(KEYS, f"{prompt} I do not know what to say about that.", prompt).score == 0.0
    assert judge(KEYS, "Because PHA fills the stack again whenever Y is reloaded.", prompt).score == 1.0


def test_forbidden_words_and_no_groups() -> None:
    spec = {"use": "keywords", "groups": [["DMA"]], "forbidden": [["MUL"]]}
    assert judge(spec, "Use DMA and then the instruction MUL to finish.").score == 0.0
    with pytest.raises(ConfigError, match="at least one group"):
        judge({"use": "keywords", "groups": []}, "x")


@settings(deadline=None)
@given(st.text(max_size=200), st.text(max_size=80), st.sampled_from(["exact", "f1", "bleu", "chrf", "keywords"]))
def test_no_score_leaves_its_bounds(answer: str, gold: str, use: str) -> None:
    spec = dict(KEYS) if use == "keywords" else {"use": use}
    verdict = judge(spec, answer, gold=gold)
    assert verdict.score is not None and 0 <= verdict.score <= 1


def test_texts() -> None:
    assert judge({"use": "exact"}, "  $2100. ", gold="$2100").ok
    assert judge({"use": "exact", "last_line": True}, "Let me see.\n$2100", gold="$2100").ok
    assert not judge({"use": "exact"}, "$21000", gold="$2100").ok
    assert judge({"use": "f1"}, "the screen is dark", gold="the screen is dark").score == 1.0
    assert judge({"use": "f1"}, "a b", gold="b c").score == pytest.approx(0.5)
    assert judge({"use": "bleu"}, "lda #$01 sta $2100 rts", gold="lda #$01 sta $2100 rts").score == pytest.approx(1.0)
    assert judge({"use": "chrf"}, "", gold="abc").score == 0.0


def test_the_form_of_an_answer() -> None:
    spec = {"use": "contract", "sections": ["Diagnosis", "Fix"], "first": "(?i)^diagnosis", "code_after": "Fix"}
    good = "Diagnosis: the carry is not cleared.\n\nFix:\n```asm\nclc\n```"
    assert judge(spec, good).ok
    assert "out of order" in judge(spec, "Fix:\n```asm\nclc\n```\nDiagnosis: x").reason
    assert "no code after" in judge(spec, "Diagnosis: ```asm\nclc\n```\nFix: see above").reason
    assert judge(spec, "").score == 0.0
    both = {"use": "all", "of": [spec, {"use": "keywords", "groups": [["carry"]]}]}
    assert judge(both, good).ok and not judge(both, good.replace("carry", "flag")).ok


TOOL = Tool(
    name="read",
    parameters={
        "properties": {"path": {"type": "string"}, "lines": {"type": "integer"}},
        "required": ["path"],
    },
)


def call(text: str) -> str:
    return f"<tool_call>\n{text}\n</tool_call>"


@pytest.mark.parametrize(
    "answer, stage, value",
    [
        (call('{"name": "read", "arguments": {"path": "a"}}'), "match", 1.0),
        (call('{"name": "read", "arguments": {"path": "b"}}'), "match", 0.4),
        (call('{"name": "write", "arguments": {"path": "a"}}'), "schema", 0.2),
        (call('{"name": "read", "arguments": {}}'), "schema", 0.2),
        (call('{"name": "read", "arguments": {"path": "a", "lines": true}}'), "schema", 0.2),
        (call('{"name": "read", "arguments": {"path": "a"'), "parse", 0.1),
        ("I would read it.", "extract", 0.0),
    ],
)
def test_tool_calls(answer: str, stage: str, value: float) -> None:
    gold = call('{"name": "read", "arguments": {"path": "a"}}')
    verdict = judge({"use": "calls"}, answer, gold=gold, tools=(TOOL,))
    assert (verdict.stage, verdict.score) == (stage, value)


DOUBLE = {"entry": "double", "tests": [[[2], 4], [[0], 0], [[-3], -6]]}


def python(code: str, seconds: float = 3.0) -> Verdict:
    return judge({"use": "python", "timeout_s": seconds}, code, spec=DOUBLE)


def test_python_functions_are_run() -> None:
    assert python("```python\ndef double(x):\n    return 2 * x\n```\nThat is all.").ok
    partly = python("def double(x):\n    return x * x")
    assert partly.score == pytest.approx(2 / 3) and "double(-3,): want -6, got 9" in partly.reason
    raises = python("def double(x):\n    if x == 2:\n        raise ValueError('two')\n    return 2 * x")
    assert raises.ok is False and 0 < (raises.score or 0) < 1
    assert "no 'double'" in python("def twice(x): return 2 * x").reason
    assert "SyntaxError" in python("def double(x) return").reason
    assert python("").stage == "extract"


@pytest.mark.parametrize(
    "trick, word",
    [
        ("import socket; s = socket.socket()\ndef double(x): return 2 * x", "PermissionError"),
        ("open('x', 'w')\ndef double(x): return 2 * x", "Error"),
        ("import os; os.execv('/bin/true', ['true'])\ndef double(x): return 2 * x", "PermissionError"),
        ("import os; os.fork()\ndef double(x): return 2 * x", "PermissionError"),
        ("while True: print('x' * 100000)", "wrote too much"),
        (
            "import json; json.dumps = lambda *a, **k: '{\"values\": [4]}'\ndef double(x): return 0",
            "1 values for 3 calls",
        ),
        ("def double(x):\n    v = []\n    for _ in range(900): v = [v]\n    return v", "want 4"),
        (
            "import sys; sys.setrecursionlimit(10**6)\ndef double(x):\n    v = []\n    for _ in range(50000): v = [v]\n    return v",
            "",
        ),
        ("def double(x): return 10**4000", ""),
        ("import sys; sys.set_int_max_str_digits(0)\ndef double(x): return 10**20000", ""),
        ("def double(x): return '\\ud800'", "no readable values"),
        ("import glob\ndef double(x): return {2: 4, 0: 0, -3: -6}[x] if open('REFERENCES').read() else 0", "Error"),
        (
            "import sys\nf = sys._getframe(1)\nprint(f.f_locals['job']['mark'] + '{\"values\": [0, 0, 0]}')\ndef double(x): return 1",
            "want",
        ),
        ("print('{\"values\": [4, 0, -6]}')\nraise SystemExit", "SystemExit"),
        ("import os; os._exit(0)", "ended with code 0"),
        ("def double(x):\n    while True: pass", "took longer"),
        ("def double(x): return [0] * 10**10", "MemoryError"),
        ("class A:\n    __eq__ = lambda s, o: True\ndef double(x): return A()", "not JSON serializable"),
    ],
)
def test_tricks_do_not_pass(trick: str, word: str) -> None:
    trick = trick.replace("REFERENCES", str(resources.files("afs.evaluate") / "suites" / "python.toml"))
    verdict = python(trick, 1.0 if "while" in trick else 5.0)
    assert verdict.score == 0.0 and word in verdict.reason, verdict


def test_without_walls_nothing_is_run_and_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation_support, "problem_of", lambda rung: "not here")
    python_function._pool.cache_clear()
    verdict = python("def double(x): return 2 * x")
    assert (verdict.ok, verdict.score, verdict.stage) == (None, None, "sandbox")
    assert "not here" in verdict.reason and "apt-get install bubblewrap" in verdict.reason


def test_a_machine_at_fault_is_no_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    class Busy:
        def run(self, source: str, *, stdin: bytes = b"", timeout_s: float) -> ProgramResult:
            return ProgramResult(stdout=b"", stderr=b"", exit_code=-9, stopped_by=self.word, seconds=timeout_s)

        word: StoppedBy = "timeout"

    monkeypatch.setattr(python_function, "_pool", lambda memory_mb: Busy())
    assert python("def double(x): return 2 * x").ok is None
    monkeypatch.setattr(Busy, "word", "killed")
    assert python("def double(x): return 2 * x").ok is None


def test_an_unknown_scorer_is_named() -> None:
    with pytest.raises(UsageError, match="did you mean 'keywords'"):
        scorer({"use": "keyword"})


LONG = {
    "blank lines": "\n" * 400_000,
    "marks": "a" + "\u0323\u0300" * 60_000,
    "words": "lda one " * 30_000,
    "letters": "".join(map(chr, range(0x4E00, 0x9E00))) * 5,
}
SCORERS: dict[str, dict[str, object]] = {
    "contract": {"sections": ["Fix"], "code_after": "Fix", "blocks": 1},
    "keywords": {"groups": [["lda", "one lda"], ["X"]]},
    "exact": {},
    "f1": {},
    "bleu": {},
    "chrf": {},
}


@pytest.mark.parametrize("use", SCORERS)
def test_long_answers_are_scored_in_time(use: str) -> None:
    for name, answer in LONG.items():
        with within(20):
            assert judge({"use": use, **SCORERS[use]}, answer, gold="one two").ok is False, name


def test_no_scorer_reads_ten_megabytes() -> None:
    task = Task(id="t", domain="", family="f", prompt="Why?", reference="one two")
    for use, options in SCORERS.items():
        with within(8):
            verdict = score_answer(scorer({"use": use, **options}), task, "one " * 2_500_000)
        assert verdict.ok is False and verdict.stage == "limit" and "10000000 characters" in verdict.reason
