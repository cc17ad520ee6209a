"""What travels in a task's `spec`: everything `checks` needs to judge an answer, as data."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

import msgspec

from afs.domains.snes.contract import Contract
from afs.domains.snes.emulator.scenario import Press, Read
from afs.domains.snes.knowledge.fact_grader import FactQuestion
from afs.errors import DataError
from afs.types import Json, Task, Value

ORIGIN: Final = 0x808000
STATES: Final = 256

Want = Literal["", "cycles", "bytes", "both"]


class RoutineSpec(Value, frozen=True, kw_only=True, tag_field="check", tag="routine"):
    """Code with the same effect as `code` under the contract."""

    code: str
    """Assembly with the right effect."""
    contract: Contract
    states: int = STATES
    """Start states to try."""
    want: Want = ""
    """What must be less than that of `code`: CPU cycles, bytes, or both; the other must not grow."""
    category: str = ""
    """The fault the answer must name first, as `**Bug: [category]**`."""
    faulty: str = ""
    """The code in which that fault is."""
    emulator: bool = False
    """Must the emulator confirm it?"""


class FactSpec(Value, frozen=True, kw_only=True, tag_field="check", tag="question"):
    """A question of fact."""

    question: FactQuestion


class NumberSpec(Value, frozen=True, kw_only=True, tag_field="check", tag="number"):
    """A question whose answer is one number, found again by running `code` from `start`."""

    value: int
    base: Literal[10, 16] = 10
    code: str = ""
    contract: Contract = Contract()
    asks: Literal["cycles", "clocks", "bytes", "register", "given"] = "given"
    """What of the run the number is; `given`: the value itself is the fact."""
    register: str = ""


class BytesSpec(Value, frozen=True, kw_only=True, tag_field="check", tag="bytes"):
    """Machine code as hexadecimal bytes."""

    code: str
    """The source that assembles to them."""


class SourceSpec(Value, frozen=True, kw_only=True, tag_field="check", tag="source"):
    """Assembly that assembles to these very bytes."""

    data: str
    """Hexadecimal."""


class PatchSpec(Value, frozen=True, kw_only=True, tag_field="check", tag="patch"):
    """A patch for a whole ROM, judged in the emulator against the reference patch."""

    base: str
    """Name of the ROM to patch, a source in `roms/`."""
    code: str
    """A patch with the right effect."""
    frames: int = 8
    presses: tuple[Press, ...] = ()
    reads: tuple[Read, ...] = ()
    picture: bool = False


Spec: TypeAlias = RoutineSpec | FactSpec | NumberSpec | BytesSpec | SourceSpec | PatchSpec


def dump_spec(spec: Spec) -> Json:
    """A spec as it stands in `Task.spec`."""
    data: Json = msgspec.json.decode(msgspec.json.encode(spec))
    return data


def parse_spec(task: Task) -> Spec:
    """The spec of a task; raises DataError when it is not one of this pack's."""
    try:
        spec: Spec = msgspec.convert(task.spec, Spec)
    except msgspec.ValidationError as error:
        raise DataError(f"task {task.id}: spec: {error}") from error
    return spec
