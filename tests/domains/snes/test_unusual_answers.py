"""Right answers in unusual dress are accepted, and the one rule decides which code of an answer is judged."""

from __future__ import annotations

import pytest

from afs.domains.base import CODE_RULE, strip_thinking
from afs.domains.snes.answer_parsing import judged_blocks
from afs.domains.snes.checks import check_answer
from afs.domains.snes.contract import parse_comment
from afs.domains.snes.pack import DOMAIN
from afs.domains.snes.task_specs import BytesSpec, NumberSpec, RoutineSpec, SourceSpec
from afs.domains.snes.tasks.task_builder import make_task
from afs.types import Task

CODE = "    lda $10\n    clc\n    adc $11\n    sta $12\n    rts\n"
LOOP = "    ldx #$03\nagain:\n    lda $10,x\n    sta $20,x\n    dex\n    bpl again\n    rts\n"


def routine(code: str, contract: str, prompt: str = "Write it.") -> Task:
    found = parse_comment("; " + contract)
    assert found is not None
    return make_task("test", prompt, code, RoutineSpec(code=code, contract=found))


ADD = routine(CODE, "in: $10, $11 out: $12 clobbers: A, b, X, Y, flags exit: m8 x8")
COPY = routine(LOOP, "in: $10-$13 out: $20-$23 clobbers: A, b, X, Y, flags exit: m8 x8")
BYTES = make_task("test", "Assemble it.", "", BytesSpec(code="clc\nlda $1234\nadc #$05\nrts"))
COUNT = make_task("test", "Count.", "", NumberSpec(value=14))
SOURCE = make_task("test", "Disassemble it.", "", SourceSpec(data="18A51060"))


def fence(code: str, language: str = "asm") -> str:
    return f"```{language}\n{code}```"


def listed(code: str, indent: str) -> str:
    return "\n".join(indent + line for line in code.rstrip("\n").split("\n")) + "\n"


_LANGUAGES = (
    "", "x86asm", "assembler", "6502", "text", "snes-asm", "asm65816", "65816", "asm6502", "ca65", "nasm", "armasm",
    "asar", "65c816", "ASM", "w65c816s", "assembly", "plaintext", "{.asm}", "asm title=routine",
)  # fmt: skip
RIGHT: list[tuple[str, Task, str]] = [
    *((f"fence {name or 'unlabeled'}", ADD, f"Here:\n\n{fence(CODE, name)}\nDone.") for name in _LANGUAGES),
    ("tildes", ADD, f"~~~asm\n{CODE}~~~"),
    ("never closed", ADD, f"```asm\n{CODE}"),
    ("no fence", ADD, CODE),
    ("no fence, prose behind", ADD, f"{CODE}\nThis adds the two bytes and stores the sum."),
    ("no fence, prose around", ADD, f"Sure! And here it is:\n\n{CODE}\nBit 7 of the sum may be set."),
    ("pre", ADD, f"<pre>{CODE}</pre>"),
    ("pre with code and entities", COPY, f"<pre><code>{LOOP.replace('#', '&#35;')}</code></pre>"),
    ("one line in backticks", ADD, "Use `lda $10 : clc : adc $11 : sta $12 : rts`, that is all."),
    ("one line", ADD, "lda $10 : clc : adc $11 : sta $12 : rts"),
    ("capitals", ADD, fence(CODE.upper())),
    ("comments", ADD, fence("; adds\n" + CODE.replace("\n", " ; remark\n"))),
    ("indented in a list", ADD, f"1. Load and add:\n\n   ```asm\n{listed(CODE, '   ')}   ```\n2. Done."),
    ("fence behind a bullet", ADD, f"- ```asm\n{listed(CODE, '  ')}  ```"),
    ("quoted with >", ADD, f"The routine:\n\n{listed(CODE, '    ')}\nis called with JSR."),
    ("a snippet first", ADD, f"The key is:\n{fence('    clc' + chr(10))}\nIn full:\n{fence(CODE)}"),
    ("a snippet last", ADD, f"{fence(CODE)}\nNote the\n{fence('    clc' + chr(10))}\nbefore the addition."),
    ("a first try", ADD, f"First idea:\n{fence(CODE.replace('adc', 'sbc'))}\nBetter:\n{fence(CODE)}"),
    ("named twice", COPY, f"{fence(LOOP.replace('#$03', '#$02'))}\nWait, four bytes:\n{fence(LOOP)}"),
    ("in two parts", COPY, f"{fence('    ldx #$03' + chr(10) + '    bra again' + chr(10))}\nand\n{fence(LOOP.partition(chr(10))[2])}"),
    ("a helper of its own", ADD, f"{fence('    jsr add' + chr(10) + '    rts' + chr(10))}\n{fence('add:' + chr(10) + CODE)}"),
    ("thinking first", ADD, f"<think>\nMaybe\n```asm\nrts\n```\n</think>\n{fence(CODE)}"),
    ("thinking, only its end", ADD, f"I should add.\n```asm\nnop\n```\n</think>\n\n{fence(CODE)}"),
    ("a table of costs behind", ADD, f"{fence(CODE)}\n```\nbefore: 20 cycles\nafter: 17 cycles\n```"),
    ("another language behind", ADD, f"{fence(CODE)}\n```c\nc = a + b;\n```"),
    ("label in front", ADD, fence("add_bytes:\n" + CODE)),
    ("bytes", BYTES, "18 AD 34 12 69 05 60"),
    ("bytes small", BYTES, "18ad3412690560"),
    ("bytes 0x", BYTES, "0x18 0xAD 0x34 0x12 0x69 0x05 0x60"),
    ("bytes db", BYTES, "db $18,$AD,$34,$12,$69,$05,$60"),
    ("bytes in a fence", BYTES, "```\n18 AD 34 12\n69 05 60\n```"),
    ("bytes line by line", BYTES, "```\n18        ; clc\nAD 34 12  ; lda $1234\n69 05     ; adc #$05\n60        ; rts\n```"),
    ("bytes with addresses", BYTES, "808000: 18 AD 34 12\n808004: 69 05 60"),
    ("bytes in a sentence", BYTES, "The machine code is `18 AD 34 12 69 05 60`."),
    ("bytes named", BYTES, "Machine code: 18 AD 34 12 69 05 60"),
    ("number", COUNT, "14"),
    ("number as a sum", COUNT, "2 + 3 + 3 + 6 = 14"),
    ("number as a sum of cycles", COUNT, "CLC 2 + LDA 3 + STA 3 + RTS 6 = 14 cycles"),
    ("number bold", COUNT, "Counting all 4 instructions gives **14** cycles."),
    ("number in a fence", COUNT, "```\n14\n```"),
    ("number in words", COUNT, "It takes fourteen cycles."),
    ("number denied", COUNT, "It is 14, not 13."),
    ("source in another language's fence", SOURCE, fence("clc\nlda $10\nrts\n", "x86asm")),
    ("source bare", SOURCE, "clc\nlda $10\nrts\n\nThese are three instructions."),
]  # fmt: skip


def test_right_answers_in_unusual_dress_pass() -> None:
    assert len(RIGHT) >= 60
    refused = [(kind, verdict.reason) for kind, task, answer in RIGHT if not (verdict := check_answer(task, answer)).ok]
    assert refused == []


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        (ADD, f"{fence(CODE)}\nor rather\n{fence(CODE.replace('adc', 'sbc'))}"),
        (ADD, f"<think>{fence(CODE)}"),
        (ADD, "lda and add and sta, then return with rts"),
        (ADD, "Add $10 and $11, store in $12."),
        (BYTES, "18 AD 34 12 69 06 60"),
        (BYTES, "18 AD 34 12 69 05"),
        (COUNT, "13 or 14"),
        (COUNT, "2 + 3 + 6 = 11, or 14"),
        (COUNT, "not 14"),
        (SOURCE, "clc\nlda $11\nrts"),
    ],
)
def test_wrong_and_undecided_answers_do_not(task: Task, answer: str) -> None:
    assert check_answer(task, answer).ok is False


def test_code_of_the_question_does_not_count() -> None:
    asked = routine(CODE, "in: $10, $11 out: $12 clobbers: A, b, X, Y, flags", f"Fix this.\n\n{fence(CODE)}")
    assert check_answer(asked, f"It is fine as it is:\n{fence(CODE)}").ok is False
    part = fence("    clc\n    adc $11\n")
    assert [block.text for block in judged_blocks(asked.prompt, f"{fence('    inc a' + chr(10))}\n{part}")] == [
        "    inc a\n"
    ]


def test_the_rule_is_printed_in_the_prompts_that_ask_for_code() -> None:
    assert all(CODE_RULE in DOMAIN.prompts[name] for name in ("generate", "optimize", "debug", "translate", "patch"))
    assert CODE_RULE not in DOMAIN.prompts["explain"]
    (task,) = DOMAIN.tasks("generate/add16", 1, 1)
    assert CODE_RULE in task.system


def test_thinking_is_stripped() -> None:
    assert strip_thinking("<think>a</think>b") == strip_thinking("a</think>b") == "b"
    assert strip_thinking("<think>never ends") == ""
    assert strip_thinking("I think so") == "I think so"
