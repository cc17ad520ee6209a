"""The assembler: Asar's dialect of 65816 and SPC700 assembly, byte for byte.

    from afs.domains.snes.asm import assemble
    assemble("lda #$01 : sta $7E0010", origin=0x808000).blocks

SuperFX code and the emulation of xkas are errors.
"""

from __future__ import annotations

from afs.domains.snes.asm.assembler import assemble
from afs.domains.snes.asm.assembly_result import Assembled, Assembly, Written
from afs.domains.snes.asm.diagnostics import AsmError, Diagnostic
from afs.domains.snes.asm.limits import TRUSTED, AsmLimits

__all__ = ["TRUSTED", "AsmError", "AsmLimits", "Assembled", "Assembly", "Diagnostic", "Written", "assemble"]
