"""The pack's verdicts: how far an answer gets, judged by assembling and running it.

    extract → assemble → lint → run → contract → cheaper → emulator → frame → diagnosis

A verdict's `stage` is the last stage passed (`none` before the first), its score grows with the stage, and it is 1
only when all that the task demands holds. A wrong answer never raises; what cannot be decided here (no emulator, a
broken reference) is unknown, never wrong. Which code of an answer is judged is the matter of `answer_parsing`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, NamedTuple, cast

from afs.domains.base import Block, strip_thinking
from afs.domains.snes import answer_parsing, answer_values, emulator_checks
from afs.domains.snes.assembled_routine import (
    UnfitCode,
    assemble_routine,
    compare_effects,
    find_certain_faults,
    machine_code,
    measure,
)
from afs.domains.snes.contract import Contract
from afs.domains.snes.equivalence import Equality, Side
from afs.domains.snes.knowledge.fact_grader import grade
from afs.domains.snes.task_specs import (
    BytesSpec,
    FactSpec,
    NumberSpec,
    PatchSpec,
    RoutineSpec,
    SourceSpec,
    Spec,
    parse_spec,
)
from afs.errors import AfsError
from afs.types import Json, Task, Verdict

CHECKER: Final = "snes/4"
_WRITE_ONLY: Final = frozenset(f"${port:04X}" for port in (*range(0x2100, 0x2134), *range(0x4200, 0x420E)))
STAGES: Final = (
    "extract",
    "assemble",
    "lint",
    "run",
    "contract",
    "cheaper",
    "emulator",
    "frame",
    "diagnosis",
    "match",
)
"""Every stage there is, in order; a task demands some of them."""


class Judgment(NamedTuple):
    """How far one block or answer got; `ok` None: undecided."""

    passed: str
    ok: bool | None
    reason: str
    facts: Json


def check_answer(task: Task, answer: str) -> Verdict:
    """Judge an answer; never raises for a wrong one, whatever it holds."""
    try:
        spec = parse_spec(task)
        said = strip_thinking(answer)
        own = said.replace(task.prompt, "\n") if task.prompt.strip() else said
        judged = _JUDGES[type(spec)](task, spec, own)
    except AfsError as error:
        return Verdict(task=task.id, ok=None, score=None, stage="none", reason=f"not judged: {error}", checker=CHECKER)
    stages = required_stages(spec)
    return Verdict(
        task=task.id,
        ok=judged.ok,
        score=compute_score(judged, stages),
        stage=judged.passed,
        reason=judged.reason,
        facts=judged.facts,
        checker=CHECKER,
    )


def required_stages(spec: Spec) -> tuple[str, ...]:
    """The stages an answer to this task must pass."""
    if isinstance(spec, RoutineSpec):
        last = (("cheaper", spec.want), ("emulator", spec.emulator), ("diagnosis", spec.category))
        return ("extract", "assemble", "lint", "run", "contract", *(name for name, wanted in last if wanted))
    if isinstance(spec, PatchSpec):
        return ("extract", "assemble", "emulator", *(("frame",) if spec.picture else ()))
    return ("extract", "assemble", "match") if isinstance(spec, SourceSpec) else ("extract", "match")


def compute_score(judged: Judgment, stages: tuple[str, ...]) -> float | None:
    """1 for all that is demanded; else below one half, growing with the last stage passed; None when undecided."""
    if judged.ok is None:
        return None
    if judged.ok:
        return 1.0
    reached = stages.index(judged.passed) + 1 if judged.passed in stages else 0
    return round(0.45 * reached / len(stages), 4)


# --- routines --------------------------------------------------------------------------------------------------------


def _judge_routine(task: Task, spec: Spec, answer: str) -> Judgment:
    spec = cast(RoutineSpec, spec)
    blocks = answer_parsing.judged_blocks(task.prompt, answer)
    if not blocks:
        return Judgment("none", False, "no code of its own in the answer", {})
    judgment = _judge_code(spec, blocks)
    if spec.category and judgment.ok:
        return _judge_diagnosis(spec, answer, judgment)
    return judgment


def _judge_code(spec: RoutineSpec, blocks: tuple[Block, ...]) -> Judgment:
    source = answer_parsing.join_blocks(blocks)
    try:
        assembly = assemble_routine(source)
    except UnfitCode as problem:
        return Judgment("extract", False, f"line {answer_parsing.answer_line(blocks, problem.line)}: {problem}", {})
    faults = find_certain_faults(assembly, source, spec.contract)
    if faults:
        where = answer_parsing.answer_line(blocks, faults[0].line)
        return Judgment("assemble", False, f"line {where}: {faults[0].message}", {"lint": [f.rule for f in faults]})
    return _judge_effects(spec, assembly.blocks[0].data)


def _judge_effects(spec: RoutineSpec, code: bytes) -> Judgment:
    result = compare_effects(_machine_code(spec.code), code, spec.contract, spec.states)
    if result.at_fault == "original":
        return Judgment("lint", None, f"the task's own code breaks its contract: {result.reason}", {})
    facts = _collect_facts(result)
    if not result.same:
        return Judgment("run" if _has_returned(spec.contract, result) else "lint", False, result.reason, facts)
    if result.candidate.early_reads > result.original.early_reads:
        return Judgment("run", False, "reads the multiplier or divider before it is done", facts)
    unreadable = [name for name in result.candidate.uninitialized if name in _WRITE_ONLY]
    if not set(unreadable) <= set(result.original.uninitialized):
        return Judgment("run", False, f"reads {unreadable[0]}, which can only be written: it gets open bus", facts)
    problem = _find_cost_problem(spec, result)
    if problem:
        return Judgment("contract", False, problem, facts)
    passed = "cheaper" if spec.want else "contract"
    if not spec.emulator:
        return Judgment(passed, True, result.reason, facts)
    agrees, problem, more = emulator_checks.confirm_routine(code, spec.contract)
    return Judgment("emulator" if agrees else passed, agrees, problem or result.reason, facts | more)


def _has_returned(contract: Contract, result: Equality) -> bool:
    wanted = ("stp", "wai", "brk", "cop") if contract.ends == "stop" else ("return",)
    return result.counterexample is None or result.counterexample.candidate.stop in (*wanted, "write")


def _collect_facts(result: Equality) -> Json:
    facts: Json = {"states": result.states, "exhaustive": result.exhaustive}
    for name, side in (("", result.candidate), ("original_", result.original)):
        facts |= {
            f"{name}bytes": side.bytes,
            f"{name}cycles": round(side.cycles.mean, 2),
            f"{name}cycles_max": side.cycles.max,
            f"{name}master_clocks": round(side.clocks.mean, 2),
        }
    if result.counterexample:
        facts["counterexample"] = list(result.counterexample.lines)
    if result.candidate.uninitialized:
        facts["uninitialized"] = list(result.candidate.uninitialized)
    return facts


def _find_cost_problem(spec: RoutineSpec, result: Equality) -> str:
    """Why the candidate is not cheaper in the way the task wants; empty when it is."""
    old, new = result.original, result.candidate
    if not spec.want:
        return ""
    if new.bytes > old.bytes:
        return f"{new.bytes} bytes, longer than the original's {old.bytes}"
    if _is_slower(old, new):
        return f"{_format_costs(new)}, slower than the original's {_format_costs(old)}"
    if spec.want in ("cycles", "both") and new.cycles.mean >= old.cycles.mean:
        return f"{_format_costs(new)}, not faster than the original's {_format_costs(old)}"
    if spec.want in ("bytes", "both") and new.bytes >= old.bytes:
        return f"{new.bytes} bytes, not shorter than the original"
    return ""


def _is_slower(old: Side, new: Side) -> bool:
    return new.cycles.mean > old.cycles.mean or new.clocks.mean > old.clocks.mean or new.cycles.max > old.cycles.max


def _format_costs(side: Side) -> str:
    return f"{side.cycles.mean:g} CPU cycles ({side.clocks.mean:g} master clocks)"


def _judge_diagnosis(spec: RoutineSpec, answer: str, judged: Judgment) -> Judgment:
    named = answer_values.find_diagnoses(answer)
    if not named or not answer_values.starts_with_diagnosis(answer):
        return Judgment(judged.passed, False, "the answer does not begin with `**Bug: [type]**`", judged.facts)
    if named != (spec.category,):
        return Judgment(judged.passed, False, f"names {', '.join(named)}; the fault is {spec.category}", judged.facts)
    return Judgment("diagnosis", True, judged.reason, judged.facts)


# --- the rest --------------------------------------------------------------------------------------------------------


def _judge_fact(task: Task, spec: Spec, answer: str) -> Judgment:
    if not answer.strip():
        return Judgment("none", False, "an empty answer", {})
    found = grade(cast(FactSpec, spec).question, answer)
    return Judgment("match" if found.ok else "extract", found.ok, found.reason, {})


def _judge_number(task: Task, spec: Spec, answer: str) -> Judgment:
    spec = cast(NumberSpec, spec)
    got = answer_values.parse_number(answer, spec.base, spec.asks)
    if got is None:
        return Judgment("none", False, "want exactly one number in the last line that has any", {})
    want = spec.value if spec.asks == "given" else measure(spec.code, spec.contract, spec.asks, spec.register)
    if want != spec.value:
        return Judgment("extract", None, f"the task says {spec.value}, running its code gives {want}", {})
    facts: Json = {"want": want, "got": got, "asks": spec.asks}
    return Judgment("match" if got == want else "extract", got == want, "" if got == want else f"got {got}", facts)


def _judge_bytes(task: Task, spec: Spec, answer: str) -> Judgment:
    want = _machine_code(cast(BytesSpec, spec).code)
    got = answer_values.parse_hex_bytes(answer)
    if got is None:
        return Judgment("none", False, "no line of two-digit hexadecimal bytes in the answer", {})
    ok = got == want
    return Judgment("match" if ok else "extract", ok, "" if ok else f"got {got.hex(' ')}", {"bytes": len(want)})


def _judge_source(task: Task, spec: Spec, answer: str) -> Judgment:
    want = bytes.fromhex(cast(SourceSpec, spec).data)
    blocks = answer_parsing.judged_blocks(task.prompt, answer)
    if not blocks:
        return Judgment("none", False, "no code in the answer", {})
    try:
        got = machine_code(answer_parsing.join_blocks(blocks))
    except UnfitCode as problem:
        return Judgment("extract", False, f"line {answer_parsing.answer_line(blocks, problem.line)}: {problem}", {})
    if got != want:
        return Judgment("assemble", False, f"assembles to {got.hex(' ')}", {"bytes": len(want)})
    return Judgment("match", True, "", {"bytes": len(want)})


def _judge_patch(task: Task, spec: Spec, answer: str) -> Judgment:
    blocks = answer_parsing.judged_blocks(task.prompt, answer)
    if not blocks:
        return Judgment("none", False, "no code of its own in the answer", {})
    return Judgment(*emulator_checks.judge_patch(cast(PatchSpec, spec), answer_parsing.join_blocks(blocks)))


_machine_code = lru_cache(maxsize=4096)(machine_code)
_JUDGES: Final[Mapping[type, Callable[[Task, Spec, str], Judgment]]] = {
    RoutineSpec: _judge_routine,
    FactSpec: _judge_fact,
    NumberSpec: _judge_number,
    BytesSpec: _judge_bytes,
    SourceSpec: _judge_source,
    PatchSpec: _judge_patch,
}
