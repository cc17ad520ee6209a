"""Encodes one instruction at the current place. Opcodes and forms come from `instruction_forms`."""

from __future__ import annotations

from typing import Final

from afs.domains.snes.asm import strict_warnings
from afs.domains.snes.asm.diagnostics import BlockHalt, FatalHalt
from afs.domains.snes.asm.expressions import evaluate_integer, signed
from afs.domains.snes.asm.instruction_reader import Instruction, choose_opcode, operand_form
from afs.domains.snes.asm.labels import UNKNOWN, find_label, operand_bytes
from afs.domains.snes.asm.operand_width import operand_width
from afs.domains.snes.asm.session import Session

_BLANK: Final = (b"\0", b"\0\0", b"\0\0\0", b"\0\0\0\0")


def encode(s: Session, op: Instruction) -> bool:
    """Emit the instruction; False if the operand fits none of its forms."""
    if op.name and s.is_fast and s.names.struct is None and not op.implicit:
        return _encode_name(s, op)
    if op.explicit == 4:
        s.log.warn(1, "Wfeature_deprecated", ".d suffix", "there is no such width")
    if op.suffix and not op.explicit:
        if s.pass_ == 2:
            evaluate_integer(s, op.operand)
        raise BlockHalt("Einvalid_opcode_length")
    if op.operand in ("a", "A") and op.form in ("direct", "branch") and not _is_label_a(s, op):
        return False
    if op.form == "branch":
        return _branch(s, op)
    if op.form == "repeat":
        return _repeat(s, op)
    if op.form == "block":
        return _block_move(s, op)
    if op.const is not None:
        if op.implicit:
            s.log.warn(0, "Wimplicitly_sized_immediate")
        if s.is_strict:
            strict_warnings.check_instruction(s, op, int.from_bytes(op.const[1:], "little"), len(op.const) - 1)
        s.out.emit(op.const)
        return True
    return _general(s, op)


def _encode_name(s: Session, op: Instruction) -> bool:
    """An operand that is the name of a label and nothing else."""
    at = find_label(s, op.name)
    is_branch = op.form == "branch"
    if not is_branch and (op.explicit == 4 or (op.suffix and not op.explicit)):
        return _general(s, op)
    if s.pass_ == 2 and at == UNKNOWN and op.name not in s.names.labels:
        raise BlockHalt("Elabel_not_found", op.name, report_in=2)
    if is_branch:
        return _branch_to(s, op, at) if s.pass_ == 2 else _branch(s, op)
    if op.explicit:
        width = op.explicit
    elif s.operands.assumed_bank < 0 or op.mnemonic not in ("jsr", "jmp"):
        width = operand_bytes(s, at)
    else:
        width = _width(s, op)
    if op.form == "y" and op.codes[0] < 0:
        width = max(width, 2)
    code, size = choose_opcode(op, width)
    if code < 0:
        return False
    if s.pass_ < 2:
        s.out.emit(_BLANK[size])
    else:
        s.out.emit(bytes((code,)) + (at & 0xFFFFFF).to_bytes(3, "little")[:size])
    if not op.explicit and (s.out.real > 0xFFFFFF or at & 0x8000 == 0):
        _check_other_settings(s, op, size)
    return True


def _branch_to(s: Session, op: Instruction, at: int) -> bool:
    size = 1 if op.codes[0] >= 0 else 2
    distance = (at & 0xFFFFFF) - ((s.out.pos & 0xFFFFFF) + size + 1)
    s.out.emit(bytes((op.codes[size - 1],)) + (distance & 0xFFFF).to_bytes(2, "little")[:size])
    half = 128 if size == 1 else 32768
    if not -half <= distance < half:
        raise BlockHalt("Erelative_branch_out_of_bounds", distance, report_in=2)
    return True


def _is_label_a(s: Session, op: Instruction) -> bool:
    """A label of the name `a`, where others would mean the accumulator."""
    if s.pass_ and find_label(s, op.operand) == UNKNOWN:
        return False
    s.log.warn(1, "Wfeature_deprecated", "a label named a", "choose another name")
    return True


def _general(s: Session, op: Instruction) -> bool:
    width = op.width if op.width is not None else _width(s, op)
    value = evaluate_integer(s, op.operand) if s.pass_ == 2 and op.form not in ("imp", "acc") else 0
    if op.form == "x" and s.pass_ == 0 and op.operand[:1] == "(" and op.operand[-1:] == ")":
        s.log.warn(0, "W65816_yy_x_does_not_exist")
    if op.form == "y" and width == 1 and op.codes[0] < 0 <= op.codes[1]:
        s.log.warn(0, "W65816_xx_y_assume_16_bit", op.mnemonic.upper())
        width = 2
    code, size = choose_opcode(op, width)
    if code < 0:
        return False
    if op.implicit:
        s.log.warn(0, "Wimplicitly_sized_immediate")
    if s.is_strict and s.pass_ == 2:
        strict_warnings.check_instruction(s, op, value, size)
    s.out.emit(bytes((code,)) + (value & 0xFFFFFF).to_bytes(3, "little")[:size])
    if op.width is None:
        _check_other_settings(s, op, size)
    return True


def _width(s: Session, op: Instruction) -> int:
    """The width by labels; jsr and jmp never leave the bank whatever `bank` says."""
    bank_is_byte = op.form.startswith("imm")
    if op.mnemonic not in ("jsr", "jmp") or op.form != "direct":
        return operand_width(s, op.operand, bank_is_byte)
    assumed, s.operands.assumed_bank = s.operands.assumed_bank, -1
    width = operand_width(s, op.operand, bank_is_byte)
    s.operands.assumed_bank = assumed
    return width


def _check_other_settings(s: Session, op: Instruction, size: int) -> None:
    """Warn where Asar 2's default `optimize` settings would choose another width."""
    if s.operands.has_set_dp and s.operands.has_set_address:
        return
    if s.pass_ < 2:
        if s.out.real > 0xFFFFFF:
            _width(s, op)  # Asar looks twice, and counts unknown labels twice when it measures a freespace
        return
    kept = s.operands.optimize_dp, s.operands.optimize_address
    s.operands.optimize_dp = s.operands.optimize_dp if s.operands.has_set_dp else "always"
    s.operands.optimize_address = s.operands.optimize_address if s.operands.has_set_address else "mirrors"
    other = choose_opcode(op, _width(s, op))[1]
    s.operands.optimize_dp, s.operands.optimize_address = kept
    if other != size:
        s.log.warn(2, "Woptimization_settings", size, other)


def _branch(s: Session, op: Instruction) -> bool:
    size = 1 if op.codes[0] >= 0 else 2
    code = op.codes[size - 1]
    if s.pass_ < 2:
        if op.width is None and not op.explicit and s.out.real > 0xFFFFFF:
            _width(s, op)
            _check_other_settings(s, op, size)
        s.out.emit(bytes((code, 0, 0)[: size + 1]))
        return True
    value = signed(evaluate_integer(s, op.operand))
    if not s.maths.found_label:
        if s.is_strict:
            strict_warnings.check_bare_branch(s)
        s.out.emit(bytes((code,)) + (value & 0xFFFF).to_bytes(2, "little")[:size])
        return True
    distance = value - ((s.out.pos & 0xFFFFFF) + size + 1)
    s.out.emit(bytes((code,)) + (distance & 0xFFFF).to_bytes(2, "little")[:size])
    half = 128 if size == 1 else 32768
    if not -half <= distance < half:
        raise BlockHalt("Erelative_branch_out_of_bounds", distance, report_in=2)
    return True


def _repeat(s: Session, op: Instruction) -> bool:
    if op.width is None and not op.explicit:
        _width(s, op)
    count = evaluate_integer(s, op.operand) & 0xFFFFFFFF
    if s.maths.found_label:
        raise BlockHalt("Eno_labels_here")
    if count > s.limits.bytes_out:
        raise FatalHalt("Elimit_output", s.limits.bytes_out, report_in=s.pass_)
    s.out.emit(bytes((op.codes[0],)) * count)
    return True


def _block_move(s: Session, op: Instruction) -> bool:
    if op.const is not None:
        s.out.emit(op.const)
        return True
    code = op.codes[1]
    if s.pass_ < 2:
        s.out.emit(bytes((code, 0, 0)))
        return True
    s.out.emit(bytes((code,)))
    s.out.emit(bytes((evaluate_integer(s, op.operand) & 0xFF,)))
    s.out.emit(bytes((evaluate_integer(s, op.second) & 0xFF,)))
    return True


def look_at_operand(s: Session, words: list[str]) -> None:
    """An unknown statement that looks like an instruction: errors in its operand are reported first, as Asar does."""
    head = words[0]
    if len(words) != 2 or words[1] in ("", "a", "A") or not (len(head) == 3 or (len(head) == 5 and head[3] == ".")):
        return
    is_immediate = words[1][0] == "#"
    operand = words[1][1:] if is_immediate else operand_form(words[1], words[1].lower())[1]
    if len(head) == 3:
        operand_width(s, operand, is_immediate)
    if s.pass_ == 2:
        evaluate_integer(s, operand)
    if len(head) == 5 and head[4] not in "bwldBWLD":
        raise BlockHalt("Einvalid_opcode_length")
