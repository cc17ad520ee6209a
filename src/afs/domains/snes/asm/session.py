"""One assembly while it runs: everything that is known, in three passes.

Pass 0 finds in which bank each label lies, pass 1 where exactly, pass 2 writes. `begin` sets up what a pass forgets.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from afs.domains.snes.asm.diagnostics import BlockHalt, Diagnostic, FatalHalt, Halt
from afs.domains.snes.asm.expression_functions import UserFunction
from afs.domains.snes.asm.labels import MacroLabels
from afs.domains.snes.asm.message_catalog import OFF_BY_DEFAULT, message
from afs.domains.snes.asm.output_position import Place
from afs.domains.snes.asm.rom_image import Image
from afs.domains.snes.asm.source_text import shown

if TYPE_CHECKING:
    from afs.domains.snes.asm.limits import AsmLimits
    from afs.domains.snes.asm.source_files import Files
    from afs.domains.snes.asm.statement_log import Stretch, Tape
    from afs.domains.snes.asm.statements import Statement


class Macro(NamedTuple):
    """A macro as defined."""

    name: str
    parameters: tuple[str, ...]
    is_variadic: bool
    file: str
    line: int
    lines: list[str]


class MacroCall:
    """A macro while it runs."""

    __slots__ = ("arguments", "extra", "is_variadic", "labels", "macro")

    def __init__(self, macro: Macro, arguments: list[str], number: int) -> None:
        self.macro, self.arguments = macro, arguments
        self.is_variadic = macro.is_variadic
        self.extra = len(arguments) - (len(macro.parameters) - 1) if macro.is_variadic else -1
        self.labels = MacroLabels(number)


class Struct(NamedTuple):
    """A finished struct."""

    end: int
    size: int
    object_size: int
    is_static: bool


class OpenStruct(NamedTuple):
    """A struct being laid out, and what to come back to after it."""

    name: str
    parent: str
    base: int
    is_static: bool
    saved: tuple[int, int, int]

    @property
    def full_name(self) -> str:
        """The name its fields begin with."""
        return f"{self.parent}.{self.name}" if self.parent else self.name


class Loop:
    """What `if`, `while` and `for` remember at their depth of nesting."""

    __slots__ = ("condition", "current", "end", "is_for", "is_while", "kept", "line", "variable")

    def __init__(self, line: int = 0, kind: str = "if") -> None:
        self.line, self.is_while, self.is_for = line, kind == "while", kind == "for"
        self.condition = False
        self.current = self.end = 0
        self.variable = ""
        self.kept: str | None = None


class Flow:
    """Conditional assembly: how deep, how deep in truth, and the line being run."""

    __slots__ = ("depth", "inline", "is_live", "loops", "more", "single", "taken", "true_depth")

    def __init__(self) -> None:
        self.depth = self.true_depth = 0
        self.taken: dict[int, bool] = {}
        self.loops: dict[int, Loop] = {}
        self.more = False
        """Is there another block on this line?"""
        self.is_live = True
        """Does the inline condition of this line hold?"""
        self.inline = 0
        """Inline ifs of this line without an end."""
        self.single = 0
        """Progress of a for loop that is one whole line."""

    def loop(self, depth: int) -> Loop:
        """The loop at a depth, made if need be."""
        if depth not in self.loops:
            self.loops[depth] = Loop()
        return self.loops[depth]


class FreeSpace:
    """What is known of the freespaces of a patch, by their number."""

    def __init__(self) -> None:
        self.at: dict[int, int] = {}
        self.length: dict[int, int] = {}
        self.leaks: dict[int, bool] = {}
        self.old_at: dict[int, int] = {}
        self.old_length: dict[int, int] = {}
        self.static: dict[int, bool] = {}
        self.fill: dict[int, int] = {}
        self.begin()

    def begin(self) -> None:
        """Start of a pass."""
        self.next = self.current = 1
        self.unknown = 0
        """Operands whose label was not known: they may need another byte."""
        self.start = 0
        self.is_code = False
        self.used = 0


class Session(Place):
    """Everything an assembly knows."""

    def __init__(self, files: Files, limits: AsmLimits, rom: bytes, defines: Mapping[str, str], strict: bool) -> None:
        self.files, self.limits, self.is_strict = files, limits, strict
        self.image = Image(rom)
        self.labels: dict[str, int] = {}
        self.static_labels: set[str] = set()
        self.structs: dict[str, Struct] = {}
        self.macros: dict[str, Macro] = {}
        self.builtin_defines = {"assembler": "asar", "assembler_ver": "10901"}
        self.given_defines = self.builtin_defines | dict(defines)
        self.diagnostics: list[Diagnostic] = []
        self.errors = 0
        self.failed = False
        self.untold: Halt | None = None
        """An error of a pass in which it is not told; it is, if nothing else is."""
        self.always_priority = self.never_rounds = False
        self.fixes_checksum = True
        self.tables: list[list[int]] = []
        self.free = FreeSpace()
        self.statements_run = self.next_look = 0
        self.most_statements = limits.statements
        self.deadline = time.monotonic() + limits.seconds if limits.seconds is not None else None
        self.listing: list[tuple[int, Statement | Stretch, str, int, int, int]] = []
        self.sources: dict[str, list[str]] = {}
        self.texts: dict[str, str] = {}
        self.prepared: dict[str, list[str]] = {}
        self.tape: Tape | None = None
        """Where the first pass keeps what it runs."""
        self.is_replaying = False
        self.is_volatile = False
        self.has_warned_end = False
        """Did the text that was run depend on what may change from pass to pass?"""
        self.begin(0)

    def begin(self, number: int) -> None:
        """Start of a pass."""
        self.pass_ = number
        self.begin_place()
        self.begin_names()
        self.depth = 0
        self.file, self.line, self.block, self.caller = "", -1, "", ""
        self.flow = Flow()
        self.free.begin()
        self.repeat_next = 1
        self.version_allowed, self.is_top = True, True
        self.include_depth = 0
        self.included_once: list[str] = []
        self.priority, self.math_rounds = False, True
        self.is_muted = False
        self.muted: set[str] = set(OFF_BY_DEFAULT)
        self.muted_stack: list[set[str]] = []
        self.found_label = self.found_forward = self.is_static = False
        self.found_static = True
        self.table = list(range(256))
        self.fill_bytes, self.pad_bytes = bytes(12), bytes(12)
        self.image.fill = 0
        self.is_fast = not self.is_strict

    def begin_names(self) -> None:
        """Start of a pass, for names and scopes."""
        self.defines = dict(self.given_defines)
        self.functions: dict[str, UserFunction] = {}
        self.namespace = ""
        self.namespaces: list[str] = []
        self.is_nested = False
        self.sublabels: list[str] = []
        self.forward_counts: dict[int, int] = {}
        self.backward_counts: dict[int, int] = {}
        self.macro: MacroCall | None = None
        self.macro_calls = 0
        self.struct: OpenStruct | None = None
        self.assumed_bank = -1
        self.optimize_dp, self.optimize_address = "none", "default"
        self.has_set_dp = self.has_set_address = False
        self.dp_base = 0
        self.pc_stack: list[tuple[int, ...]] = []
        self.base_stack: list[int] = []
        self.namespace_stack: list[tuple[str, list[str], bool]] = []

    @property
    def rounds(self) -> bool:
        """Does every step of a calculation drop its fraction?"""
        return self.math_rounds and not self.never_rounds

    def touch(self) -> None:
        """Note that a value depends on the pass."""
        self.is_volatile = True

    def struct_size(self, name: str) -> int:
        """Bytes of a struct."""
        return self._struct(name).size

    def object_size(self, name: str) -> int:
        """Bytes of a struct with its longest extension."""
        return self._struct(name).object_size

    def _struct(self, name: str) -> Struct:
        found = self.structs.get(name)
        if found is None or self.pass_ == 0:
            self.touch()
        if found is None and self.pass_:
            raise BlockHalt("Estruct_not_found", name, report_in=2)
        return found or Struct(0, 0, 0, False)

    def report(self, halt: Halt) -> None:
        """Keep an error, if this is the pass to tell it in."""
        self.failed = self.is_volatile = True
        if halt.report_in != self.pass_:
            self.untold = self.untold or halt
            return
        self.errors += 1
        self._say("error", halt.id, message(halt.id, *halt.values))
        if self.errors > self.limits.errors and halt.id != "Elimit_reached":
            raise FatalHalt("Elimit_reached", self.limits.errors, report_in=self.pass_)

    def warn(self, told_in: int, id: str, *values: object) -> None:
        """Keep a warning, if this is the pass to tell it in."""
        if self.pass_ == told_in and not self.is_muted and id not in self.muted:
            self._say("warning", id, message(id, *values))

    def say(self, text: str) -> None:
        """Keep a line the source prints."""
        self.diagnostics.append(
            Diagnostic(severity="print", id="", message=shown(text), file=self.file, line=self.line + 1)
        )

    def _say(self, severity: str, id: str, text: str) -> None:
        lines = self.sources.get(self.file, [])
        source = shown(lines[self.line]) if 0 <= self.line < len(lines) else ""
        block = shown(self.block)
        column = max(source.find(block), 0) + 1 if block else len(source) - len(source.lstrip()) + 1
        self.diagnostics.append(
            Diagnostic(
                severity=severity,  # type: ignore[arg-type]
                id=id,
                message=shown(text),
                file=self.file,
                line=self.line + 1,
                column=column,
                text=source,
                block=block,
                called_from=self.caller,
            )
        )

    def count(self, statements: int) -> None:
        """So many more statements are run; stop what never ends."""
        self.statements_run += statements
        if self.statements_run > self.next_look:
            self._look()

    def _look(self) -> None:
        self.next_look = self.statements_run + 256
        if self.statements_run > self.most_statements:
            raise FatalHalt("Elimit_statements", self.most_statements, report_in=self.pass_)
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise FatalHalt("Elimit_time", self.limits.seconds, report_in=self.pass_)
