"""What is known of the machine at each instruction, without running it: register widths, stack, direct page, data bank.

Shared by the disassembler (which needs widths to decode) and the lint rules (which compare them with the source).
It is an approximation that never claims more than all paths agree on; it does not model memory.
"""

from afs.domains.snes.flow.abstract_state import ENTRY, Belief, Known, Slot, join
from afs.domains.snes.flow.fixpoint import FlowGraph, Visit, walk
from afs.domains.snes.flow.instruction_effects import Insn, effective_address, step

__all__ = [
    "ENTRY",
    "Belief",
    "FlowGraph",
    "Insn",
    "Known",
    "Slot",
    "Visit",
    "effective_address",
    "join",
    "step",
    "walk",
]
