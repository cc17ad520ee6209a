"""Static remarks on 65816 source: widths, stack, banks, clobbers, hardware registers and DMA, over the flow of control.

    lint("rep #$20 : lda #$12 : rts")

The source is assembled first; its errors, and what Asar accepts although it is hardly ever meant, are findings too.
A new rule is a table in `rules.toml` and a line in the `CHECKS` of a file here.
"""

from afs.domains.snes.lint.lint_source import LintOptions, lint, lint_assembly
from afs.domains.snes.lint.rule import LintRule, index, page, rules

__all__ = ["LintOptions", "LintRule", "index", "lint", "lint_assembly", "page", "rules"]
