"""The pack's command `singlestep`: public single-step tests on one of our cores."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import ClassVar, Literal

from afs.config import Config
from afs.domains.snes import cpu_kernel
from afs.domains.snes.singlestep import StepResult, Which, read_vectors, singlestep
from afs.errors import DataError, UsageError
from afs.types import Value


class SinglestepConfig(Config, frozen=True, kw_only=True):
    """Which tests to run on which core."""

    positional: ClassVar[tuple[str, ...]] = ("files",)

    files: tuple[Path, ...]
    """Files in the public SingleStepTests JSON form: array or lines, plain, .gz or .xz."""
    core: Which | Literal["auto"] = "auto"
    """c (every bus access compared), c-fast (as in normal runs), python; auto is c where available."""
    mode: Literal["both", "native", "emulation"] = "both"
    """Which tests of the files to run."""


class SinglestepResult(Value, frozen=True, kw_only=True):
    """Passed and failed per opcode, the total first."""

    core: str
    opcodes: tuple[StepResult, ...]

    @property
    def exit_code(self) -> int:
        """3 when a test failed."""
        return 3 if self.opcodes[0].failed else 0

    def text(self) -> str:
        """For a terminal: the total, then a line per opcode."""
        total = self.opcodes[0]
        doubtful = f", {total.doubtful} doubtful" if total.doubtful else ""
        lines = [f"{self.core}: {total.passed} passed, {total.failed} failed{doubtful}"]
        for row in self.opcodes[1:]:
            shown = f"{row.opcode} {row.instruction:<14} {row.mode:<9} {row.passed:>6} passed {row.failed:>6} failed"
            shown += f" {row.doubtful} doubtful" if row.doubtful else ""
            lines.append(f"{shown}  {row.first_failure}".rstrip())
        return "\n".join(lines)


def run_singlestep(config: SinglestepConfig) -> SinglestepResult:
    """Run public single-step tests on a core."""
    if not config.files:
        raise UsageError("singlestep: name at least one file")
    core: Which = "c" if cpu_kernel.core() else "python"
    if config.core != "auto":
        core = config.core
    vectors = chain.from_iterable(read_vectors(path) for path in config.files)
    chosen = (one for one in vectors if config.mode == "both" or one.initial.e == (config.mode == "emulation"))
    rows = singlestep(chosen, core)
    if not rows[0].passed and not rows[0].failed:
        raise DataError(f"{', '.join(map(str, config.files))}: no tests for mode {config.mode}")
    return SinglestepResult(core=core, opcodes=tuple(rows))
