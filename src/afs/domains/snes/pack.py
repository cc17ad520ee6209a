"""The pack object: names of everything the pack can do, and where it lives; nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final, TypeVar, cast

from afs import plugins
from afs.domains.base import Block, Finding, PackTool, PackVerb
from afs.domains.snes.system_prompts import PROMPTS
from afs.types import Record, Task, Verdict

_HERE: Final = "afs.domains.snes"
_T = TypeVar("_T")


def _verb(module: str, name: str, help_: str) -> PackVerb:
    config = f"{_HERE}.{module}:{name.capitalize()}Config"
    return PackVerb(config=config, function=f"{_HERE}.{module}:{name}", help=help_)


def _tool(function: str, config: str, help_: str) -> PackTool:
    return PackTool(config=f"{_HERE}.code_tools:{config}", function=f"{_HERE}.code_tools:{function}", help=help_)


class Families(tuple[str, ...]):
    """Names of families; a kind (`generate`) is contained too and stands for all of its families."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and bool(_known(name)))


_KINDS = plugins.Late[Mapping[str, str]](f"{_HERE}.tasks:KINDS")


def _known(name: str) -> bool:
    kinds = _KINDS.load()
    kind = name.partition("/")[0]
    if kind not in kinds:
        return False
    return name == kind or name in cast(Mapping[str, object], _call("tasks:list_families", kind))


def _call(target: str, *arguments: object) -> object:
    return plugins.Late[Callable[..., object]](f"{_HERE}.{target}").load()(*arguments)


class Snes:
    """The pack object; see `afs.domains.base.Domain` for what each member is for."""

    name = "snes"
    version = "4"
    verbs: Mapping[str, PackVerb] = {
        "asm": _verb("asm_commands", "asm", "assemble a source in Asar's dialect"),
        "patch": _verb("asm_commands", "patch", "apply or make an IPS or BPS patch"),
        "register": _verb("register_command", "register", "look up a hardware register by name or address"),
        "disasm": _verb("register_command", "disasm", "disassemble, following the widths of A and X"),
        "lint": PackVerb(
            config=f"{_HERE}.lint_command:CodeLintConfig",
            function=f"{_HERE}.lint_command:lint_file",
            help="static remarks on a source, or a rule explained",
        ),
        "run": PackVerb(
            config=f"{_HERE}.cpu_commands:RunCodeConfig",
            function=f"{_HERE}.cpu_commands:run",
            help="run a piece of code on the CPU core",
        ),
        "cycles": _verb("cpu_commands", "cycles", "what a routine costs, in CPU cycles and master clocks"),
        "equal": _verb("cpu_commands", "equal", "do two routines have the same effect under a contract?"),
        "explain": PackVerb(
            config=f"{_HERE}.explain.explain_command:ExplainConfig",
            function=f"{_HERE}.explain.explain_command:explain",
            help="what is known about a routine of a ROM: code, registers, lint, a run, call graph",
        ),
        "boot": _verb("boot_command", "boot", "run a ROM from reset on, on the CPU core"),
        "singlestep": PackVerb(
            config=f"{_HERE}.singlestep_command:SinglestepConfig",
            function=f"{_HERE}.singlestep_command:run_singlestep",
            help="run public single-step tests of the CPU",
        ),
        "gfx": PackVerb(
            config=f"{_HERE}.graphics.graphics_commands:GfxConfig",
            function=f"{_HERE}.graphics.graphics_commands:convert_graphics",
            help="tiles to and from PNG: 1, 2, 3, 4, 8 bits a pixel and Mode 7, with palettes",
        ),
        "lz2": PackVerb(
            config=f"{_HERE}.graphics.graphics_commands:LzConfig",
            function=f"{_HERE}.graphics.graphics_commands:convert_lz2",
            help="compress and decompress LC_LZ2, in both byte orders",
        ),
        "tokenizer": _verb("tokenizer_command", "tokenizer", "train a tokenizer for 65816 source"),
        "screenshot": _verb("emulator_commands", "screenshot", "play a ROM and save the picture"),
        "verify": PackVerb(
            config=f"{_HERE}.emulator_commands:ConfirmConfig",
            function=f"{_HERE}.emulator_commands:verify",
            help="run a routine in the emulator and compare with the CPU core",
        ),
    }
    tools: Mapping[str, PackTool] = {
        "assemble": _tool("assemble_source", "SourceToAssemble", "Assemble 65816 source; gives bytes and labels."),
        "disassemble": _tool("disassemble_bytes", "BytesToDisassemble", "Disassemble 65816 machine code."),
        "lint": _tool("lint_source", "SourceToLint", "Find faults in 65816 source without running it."),
        "run": _tool("run_source", "SourceToRun", "Run 65816 code once; gives registers, memory, cycles."),
        "trace": _tool("trace_source", "SourceToTrace", "Run 65816 code and show it instruction by instruction."),
        "cycles": _tool("measure_source", "SourceToMeasure", "Measure a routine's cycles over many start states."),
        "equal": _tool("compare_sources", "SourcesToCompare", "Do two routines have the same effect on every state?"),
        "register": _tool("describe_register", "RegisterQuery", "Look up a hardware register by name or address."),
    }
    parts = f"{_HERE}.emulator.doctor_rows:parts"
    dialects: tuple[str, ...] = ("asar",)
    suites: Mapping[str, str] = {
        "snes-core": f"{_HERE}:suites/core.toml",
        "farore-5": f"{_HERE}:suites/farore.toml",
        "veran-hardware": f"{_HERE}:suites/veran.toml",
        "din-optimize": f"{_HERE}:suites/din.toml",
        "nayru-generate": f"{_HERE}:suites/nayru.toml",
        "majora-cycles": f"{_HERE}:suites/majora.toml",
    }
    prompts: Mapping[str, str] = PROMPTS
    probes = ("What does REP #$30 do?", "Write one line that loads 1 into A.")
    controls = ("    lda #$01\n",)
    recipe = Path(__file__).with_name("quickstart.toml")

    @cached_property
    def families(self) -> tuple[str, ...]:
        """All families but the tiny ones, which are made for models of a million parameters and known by name only."""
        kinds = _KINDS.load()
        names = (
            name
            for kind in kinds
            if kind != "tiny"
            for name in cast(dict[str, object], _call("tasks:list_families", kind))
        )
        return Families(names)

    def tasks(self, family: str, seed: int, n: int) -> Iterator[Task]:
        """`n` tasks of a family or of all families of a kind, the same for the same seed."""
        return cast(Iterator[Task], _call("tasks:draw_tasks", family, seed, n))

    def extract(self, text: str) -> tuple[Block, ...]:
        """Code blocks and tool calls."""
        return cast(tuple[Block, ...], _call("answer_parsing:find_blocks", text))

    def check(self, task: Task, answer: str) -> Verdict:
        """Judge one answer by execution."""
        return cast(Verdict, _call("checks:check_answer", task, answer))

    def check_reply(self, question: str, answer: str) -> Verdict:
        """What an answer's own code and its question let us say without a task."""
        return cast(Verdict, _call("inferred_checks:check_reply", question, answer))

    def compare_change(self, before: str, after: str) -> str:
        """What a change does to the routine it lies in, by running both versions."""
        return cast(str, _call("change_comparison:compare_change", before, after))

    def recognizes_source(self, text: str, dialect: str) -> bool:
        """Whether assembly is for the 65816."""
        return cast(bool, _call("source_recognition:is_65816", text, dialect))

    def classify(self, question: str) -> str:
        """The kind of task that a question in plain words is nearest to."""
        return cast(str, _call("question_kind:classify_question", question))

    def facts(self, question: str) -> str:
        """What can be looked up about a question before a model sees it."""
        return cast(str, _call("question_facts:look_up_facts", question))

    def lint(self, text: str) -> tuple[Finding, ...]:
        """Static remarks on every code block of a text, or on a plain source."""
        return cast(tuple[Finding, ...], _call("text_lint:lint_text", text))

    def annotate(self, record: Record) -> tuple[str, ...]:
        """Registers, addresses, mnemonics and numbers a record speaks of."""
        return cast(tuple[str, ...], _call("text_lint:find_entities", record))

    def wrong_answers(self, task: Task) -> Iterator[tuple[str, str]]:
        """Wrong answers that `check` must reject."""
        return cast(Iterator[tuple[str, str]], _call("wrong_answers:plant_wrong_answers", task))


DOMAIN = Snes()
