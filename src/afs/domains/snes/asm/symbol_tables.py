"""Everything a source has named: labels, structs, macros, defines, functions, and the scopes that names lie in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from afs.domains.snes.asm.macro_call import Macro


class UserFunction(NamedTuple):
    """`function name(a,b) = body`."""

    parameters: tuple[str, ...]
    body: str


class Struct(NamedTuple):
    """A finished struct."""

    end: int
    size: int
    object_size: int
    is_static: bool


class OpenStruct(NamedTuple):
    """A struct being laid out, and the place to return to after it."""

    name: str
    parent: str
    base: int
    is_static: bool
    saved: tuple[int, int, int]

    @property
    def full_name(self) -> str:
        """The prefix of its fields' names."""
        return f"{self.parent}.{self.name}" if self.parent else self.name


class Names:
    """Labels, structs and macros live through all passes; the rest is set up again by `begin`."""

    def __init__(self, defines: Mapping[str, str]) -> None:
        self.labels: dict[str, int] = {}
        self.static_labels: set[str] = set()
        self.structs: dict[str, Struct] = {}
        self.macros: dict[str, Macro] = {}
        self.builtin_defines = {"assembler": "asar", "assembler_ver": "10901"}
        self.given_defines = self.builtin_defines | dict(defines)
        self.begin()

    def begin(self) -> None:
        """Start of a pass."""
        self.defines = dict(self.given_defines)
        self.functions: dict[str, UserFunction] = {}
        self.namespace = ""
        self.namespaces: list[str] = []
        self.is_nesting = False
        self.namespace_stack: list[tuple[str, list[str], bool]] = []
        self.sublabels: list[str] = []
        self.forward_counts: dict[int, int] = {}
        self.backward_counts: dict[int, int] = {}
        self.struct: OpenStruct | None = None
