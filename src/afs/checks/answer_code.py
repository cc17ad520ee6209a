"""The code of an answer: its fenced blocks, without those quoted from the question, or all of it."""

from __future__ import annotations

import re

from afs.domains.base import strip_thinking

_FENCE = re.compile(r"^[ \t]*```([\w+#.-]*+)[^\n]*+\n(.*?)(?:^[ \t]*```|\Z)", re.S | re.M)
_SHELL = frozenset({"bash", "sh", "shell", "console", "text", "output", "plaintext"})
"""How to run something or what it prints: not the answer, where there is another block."""


def extract_code(answer: str, question: str = "") -> str:
    """What is judged: the blocks joined in their order, else the whole text."""
    said = strip_thinking(answer)
    blocks = [(name.lower(), code) for name, code in _FENCE.findall(said)]
    if not blocks:
        return said.strip()
    own = [(name, code) for name, code in blocks if code.strip() and code.strip() not in question]
    wanted = [code for name, code in own if name not in _SHELL] or [code for _, code in own]
    return "\n".join(wanted).strip()
