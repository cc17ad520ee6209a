"""Which pack a tree of assembly belongs to, as the packs themselves say; empty when none recognizes it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import cast

from afs.domains.base import DOMAINS
from afs.errors import AfsError
from afs.ingest import file_walk
from afs.ingest.asm_dialects import detect_dialect
from afs.ingest.base import Reading, Unit

GENERAL = "general"
SAMPLE_BYTES = 4 << 20
"""Of a tree's sources; its first files may hold data or definitions alone."""


def place_units(units: Iterable[Unit]) -> Iterator[Unit]:
    """The units of one tree, each with the domain of the whole tree."""
    listed = list(units)
    domain = find_domain(_read_texts(listed))
    for unit in listed:
        yield unit if unit.problem else unit._replace(domain=domain)


def _read_texts(units: list[Unit]) -> Iterator[str]:
    for unit in units:
        if not unit.problem:
            try:
                yield file_walk.read_text(unit, Reading(unit, source="", domain=""))
            except (AfsError, OSError, EOFError):
                continue


def find_domain(texts: Iterable[str]) -> str:
    """The first pack that recognizes the sources."""
    sample, size = list[str](), 0
    for text in texts:
        sample.append(text)
        size += len(text)
        if size >= SAMPLE_BYTES:
            break
    whole = "\n".join(sample)
    dialect = detect_dialect(whole)
    recognizers = ((name, _member(name, "recognizes_source")) for name in DOMAINS.list_names())
    return next((name for name, recognizes in recognizers if recognizes and recognizes(whole, dialect)), "")


def compare_change(domain: str, before: str, after: str) -> str:
    """What running both versions shows, where the domain is a pack's that can; else empty: a domain is any word."""
    compare = _member(domain, "compare_change") if domain in DOMAINS.list_names() else None
    return cast(str, compare(before, after)) if compare else ""


def _member(name: str, member: str) -> Callable[..., object] | None:
    """An optional member of a pack."""
    return getattr(DOMAINS.find(name), member, None)
