"""What a user may say about a C++ library: the table `options` of a `generate` step."""

from __future__ import annotations

from pathlib import Path

from afs.config import Config, Positive

HEADERS = (".h", ".hpp", ".hh", ".hxx", ".inl", ".ipp", ".tpp")
"""Endings of the files a snapshot keeps: headers and what they include."""


class CppOptions(Config, frozen=True, kw_only=True):
    """Where the headers are, and how they are compiled."""

    path: Path
    """A folder: a git repository (its newest commit is read) or plain headers."""
    commit: str = ""
    """Another commit than the newest one."""
    headers: tuple[str, ...] = ()
    """Only functions of headers that match one of these patterns, e.g. `include/*.hpp`; empty: those below
    `include`, or all but those of tests, examples and bundled libraries."""
    exclude: tuple[str, ...] = ()
    """No functions of headers that match one of these patterns."""
    include: tuple[str, ...] = ()
    """Include folders inside `path`; empty: `include`, `src` and `path` itself, as far as they are there."""
    system: tuple[Path, ...] = ()
    """Include folders of other libraries that the headers need."""
    standard: str = "c++17"
    """The language, as `g++ -std=` takes it."""
    defines: tuple[str, ...] = ()
    """Macros to define, e.g. `NDEBUG` or `LEVEL=2`."""
    namespaces: tuple[str, ...] = ()
    """Only functions of these namespaces; empty: all."""
    license: str = ""
    """SPDX identifier, where the repository's files do not state it."""
    functions: Positive = 2000
    """At most so many functions are compiled."""
    compile_s: Positive = 60
    """Time limit of one run of the compiler."""
    memory_mb: Positive = 2048
    """Memory limit of the compiler."""
