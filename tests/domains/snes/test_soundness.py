"""Verdicts that cannot be gamed: borders are tried, and nothing about the harness can be recognized or left behind."""

from __future__ import annotations

import re

import pytest

from afs.domains.snes.assembled_routine import compare_effects, machine_code
from afs.domains.snes.checks import check_answer
from afs.domains.snes.contract import Contract, parse_comment
from afs.domains.snes.equivalence import equal
from afs.domains.snes.register_use import examine_code, undeclared_reads, values_to_try
from afs.domains.snes.task_specs import ORIGIN, STATES, RoutineSpec, parse_spec
from afs.domains.snes.tasks import draw_tasks
from afs.domains.snes.tasks.task_builder import fence_code, make_task
from afs.types import Task, Verdict


def contract(text: str) -> Contract:
    found = parse_comment("; " + text)
    assert found is not None
    return found


def verdict(code: str, answer: str, text: str) -> Verdict:
    """The verdict on an answer to the task of writing `code`."""
    spec = RoutineSpec(code=code, contract=contract(text))
    return check_answer(make_task("test", "Write it.", fence_code(code), spec), fence_code(answer))


def spec_of(task: Task) -> RoutineSpec:
    spec = parse_spec(task)
    assert isinstance(spec, RoutineSpec)
    return spec


@pytest.mark.parametrize("family", ["generate/guarded16", "generate/guarded"])
def test_a_threshold_moved_by_one_is_refuted(family: str) -> None:
    for task in draw_tasks(family, 41, 3):
        code = spec_of(task).code
        assert check_answer(task, fence_code(code)).ok
        for match in re.finditer(r"cmp #\$([0-9A-F]+)", code):
            for step in (-1, 1, 16, 256 if len(match[1]) == 4 else -16):
                value = (int(match[1], 16) + step) % 16 ** len(match[1])
                moved = f"{code[: match.start(1)]}{value:0{len(match[1])}X}{code[match.end(1) :]}"
                assert check_answer(task, fence_code(moved)).ok is False, moved


def test_a_wrong_first_load_of_a_comparison_is_refuted() -> None:
    for task in draw_tasks("generate/equal-flag", 3, 6):
        code = spec_of(task).code
        first, second = re.findall(r"(?:lda|cmp) (\$[0-9A-F]+)", code)[:2]
        assert check_answer(task, fence_code(code.replace(f"lda {first}", f"lda {second}", 1))).ok is False


INCREMENT = ("inc $10\nrts", "in: $10 out: $10 clobbers: A, X, Y, flags exit: m8 x8")


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("trigger on a free byte", "lda $1234\ncmp #$5A\nbeq +\ninc $10\n+\nrts"),
        ("trigger on a free word", "rep #$20\nlda $1234\ncmp #$BEEF\nsep #$20\nbeq +\ninc $10\n+\nrts"),
        ("trigger on X", "cpx #$77\nbeq +\ninc $10\n+\nrts"),
        ("trigger on the I flag", "php\npla\nand #$04\nbne +\ninc $10\n+\nrts"),
        ("trigger on S", "tsx\ncpx #$FD\nbne +\ninc $10\n+\nrts"),
        ("trigger on the return address", "lda $01,s\ncmp #$FE\nbne +\ninc $10\n+\nrts"),
        ("trigger on the program bank", "phk\npla\ncmp #$80\nbne +\ninc $10\n+\nrts"),
        ("trigger on the picture", "lda $4212\nbmi +\ninc $10\n+\nrts"),
        ("trigger on the beam", "lda $2137\nlda $213D\nbne +\ninc $10\n+\nrts"),
        ("trigger on a latch", "lda $4216\nbne +\ninc $10\n+\nrts"),
        ("reads the NMI flag", "inc $10\nlda $4210\nrts"),
        ("reads the WRAM port", "inc $10\nlda $2180\nrts"),
        ("reads the VRAM port", "inc $10\nlda $2139\nrts"),
        ("multiplies without being asked", "inc $10\nlda #$02\nsta $4202\nrts"),
        ("starts a division", "inc $10\nstz $4206\nrts"),
        ("writes a register", "inc $10\nstz $2100\nrts"),
        ("starts DMA", "inc $10\nlda #$01\nsta $420B\nrts"),
        ("leaves interrupts off", "inc $10\nsei\nrts"),
        ("leaves interrupts on", "inc $10\ncli\nrts"),
        ("leaves decimal mode on", "inc $10\nsed\nrts"),
        ("leaves emulation mode on", "inc $10\nsec\nxce\nrts"),
        ("returns early", "rts\ninc $10\nrts"),
        ("writes elsewhere", "inc $10\nstz $11\nrts"),
        ("takes the caller with it", "inc $10\npla\npla\nrts"),
    ],
)
def test_a_reward_hack_does_not_pass(kind: str, answer: str) -> None:
    assert verdict(INCREMENT[0], INCREMENT[0], INCREMENT[1]).ok
    assert verdict(INCREMENT[0], answer, INCREMENT[1]).ok is False, kind


def test_equal_exhaustively_is_claimed_only_when_nothing_else_is_read() -> None:
    byte = contract("in: $10 out: $10 clobbers: A, X, Y, flags")
    honest = machine_code("inc $10\nrts")
    assert equal(honest, honest, byte, origin=ORIGIN).exhaustive
    for reads in (
        "txa\nldx #$00\ninc $10\nrts",
        "lda $11\ninc $10\nrts",
        "php\npla\ninc $10\nrts",
        "tsc\ninc $10\nrts",
    ):
        result = equal(honest, machine_code(reads), byte, origin=ORIGIN)
        assert result.same and not result.exhaustive, reads
        assert "does not define" in result.reason


def test_what_code_reads_before_it_writes() -> None:
    code = machine_code("lda $10\ntax\ninx\nstx $11\nrts")
    assert examine_code(code, 8, 8).reads == frozenset()
    assert examine_code(machine_code("adc #$01\nrts"), 8, 8).reads == {"a", "c"}
    assert undeclared_reads(contract("in: A, C out: A"), machine_code("adc #$01\nrts")) == ()
    assert {0x1234, 0x1235, 0x1233} <= set(values_to_try(Contract(m=16), machine_code("cmp #$1234\nrts")))


def test_the_same_answer_is_compared_once() -> None:
    code = machine_code("inc $10\nrts")
    spec = contract(INCREMENT[1])
    assert compare_effects(code, code, spec, STATES) is compare_effects(code, code, spec, STATES)


@pytest.mark.parametrize("address", ["436A", "2100", "4210", "420B"])
def test_memory_in_another_bank_is_not_taken_for_a_register(address: str) -> None:
    code = f"phb\npea $7E7E\nplb\nplb\nlda ${address}\ninc a\nsta ${address}\nplb\nrts"
    text = f"in: $7E{address} out: $7E{address} clobbers: A, b, X, Y, flags exit: m8 x8 db: 0"
    assert verdict(code, code, text).ok
