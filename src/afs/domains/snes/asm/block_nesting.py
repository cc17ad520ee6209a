"""Conditional assembly as data: the open `if`, `while` and `for` blocks."""

from __future__ import annotations


class Loop:
    """What `if`, `while` and `for` remember at their depth of nesting."""

    __slots__ = ("condition", "current", "end", "is_for", "is_while", "kept", "line", "variable")

    def __init__(self, line: int = 0, kind: str = "if") -> None:
        self.line, self.is_while, self.is_for = line, kind == "while", kind == "for"
        self.condition = False
        self.current = self.end = 0
        self.variable = ""
        self.kept: str | None = None


class BlockNesting:
    """How many blocks are open, how many of them hold, and progress in the current line."""

    __slots__ = ("depth", "inline", "is_live", "loops", "more", "single", "taken", "true_depth")

    def __init__(self) -> None:
        self.depth = self.true_depth = 0
        self.taken: dict[int, bool] = {}
        self.loops: dict[int, Loop] = {}
        self.more = False
        """Is there another statement on this line?"""
        self.is_live = True
        """Does the inline condition of this line hold?"""
        self.inline = 0
        """Inline ifs of this line without an end."""
        self.single = 0
        """Progress of a for loop that is one whole line."""

    def loop(self, depth: int) -> Loop:
        """The loop at a depth, created if needed."""
        if depth not in self.loops:
            self.loops[depth] = Loop()
        return self.loops[depth]
