"""Programs composed of parts: chains of operations on a value, guarded by a comparison or applied to an array."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple

from afs.domains.snes.tasks.program_builder import Draft, TypedProgram


class Link(NamedTuple):
    """One operation on the accumulator: in words and in code."""

    words: str
    code: str


_WITH: Final[Mapping[str, tuple[str, str]]] = {
    "add": ("add {}", "clc\nadc {}"),
    "subtract": ("subtract {}", "sec\nsbc {}"),
    "and": ("AND with {}", "and {}"),
    "or": ("OR with {}", "ora {}"),
    "xor": ("exclusive-or with {}", "eor {}"),
}
_ALONE: Final = (
    Link("double it", "asl a"),
    Link("halve it (unsigned)", "lsr a"),
    Link("add one", "inc a"),
    Link("subtract one", "dec a"),
)


def _draw_links(d: Draft, count: int, size: int, *, cells: bool = True) -> list[Link]:
    """Random operations; operands are constants or, with `cells`, bytes or words of memory."""
    found: list[Link] = []
    while len(found) < count:
        if d.rng.random() < 0.3:
            link = d.rng.choice(_ALONE)
            if found and {link.code, found[-1].code} in ({"inc a", "dec a"}, {"asl a", "lsr a"}):
                continue
            found.append(link)
            continue
        words, code = _WITH[d.rng.choice(sorted(_WITH))]
        if cells and d.rng.random() < 0.5:
            cell = d.source(size)
            found.append(Link(words.format(f"the {_noun(size)} at {cell}"), code.format(cell)))
        else:
            value = f"${d.byte(2, 0xFD):02X}" if size == 1 else f"${d.word(0x102, 0xFFFD):04X}"
            found.append(Link(words.format(value), code.format(f"#{value}")))
    return found


def _noun(size: int) -> str:
    return "byte" if size == 1 else "16-bit word"


def _describe_links(links: list[Link]) -> str:
    words = [link.words for link in links]
    return ", then ".join(words) if len(words) < 3 else ", ".join(words[:-1]) + f", and then {words[-1]}"


def _join_code(links: list[Link]) -> str:
    return "\n".join(link.code for link in links)


def chain(d: Draft, count: int, size: int) -> TypedProgram:
    """A value, some operations, a result."""
    start = d.source(size)
    links = _draw_links(d, count, size)
    out = d.target(size)
    noun, steps = _noun(size), _describe_links(links)
    d.goal(
        f"take the {noun} at {start}, {steps}, and store the result at {out} (all wrapped to {8 * size} bits)",
        f"load the {noun} at {start}; {steps}; write the {8 * size}-bit result to {out}",
        f"compute the {noun} at {out} as follows: begin with the {noun} at {start}, {steps}",
        f"start from {start} ({noun}): {steps}. The {8 * size}-bit result goes to {out}",
    )
    return d.build(f"lda {start}\n{_join_code(links)}\nsta {out}", m=8 * size)


def guarded(d: Draft, size: int) -> TypedProgram:
    """Operations that are done only when a comparison holds, others when not."""
    start, out = d.source(size), d.target(size)
    bound = f"${d.byte(0x10, 0xF0):02X}" if size == 1 else f"${d.word(0x1000, 0xF000):04X}"
    below, other = (_draw_links(d, d.rng.randint(1, 2), size, cells=False) for _ in range(2))
    noun, then, otherwise = _noun(size), _describe_links(below), _describe_links(other)
    d.goal(
        f"take the {noun} at {start}: when it is below {bound} (unsigned), {then}; otherwise {otherwise};"
        f" store the result at {out}",
        f"work on the unsigned {noun} at {start} and store it at {out}: if it is below {bound}, {then};"
        f" if it is {bound} or more, {otherwise}",
    )
    body = f"lda {start}\ncmp #{bound}\nbcs high\n{_join_code(below)}\nbra store\n"
    body += f"high:\n{_join_code(other)}\nstore:\nsta {out}"
    return d.build(body, m=8 * size)


def mapped(d: Draft) -> TypedProgram:
    """The same operations on every byte of an array."""
    count = d.rng.randint(3, 12)
    source = d.both(count) if d.rng.random() < 0.5 else d.source(count)
    in_place = d.writes_to(source)
    out = source if in_place else d.target(count)
    links = _draw_links(d, d.rng.randint(1, 3), 1, cells=False)
    where = "in place" if in_place else f"and store the results from {out} on"
    d.goal(
        f"for each of the {count} bytes from {source}: {_describe_links(links)}, {where}",
        f"apply this to all {count} bytes of the array at {source}, {where}: {_describe_links(links)}",
        f"walk over {source}-{source.at(count - 1)} and for every byte {_describe_links(links)}, {where}",
    )
    body = f"ldx #${count - 1:02X}\nagain:\nlda {source},x\n{_join_code(links)}\nsta {out},x\ndex\nbpl again"
    return d.build(body, m=8, x=8)


def folded(d: Draft) -> TypedProgram:
    """A sum over those bytes of an array that pass a comparison."""
    count, bound = d.rng.randint(3, 10), d.byte(0x20, 0xE0)
    source, out = d.source(count), d.target()
    large = d.rng.random() < 0.5
    which = f"at least ${bound:02X}" if large else f"below ${bound:02X}"
    d.goal(
        f"add up those of the {count} unsigned bytes from {source} that are {which}; store the sum (8 bits) at {out}",
        f"sum the bytes of {source}-{source.at(count - 1)} which are {which} (unsigned) into {out}, modulo 256",
    )
    skip = "bcc next" if large else "bcs next"
    body = (
        f"stz {out}\nldx #${count - 1:02X}\nagain:\nlda {source},x\ncmp #${bound:02X}\n{skip}\nclc\nadc {out}\n"
        f"sta {out}\nnext:\ndex\nbpl again"
    )
    return d.build(body, m=8, x=8)


PROGRAMS: Final[dict[str, Callable[[Draft], TypedProgram]]] = {
    **{f"chain{count}": partial(chain, count=count, size=1) for count in (2, 3, 4, 5)},
    **{f"chain{count}-16": partial(chain, count=count, size=2) for count in (2, 3, 4, 5)},
    "guarded": partial(guarded, size=1),
    "guarded16": partial(guarded, size=2),
    "mapped": mapped,
    "folded": folded,
}
FAR: Final = frozenset(PROGRAMS) - {"folded"}
"""Programs whose instructions all have a long form."""
