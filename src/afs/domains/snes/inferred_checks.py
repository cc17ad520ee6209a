"""What can be judged of an answer when no task states its check: inferred from the question and the answer's own code.

    assemble → lint → run → the contract in the question · the user's own code · examples · words

Only these may refute: code that does not assemble, certain lint, no return, wrong widths or stack, another effect than
the user's own routine, a contradicted example, a named result that is never written. All else is a remark. What cannot
be decided is `not checkable`: a refuted answer must be wrong.
"""

from __future__ import annotations

from typing import Final

from afs.domains.base import FACTS_AGREE, NO_CODE, NOT_CHECKABLE, REFUTED, RUNS, SAME_EFFECT, strip_thinking
from afs.domains.snes import answer_parsing, fact_claims, trial_runs
from afs.domains.snes.contract import Contract, parse_comment
from afs.domains.snes.equivalence import Side
from afs.domains.snes.question_reading import QuestionReading, find_addresses, find_prose, read_question
from afs.domains.snes.reply_routine import CertainFault, ReplyRoutine, build_routine, find_own_blocks
from afs.domains.snes.trial_runs import TriedRoutine, UserComparison
from afs.errors import AfsError
from afs.types import Json, Verdict

CHECKER: Final = "snes/2 reply"


def check_reply(question: str, answer: str) -> Verdict:
    """The verdict on an answer to a question in plain words; never raises for what an answer holds."""
    try:
        return _judge(question, strip_thinking(answer))
    except AfsError as error:
        return _verdict(NOT_CHECKABLE, f"not checkable: {error}")


def _verdict(stage: str, reason: str, facts: Json | None = None, remarks: list[str] | None = None) -> Verdict:
    ok = {SAME_EFFECT: True, REFUTED: False}.get(stage)
    whole: Json = (facts or {}) | ({"remarks": list[object](remarks)} if remarks else {})
    score = None if ok is None else float(ok)
    return Verdict(task="", ok=ok, score=score, stage=stage, reason=reason, facts=whole, checker=CHECKER)


def _judge(question: str, answer: str) -> Verdict:
    blocks = find_own_blocks(question, answer)
    reading = read_question(question)
    if not blocks:
        return _judge_quotation(reading, answer)
    routine = build_routine(blocks, reading)
    if isinstance(routine, CertainFault):
        return _verdict(REFUTED, f"refuted: {routine.reason}")
    if isinstance(routine, str):
        return _verdict(NOT_CHECKABLE, f"not checkable: {routine}")
    if routine.not_run:
        return _verdict(NOT_CHECKABLE, f"assembles; not run: {routine.not_run}")
    return _judge_run(routine, reading, answer)


def _judge_quotation(reading: QuestionReading, answer: str) -> Verdict:
    """An answer without code of its own; broken code handed back as the corrected code is wrong."""
    own = answer_parsing.normalize_code(reading.code)
    shown = [answer_parsing.normalize_code(block.text) for block in answer_parsing.find_blocks(answer)]
    if own and reading.asks == "fix" and reading.wants_code and shown and shown[-1] == own:
        return _verdict(REFUTED, "refuted: the code is your own, unchanged")
    return _judge_facts(answer)


def _judge_facts(answer: str) -> Verdict:
    """An answer in words: what it says of registers is held against the table."""
    claims = fact_claims.find_register_claims(answer)
    if not claims:
        return _verdict(NO_CODE, "no code")
    if wrong := fact_claims.find_wrong_claim(claims):
        return _verdict(REFUTED, f"refuted: {wrong}")
    stated = ", ".join(dict.fromkeys(f"{name} ${address:04X}" for name, address in claims))
    return _verdict(FACTS_AGREE, f"agrees with the table of registers: {stated}")


def _judge_run(routine: ReplyRoutine, reading: QuestionReading, answer: str) -> Verdict:
    stated = parse_comment(reading.code) if reading.code else None
    contracts = iter([stated]) if stated else trial_runs.possible_contracts(reading, routine.ends)
    user = _run_user_code(reading, routine, stated)
    run = trial_runs.run_routine(routine.data, iter([user.contract]) if user else contracts)
    if not run.cost.holds:
        return _judge_breach(run, routine, reading)
    facts: Json = {"states": run.cost.states} | _costs(run.cost.side)
    remarks = trial_runs.unlike_claims(find_prose(answer), run.cost.side)
    if user and reading.asks == "cheaper":
        return _judge_beside(user, run, reading, remarks)
    if user and reading.asks == "fix" and user.code == run.code:
        return _verdict(REFUTED, "refuted: it assembles to the same bytes as your own code", facts, remarks)
    wants_effect = reading.stores or reading.results or reading.asks
    if wants_effect and trial_runs.returns_at_once(run):
        return _verdict(REFUTED, "refuted: it returns at once and does nothing", facts, remarks)
    problem = trial_runs.find_contradiction(run, reading.examples)
    if problem:
        return _verdict(REFUTED, f"refuted: {problem}", facts, remarks)
    return _judge_words(run, routine.source, reading, facts, remarks)


def _run_user_code(reading: QuestionReading, routine: ReplyRoutine, stated: Contract | None) -> TriedRoutine | None:
    """The user's own routine, where there is one that runs."""
    if not reading.code:
        return None
    blocks = answer_parsing.find_blocks(f"```asm\n{reading.code}\n```")
    built = build_routine(blocks[:1], reading, lint=False) if blocks else ""
    if not isinstance(built, ReplyRoutine) or built.not_run:
        return None
    contracts = iter([stated]) if stated else trial_runs.possible_contracts(reading, built.ends)
    run = trial_runs.run_routine(built.data, contracts)
    return run if run.cost.holds else None


def _judge_breach(run: TriedRoutine, routine: ReplyRoutine, reading: QuestionReading) -> Verdict:
    reason = run.cost.reason.partition(": ")[2] or run.cost.reason
    stops = run.cost.side.stops
    waits = "budget" in stops and any(0x2100 <= place < 0x4400 for place in find_addresses(routine.source))
    if waits:
        return _verdict(NOT_CHECKABLE, "not checkable: it waits for the hardware")
    if "budget" in stops and routine.ends == "end" and not reading.ends:
        return _verdict(NOT_CHECKABLE, "assembles; a loop without an end is not judged")
    return _verdict(REFUTED, f"refuted: {reason}", _costs(run.cost.side))


def _judge_beside(user: TriedRoutine, run: TriedRoutine, reading: QuestionReading, remarks: list[str]) -> Verdict:
    found = trial_runs.compare_with_user(user, run, reading)
    facts: Json = {"states": found.equality.states, "exhaustive": found.equality.exhaustive}
    facts |= _costs(found.equality.candidate) | {f"user_{k}": v for k, v in _costs(found.equality.original).items()}
    if found.same is False:
        return _verdict(REFUTED, f"refuted: not the effect of your routine: {found.reason}", facts, remarks)
    if found.same is None:
        return _verdict(RUNS, f"runs; differs from your routine: {found.reason}", facts, remarks)
    problem = _not_cheaper(found.equality.original, found.equality.candidate, reading)
    if problem:
        return _verdict(REFUTED, f"refuted: same effect, but {problem}", facts, remarks)
    text = f"same effect as your routine on {found.equality.states} states · {_format_gain(found)}"
    return _verdict(SAME_EFFECT, text, facts, remarks)


def _judge_words(run: TriedRoutine, source: str, reading: QuestionReading, facts: Json, remarks: list[str]) -> Verdict:
    if trial_runs.never_written(run, source, reading):
        return _verdict(REFUTED, "refuted: it stores nothing at any place the question names", facts, remarks)
    changed = _changed_register(run, reading)
    if changed:
        return _verdict(REFUTED, f"refuted: {changed}", facts, remarks)
    unnamed = trial_runs.written_unnamed(run, reading)
    if unnamed:
        remarks = [*remarks, f"writes {unnamed[0]}, which the question does not name"]
    if run.traces and not any(trace.writes or trace.registers for trace in run.traces):
        remarks = [*remarks, "writes no memory"]
    cost = _format_cost(run.cost.side)
    if reading.examples:
        count = len(reading.examples)
        text = f"runs; agrees with {count} example{'s' if count > 1 else ''} · {cost}"
    else:
        text = f"runs; effect not stated · {cost}"
    return _verdict(RUNS, text, facts, remarks)


def _changed_register(run: TriedRoutine, reading: QuestionReading) -> str:
    """A register that the question wants kept and a run changes."""
    for name in reading.kept:
        for start, trace in run.samples:
            if getattr(start, name) != getattr(trace.end, name):
                return f"{name.upper()} does not survive"
    return ""


def _not_cheaper(old: Side, new: Side, reading: QuestionReading) -> str:
    """How the answer fails to be cheaper in the way the question asks; empty when it is."""
    slower = new.cycles.mean > old.cycles.mean
    if reading.wants_bytes:
        return "" if new.bytes < old.bytes else f"not shorter: {new.bytes} bytes (was {old.bytes})"
    if slower or (new.cycles.mean == old.cycles.mean and new.bytes >= old.bytes):
        return f"not cheaper: {new.cycles.mean:g} cycles (was {old.cycles.mean:g}), {new.bytes} bytes (was {old.bytes})"
    return ""


def _costs(side: Side) -> Json:
    return {
        "bytes": side.bytes,
        "cycles": round(side.cycles.mean, 2),
        "cycles_min": side.cycles.min,
        "cycles_max": side.cycles.max,
    }


def _format_gain(found: UserComparison) -> str:
    old, new = found.equality.original, found.equality.candidate
    return f"{new.cycles.mean:g} cycles (was {old.cycles.mean:g}) · {new.bytes} bytes (was {old.bytes})"


def _format_cost(side: Side) -> str:
    low, high = side.cycles.min, side.cycles.max
    return f"{low if low == high else f'{low}-{high}'} cycles · {side.bytes} bytes"


__all__ = ["CHECKER", "check_reply"]
