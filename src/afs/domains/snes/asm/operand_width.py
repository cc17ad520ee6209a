"""How many bytes an operand takes: written digits count, a label counts by where it lies."""

from __future__ import annotations

from afs.domains.snes.asm.labels import UNKNOWN, anonymous_name, find_label, label_name, operand_bytes
from afs.domains.snes.asm.operand_digits import OperandScan
from afs.domains.snes.asm.session import Session


def operand_width(s: Session, text: str, bank_is_byte: bool) -> int:
    """The width of an operand, 0 to 3."""
    if text[:1] in ("+", "-", "?"):
        name, end = anonymous_name(s, text, 0)
        if name and end == len(text):
            return operand_bytes(s, find_label(s, name)) if s.pass_ else 2
    unknown = s.free.unknown
    width = _LabelScan(s, text, bank_is_byte).run()
    s.free.unknown = min(s.free.unknown, unknown + 1)
    return width


class _LabelScan(OperandScan):
    def __init__(self, s: Session, text: str, bank_is_byte: bool) -> None:
        super().__init__(text, bank_is_byte)
        self.s = s

    def label(self) -> int:
        name, self.at, _ = label_name(self.s, self.text, self.at)
        place = find_label(self.s, name)
        return operand_bytes(self.s, place if place >= 0 else UNKNOWN)
