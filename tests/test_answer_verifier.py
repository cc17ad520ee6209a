"""Verdicts: remembered from several threads, never of a failure that the answer did not cause."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from afs import answer_verifier
from afs.answer_verifier import VerdictCache, Verifier, _cache_key, load_pack
from afs.process import CallOutcome
from afs.types import Task, Verdict

TASK = Task(id="t", domain="sums", family="add", prompt="1 + 1", reference="2")
RIGHT = Verdict(task="t", ok=True, score=1.0, stage="match", checker="sums/1")
SLOW, KILLED, OOM = "took longer than 1 s", "worker died (signal 9)", "out of memory"


def outcome(result: Verdict | str) -> CallOutcome:
    return CallOutcome(b"", result) if isinstance(result, str) else CallOutcome(msgspec.msgpack.encode([result]))


class Worker:
    """Stands for the pool of workers: its outcomes are given, the calls are kept."""

    jobs = 1

    def __init__(self, answer: list[Verdict | str], reference: Verdict | str) -> None:
        self.answer, self.reference, self.calls = iter(answer), reference, 0

    def call(self, payload: bytes, timeout_s: float = 0.0) -> CallOutcome:
        self.calls += 1
        ((_, text),) = msgspec.msgpack.decode(payload, type=list[tuple[Task, str]])
        return outcome(self.reference if text == TASK.reference else next(self.answer))

    def map_timed(self, calls: list[tuple[bytes, float]]) -> list[CallOutcome]:
        return [self.call(payload, timeout_s) for payload, timeout_s in calls]

    def close(self) -> None:
        pass


def verifier(tmp_path: Path, answer: list[Verdict | str], reference: Verdict | str = RIGHT) -> Verifier:
    made = Verifier(cache=tmp_path / "verdicts.db")
    made._workers.close()
    made._workers = Worker(answer, reference)  # type: ignore[assignment]
    return made


@pytest.mark.parametrize(
    ("answer", "reference", "ok", "stage"),
    [
        ([SLOW, SLOW, SLOW], RIGHT, False, "limit"),
        ([OOM, OOM, OOM], RIGHT, False, "limit"),
        (["worker died (signal 11)"] * 3, RIGHT, False, "limit"),
        ([SLOW, SLOW, SLOW], SLOW, None, "checker"),
        ([SLOW, SLOW, RIGHT], RIGHT, True, "match"),
        ([KILLED, KILLED, KILLED], RIGHT, None, "checker"),
        ([KILLED, KILLED, RIGHT], RIGHT, True, "match"),
        ([KILLED, RIGHT], RIGHT, True, "match"),
        ([SLOW, SLOW, KILLED], RIGHT, None, "checker"),
        (["ImportError: x", "ImportError: x"], RIGHT, None, "checker"),
    ],
)
def test_a_failure_is_the_answers_only_when_controls_show_it(
    tmp_path: Path, answer: list[Verdict | str], reference: Verdict | str, ok: bool | None, stage: str
) -> None:
    with verifier(tmp_path, answer, reference) as judge:
        verdict = judge.verify(TASK, "wrong")
    assert (verdict.ok, verdict.stage) == (ok, stage)


def test_what_is_unknown_is_asked_again_and_what_is_known_is_not(tmp_path: Path) -> None:
    with verifier(tmp_path, [KILLED, KILLED, KILLED]) as judge:
        assert judge.verify(TASK, "x").ok is None
    with verifier(tmp_path, [RIGHT]) as judge:
        assert judge.verify(TASK, "x").ok is True
    with verifier(tmp_path, []) as judge:
        assert judge.verify(TASK, "x").ok is True


def test_the_key_holds_checker_version_whole_task_and_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    other = msgspec.structs.replace(TASK, reference="3")
    keys = [_cache_key(TASK, "x"), _cache_key(TASK, "y"), _cache_key(other, "x")]
    monkeypatch.setattr(load_pack("sums"), "version", "99")
    keys.append(_cache_key(TASK, "x"))
    assert len(set(keys)) == 4


def test_a_damaged_cache_is_computed_again(tmp_path: Path) -> None:
    path = tmp_path / "verdicts.db"
    path.write_bytes(b"no database" * 999)
    cache = VerdictCache(path)
    cache.put({"a": RIGHT})
    assert cache.get(["a"]) == {"a": RIGHT}
    cache._db.execute("UPDATE verdicts SET verdict = ?", (b"{torn",))
    assert cache.get(["a"]) == {}
    cache.put({"a": RIGHT})
    cache.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * (size - 100))
    again = VerdictCache(path)
    assert again.get(["a"]) == {}
    again.close()


def test_several_threads_remember_verdicts_at_once(tmp_path: Path) -> None:
    cache = VerdictCache(tmp_path / "verdicts.db")

    def remember(number: int) -> bool:
        rows = {f"{number}-{i}": Verdict(task=str(i), ok=True, score=1.0, stage="match") for i in range(20)}
        cache.put(rows)
        return cache.get(list(rows)) == rows

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(remember, range(200)))
    cache.close()


def test_an_answer_without_end_is_not_read() -> None:
    (task,) = load_pack("sums").tasks("add", 1, 1)
    read = answer_verifier.check_answer(task, "x" * answer_verifier.MOST_CHARACTERS)
    endless = answer_verifier.check_answer(task, "x" * (answer_verifier.MOST_CHARACTERS + 1))
    assert (read.ok, endless.ok, endless.stage) == (False, False, "limit") and read.stage != "limit"
    assert f"{answer_verifier.MOST_CHARACTERS + 1} characters" in endless.reason
