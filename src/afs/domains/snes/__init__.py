"""The SNES pack: 65816 assembly and ROM hacking, every claim judged by execution.

`DOMAIN` is all that the core sees; its parts load when first used.
"""

from afs.domains.snes.pack import Snes

__all__ = ["DOMAIN"]

DOMAIN = Snes()
