"""`afs snes explain ROM ADDRESS`: everything that can be said of a routine, each sentence with what it rests on."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar, Final, Literal

import msgspec

from afs import jsonl
from afs.config import Config
from afs.domains.snes.cpu_commands import RunCodeConfig, RunResult, run
from afs.domains.snes.explain.explain_page import render_explanation
from afs.domains.snes.explain.explanation import CallEdge, Explanation, Sentence
from afs.domains.snes.explain.rom_code import (
    RomCode,
    RomRoutine,
    find_callers,
    find_widths,
    read_routine,
    start_belief,
)
from afs.domains.snes.explain.routine_facts import (
    RoutineNames,
    find_touched,
    format_width,
    is_write,
    list_code,
    list_findings,
    list_registers,
)
from afs.domains.snes.flow import FlowGraph
from afs.domains.snes.knowledge.memory_and_header_facts import region_at
from afs.domains.snes.knowledge.registers import by_name, register_at
from afs.domains.snes.knowledge.symbols import read_symbols
from afs.domains.snes.register_command import read_file
from afs.domains.snes.rom import detect_mapper, snes_to_pc, strip_copier_header
from afs.domains.snes.routine_file import parse_address
from afs.errors import DataError, UsageError, WorkspaceError
from afs.plugins import HOOKS, Late

_ASK: Final = Late[Callable[[Path | None, str], tuple[str, str]]](HOOKS["ask_council"])
_SHOWN: Final = 12
_LISTED: Final = 120
"""Instructions that a question shows to the council."""
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+(?=[A-Z`$0-9])|\n+")
_ENDS: Final = {"rts": "rts", "rtl": "rtl"}
Width = Literal["auto", "8", "16"]


class ExplainConfig(Config, frozen=True, kw_only=True):
    """Explain a routine of a ROM: code, registers, lint, one run on the core, call graph, and the council's words."""

    positional: ClassVar[tuple[str, ...]] = ("rom", "address")
    short: ClassVar[dict[str, str]] = {"s": "set"}
    workspace_field: ClassVar[str] = "workspace"

    rom: Path
    """The ROM, with or without copier header."""
    address: str
    """Where the routine starts: `$80:8123`, or a name of --symbols."""
    m: Width = "auto"
    """Width of A at the entry; auto: as the code that calls it leaves it."""
    x: Width = "auto"
    """Width of X and Y at the entry."""
    mapper: Literal["auto", "lorom", "hirom", "exlorom", "exhirom"] = "auto"
    """Memory map; auto reads the header."""
    symbols: Path | None = None
    """Your project's symbols, a WLA `.sym` or Mesen `.mlb` file."""
    set: dict[str, str] = {}
    """Registers and memory at the start of the run: `a=$12`, `c=1`, `$7E0010='01 02'`."""
    trace: int = 40
    """Instructions of the run shown."""
    budget: int = 200_000
    """CPU cycles after which the run is stopped."""
    html: Path | None = None
    """Also write a page."""
    council: Literal["auto", "no"] = "auto"
    """auto: the council of the workspace explains it too, where there is one."""
    workspace: Path | None = None
    """The workspace whose council is asked; default: AFS_WORKSPACE, or the one you are in."""


def explain(config: ExplainConfig) -> Explanation:
    """Explain one routine."""
    data = strip_copier_header(read_file(config.rom))[1]
    mapper, is_rom = detect_mapper(data)
    if config.mapper == "auto" and (not is_rom or len(data) < 0x8000):
        raise UsageError(f"{config.rom}: no ROM header is recognized; give --mapper")
    code = RomCode(data, mapper if config.mapper == "auto" else config.mapper)
    symbols = read_symbols(config.symbols, code.mapper) if config.symbols else {}
    address = _find_address(config, symbols)
    place = snes_to_pc(address, code.mapper)
    if place is None or place >= len(data):
        raise UsageError(f"${address:06X} is not in this {code.mapper} ROM of {len(data)} bytes")
    whole = code.walk_from_vectors()
    m, x, widths = _choose_widths(config, code, whole, address)
    routine = read_routine(code, address, start_belief(m, x))
    names = RoutineNames(symbols, address)
    traced, measured = _run(config, code, routine, m, x)
    callers = find_callers(code, whole, address)
    found = Explanation(
        title=f"{names.describe(address)} in {config.rom.name}",
        rom=str(config.rom),
        summary=(
            Sentence(
                basis="read",
                text=f"The routine lies at offset ${place:X} of the {code.mapper} ROM:"
                f" {_count(len(routine.insns), 'instruction')} in {_count(routine.size, 'byte')}.",
            ),
            widths,
            *_describe_code(routine, names),
            *_describe_callers(whole, callers),
            *_describe_calls(code, whole, routine, names),
            *measured,
        ),
        listing=tuple(list_code(code, routine, names)),
        registers=list_registers(routine),
        callers=tuple(CallEdge(place=f"${at:06X}", routine=names.describe(who)) for at, who in callers.items()),
        calls=tuple(
            CallEdge(place=f"${at:06X}", routine=names.describe(to)) for at, to in routine.list_calls().items()
        ),
        findings=tuple(list_findings(code, routine, m, x)),
        trace=traced,
    )
    if config.council == "auto":
        found = _add_council(found, config)
    return _write_page(found, config.html) if config.html else found


def _find_address(config: ExplainConfig, symbols: dict[int, str]) -> int:
    wanted = config.address.strip().lower()
    named = next((place for place, name in symbols.items() if name.lower() == wanted), None)
    return parse_address(config.address, "ADDRESS") if named is None else named


def _choose_widths(config: ExplainConfig, code: RomCode, whole: FlowGraph, address: int) -> tuple[int, int, Sentence]:
    """Widths of the entry, and why."""
    seen = find_widths(code, whole, address)
    chosen = next(iter(sorted(seen, key=str)), (None, None))
    m, x = (
        {"8": 1, "16": 0}.get(given, 1 if found is None else found)
        for given, found in ((config.m, chosen[0]), (config.x, chosen[1]))
    )
    said = f"A is {format_width(m)} bits wide at the entry, X and Y {format_width(x)}"
    if "auto" not in (config.m, config.x):
        return m, x, Sentence(basis="assumed", text=f"{said}, as you say.")
    if len(seen) == 1 and None not in chosen:
        return m, x, Sentence(basis="read", text=f"{said}: every path from the vectors arrives so.")
    if seen:
        return m, x, Sentence(basis="assumed", text=f"{said}; paths from the vectors arrive with {_list_widths(seen)}.")
    return m, x, Sentence(basis="assumed", text=f"{said}; no path from the vectors leads here.")


def _describe_code(routine: RomRoutine, names: RoutineNames) -> Iterator[Sentence]:
    ends = sorted({insn.op.mnemonic for insn in routine.returns})
    if ends:
        ways = _count(len(routine.returns), "place")
        yield Sentence(basis="read", text=f"It returns by {' or '.join(ends)} in {ways}.")
    else:
        yield Sentence(basis="read", text="No path reaches a return: it loops, stops, or leaves by a jump.")
    for kind, wanted in (("writes", True), ("reads", False)):
        places = {
            names.describe_data(where)
            for insn in routine.insns
            if is_write(insn) is wanted
            and (where := find_touched(insn, routine.states[insn.address])) is not None
            and register_at(where) is None
            and (region := region_at(where))
            and region.kind != "rom"
        }
        if places:
            listed = ", ".join(sorted(places)[:_SHOWN])
            yield Sentence(
                basis="read", text=f"It {kind} memory by name: {listed}{' …' if len(places) > _SHOWN else ''}."
            )
    unknown = sum(insn.op.mode == "abs_ind_x" for insn in routine.insns)
    if unknown:
        said = "1 jump through a table is" if unknown == 1 else f"{unknown} jumps through tables are"
        yield Sentence(basis="read", text=f"{said} not followed.")


def _describe_callers(whole: FlowGraph, callers: dict[int, int]) -> Iterator[Sentence]:
    note = "" if whole.complete else "; the ROM is larger than the walk, so there may be more"
    said = f"calls or jumps to it from {_count(len(callers), 'place')}" if callers else "does not call or jump to it"
    yield Sentence(basis="read", text=f"Code reached from the vectors {said}{note}.")


def _describe_calls(code: RomCode, whole: FlowGraph, routine: RomRoutine, names: RoutineNames) -> Iterator[Sentence]:
    """Routines it calls that are entered in more than one width: their code may decode in two ways."""
    for goal in dict.fromkeys(routine.list_calls().values()):
        seen = find_widths(code, whole, goal)
        if len(seen) > 1:
            yield Sentence(
                basis="read", text=f"{names.describe(goal)}, which it calls, is entered with {_list_widths(seen)}."
            )


def _list_widths(seen: set[tuple[int | None, int | None]]) -> str:
    return " and ".join(f"m{format_width(m)} x{format_width(x)}" for m, x in sorted(seen, key=str))


def _count(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"


def _run(
    config: ExplainConfig, code: RomCode, routine: RomRoutine, m: int, x: int
) -> tuple[tuple[str, ...], list[Sentence]]:
    """The trace of one run and what it shows."""
    ends = next((_ENDS[one.op.mnemonic] for one in routine.returns if one.op.mnemonic in _ENDS), "stop")
    setup = RunCodeConfig(
        file=config.rom,
        entry=f"{routine.address:06X}",
        mapper=code.mapper,
        m="8" if m else "16",
        x="8" if x else "16",
        set=config.set,
        ends=msgspec.convert(ends, Literal["rts", "rtl", "stop"]),
        budget=config.budget,
        trace=config.trace,
    )
    try:
        result = run(setup)
    except (UsageError, DataError) as error:
        return (), [Sentence(basis="assumed", text=f"It was not run: {error}.")]
    start = ", ".join(f"{name}={value}" for name, value in config.set.items()) or "registers zero, memory undefined"
    return result.trace, list(_describe_run(result, start))


def _describe_run(result: RunResult, start: str) -> Iterator[Sentence]:
    yield Sentence(
        basis="measured",
        text=f"Run once ({start}): {result.stop} at {result.pc} after {_count(result.instructions, 'instruction')},"
        f" {result.cycles} CPU cycles, {result.clocks} master clocks.",
    )
    changed = [f"{place} {change}" for place, change in result.memory.items()]
    if changed:
        more = f" and {len(changed) - _SHOWN} more" if len(changed) > _SHOWN else ""
        yield Sentence(basis="measured", text=f"This run changed {', '.join(changed[:_SHOWN])}{more}.")
    else:
        yield Sentence(basis="measured", text="This run changed no memory.")
    if result.ports:
        yield Sentence(basis="measured", text=f"It wrote, in this order, {', '.join(result.ports[:_SHOWN])}.")
    if result.uninitialized:
        places = ", ".join(result.uninitialized[:_SHOWN])
        yield Sentence(basis="measured", text=f"It read memory that nothing had set: {places}; its inputs, or a fault.")


def _add_council(found: Explanation, config: ExplainConfig) -> Explanation:
    """With the council's words on top, or why there are none."""
    listing = "\n".join(f"{row.label + ': ' if row.label else ''}{row.text}" for row in found.listing[:_LISTED])
    facts = "\n".join(sentence.text for sentence in found.summary)
    question = f"Explain what this 65816 routine does.\n\n```asm\n{listing}\n```\n\nKnown about it:\n{facts}"
    try:
        expert, answer = _ASK.load()(config.workspace, question)
    except WorkspaceError as error:
        note = Sentence(basis="assumed", text=f"No council explains it here: {error}")
        return msgspec.structs.replace(found, summary=(*found.summary, note))
    touched = {row.name for row in found.registers}
    sentences = [part.strip() for part in _SENTENCE.split(answer) if part.strip()]
    return msgspec.structs.replace(
        found, expert=expert, council=tuple(Sentence(basis="model", text=_doubt(one, touched)) for one in sentences)
    )


def _doubt(sentence: str, touched: set[str]) -> str:
    """A model's sentence, with a note when it names a register that the routine's code does not."""
    words = set(re.findall(r"\b[A-Z][A-Z0-9]{3,}\b", sentence))
    strange = sorted(word for word in words if word.lower() in _register_names() and word not in touched)
    return f"{sentence} (its code does not touch {', '.join(strange)})" if strange else sentence


def _register_names() -> frozenset[str]:
    return frozenset(name.lower() for name in by_name())


def _write_page(found: Explanation, path: Path) -> Explanation:
    try:
        jsonl.replace(path, render_explanation(found).encode())
    except OSError as error:
        raise DataError(f"{path}: cannot be written: {error.strerror}") from error
    return msgspec.structs.replace(found, file=str(path))
