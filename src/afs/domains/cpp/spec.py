"""The task's own data: all that a check needs besides the snapshot."""

from __future__ import annotations

from afs.types import Value


class HeaderSet(Value, frozen=True, kw_only=True):
    """Headers of a snapshot, and how a compiler reads them."""

    snapshot: str
    """Digest of the files."""
    headers: tuple[str, ...]
    """What is included before an answer, in order."""
    include: tuple[str, ...] = ()
    system: tuple[str, ...] = ()
    standard: str = "c++17"
    defines: tuple[str, ...] = ()
    compile_s: int = 60
    memory_mb: int = 2048


class CppFault(Value, frozen=True, kw_only=True):
    """A wrong call that the compiler rejects."""

    kind: str
    code: str
    message: str
    """The compiler's first error."""


class Phrasing(Value, frozen=True, kw_only=True):
    """How the task is phrased."""

    phrase: str


class CppSpec(Value, frozen=True, kw_only=True):
    """One task on one function of a library."""

    library: str
    license: str = ""
    commit: str = ""
    headers: HeaderSet
    name: str
    """Qualified name of the function."""
    scope: str = ""
    kind: str = ""
    """free, static, method or constructor."""
    prototype: str = ""
    """What the answer must define, in the families whose answer is a function."""
    arguments: tuple[str, ...] = ()
    """Parameters of the prototype in the order in which the call takes them."""
    faults: tuple[CppFault, ...] = ()
    """Wrong answers, confirmed by the compiler."""
    question: Phrasing
