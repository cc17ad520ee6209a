"""Code in an answer: fenced, in HTML, indented, inline or bare; and the one rule which of it is judged.

The rule (`base.CODE_RULE`, printed in every prompt that asks for code): blocks that define different labels are
assembled together, of blocks that define the same label, or none, the last one counts, and code quoted from the
question does not count. A few lines without label and return, beside a whole routine, are a remark about it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from typing import Final

from afs.domains.base import Block, LineCounter, find_marked
from afs.domains.snes.isa import MNEMONICS, OPS

FENCE: Final = re.compile(
    r"^[ \t>]*+(?:(?:[-*+]|\d+[.)])[ \t]*+)?(?P<mark>`{3,}+|~{3,}+)[ \t]*+(?P<language>[^\s`]*+)[^\n]*+\n(?P<text>.*?)"
    r"(?:^[ \t>]*+(?P=mark)`*+[ \t]*+$|\Z)",
    re.M | re.S,
)
_PRE: Final = re.compile(r"<(pre|code)\b[^<>]{0,200}>", re.I)
_PRE_ENDS: Final = {name: re.compile(f"</{name}>", re.I) for name in ("pre", "code")}
_INLINE: Final = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_ASSEMBLY: Final = re.compile(
    r"(?:.*asm.*|.*assembl.*|.*65c?(?:02|816).*|.*asar.*|.*snes.*|w65.*|ca65|s|nasm)?", re.IGNORECASE
)
"""Languages of fences that hold assembly; `x86asm`, `asm65816` and `snes-asm` are written as well."""
_NEUTRAL: Final = frozenset({"", "text", "txt", "plaintext", "plain", "code", "none"})
_LABEL: Final = re.compile(r"^(?:[.\w]+:(?!=)|\.\w+(?=\s|$)|[+-]+(?=\s|$))\s*")
_GLOBAL_LABEL: Final = re.compile(r"^[^\S\n]*([A-Za-z_]\w*):", re.M)
_ORG: Final = re.compile(r"^org\s+\$?(\w+)", re.M)
_DIRECTIVES: Final = frozenset(
    {"db", "dw", "dl", "dd", "org", "lorom", "hirom", "skip", "fill", "base", "pushpc", "pullpc", "arch", "math"}
)
_IMPLIED: Final = frozenset(op.mnemonic for op in OPS if op.mode in ("imp", "acc")) | {"brk"}
_OPERAND: Final = re.compile(
    r"[#$%(\[\w.+\-!<>~@'\"](?:[^\s;]|(?<=.[,+\-*/|&<>])\s++(?=[^\s;])|\s++(?=[,+\-*/|&<>]\s*[^\s;]))*+\s*+"
)
"""Blanks stand in it only beside an operator."""
_LEAVES: Final = re.compile(r"\b(?:rts|rtl|rti|stp|jmp|jml|bra|brl)\b", re.IGNORECASE)


_LEAST_STATEMENTS = 3
"""Prose with two colons in it is common, with three instructions between them it is not."""


def find_blocks(text: str) -> tuple[Block, ...]:
    """Code blocks and tool calls; without marks around code, its longest stretches of lines."""
    lines = LineCounter(text)
    found = [_fenced_block(match, lines) for match in FENCE.finditer(text)]
    rest = FENCE.sub(lambda match: "\n" * match[0].count("\n"), text)
    left = LineCounter(rest)
    found += [
        _block(html.unescape(code), left, at) for name, code, at in _marked_up(rest) if name == "pre" or "\n" in code
    ]
    found += [
        Block(kind="tool_call", text=call, line=lines.line_at(at))
        for call, at in find_marked(text, "<tool_call>", "</tool_call>")
    ]
    if not any(block.kind == "code" for block in found):
        found += _unfenced_blocks(rest) or _inline_blocks(rest)
    if not any(block.kind == "code" for block in found):
        found = [_as_code(block) for block in found]
    return tuple(found)


def _marked_up(text: str) -> Iterator[tuple[str, str, int]]:
    """Name, content and place of the elements `pre` and `code`; an element that never ends is looked at once."""
    after = 0
    endless: set[str] = set()
    for start in _PRE.finditer(text):
        name = start[1].lower()
        if start.start() < after or name in endless:
            continue
        end = _PRE_ENDS[name].search(text, start.end())
        if end is None:
            endless.add(name)
            continue
        after = end.end()
        yield name, text[start.end() : end.start()], start.end()


def _as_code(block: Block) -> Block:
    """A block without a language is code when nothing else in the answer is."""
    return Block(kind="code", text=block.text, line=block.line) if block.kind in _NEUTRAL else block


def _fenced_block(match: re.Match[str], lines: LineCounter) -> Block:
    language = match["language"].lower().strip("{}.")
    is_assembly = language not in _NEUTRAL and _ASSEMBLY.fullmatch(language) is not None
    if is_assembly or (looks_like_code(match["text"]) and (language in _NEUTRAL or is_code(match["text"]))):
        language = "code"
    return Block(kind=language, text=match["text"], line=lines.line_at(match.start("text")))


def _block(code: str, lines: LineCounter, at: int) -> Block:
    return Block(kind="code", text=re.sub(r"</?\w+[^>]*>", "", code).strip("\n") + "\n", line=lines.line_at(at))


def _unfenced_blocks(text: str) -> list[Block]:
    """Stretches of lines that are all statements: two of them at least, or a whole answer."""
    lines = text.splitlines()
    found: list[Block] = []
    written = [number for number, line in enumerate(lines) if line.strip()]
    start = 0
    while start < len(lines):
        end = start
        while end < len(lines) and (not _bare(lines[end]) or is_statement(_bare(lines[end]))):
            end += 1
        count = sum(len(split_statements(_bare(line))) for line in lines[start:end] if _bare(line))
        whole = bool(written) and start <= written[0] and written[-1] < end
        if count >= 2 or (count and whole):
            found.append(Block(kind="code", text="\n".join(lines[start:end]).strip("\n"), line=start + 1))
        start = end + 1
    return found or _misspelled_line(lines)


def _misspelled_line(lines: list[str]) -> list[Block]:
    """A whole answer that is one line of statements, most of them instructions: code with a fault in it."""
    written = [number for number, line in enumerate(lines) if line.strip()]
    parts = split_statements(_bare(lines[written[0]])) if len(written) == 1 else []
    if "`" in "".join(parts) or len(parts) < _LEAST_STATEMENTS or 2 * sum(map(is_statement, parts)) <= len(parts):
        return []
    return [Block(kind="code", text=lines[written[0]].strip(), line=written[0] + 1)]


def _inline_blocks(text: str) -> list[Block]:
    """Code of several statements inside a line."""
    lines = LineCounter(text)
    return [
        Block(kind="code", text=match[1].strip() + "\n", line=lines.line_at(match.start()))
        for match in _INLINE.finditer(text)
        if is_code(match[1]) and (len(split_statements(match[1])) > 1 or _LEAVES.search(match[1]))
    ]


def _bare(line: str) -> str:
    return line.split(";")[0].strip()


def split_statements(line: str) -> list[str]:
    """The statements of a line; ` : ` stands between them."""
    return [part for part in re.split(r"\s:\s", line) if part.strip()]


def is_code(text: str) -> bool:
    """Whether every line that is not blank or a comment is a statement."""
    lines = [bare for line in text.splitlines() if (bare := _bare(line))]
    return bool(lines) and all(is_statement(line) for line in lines)


def looks_like_code(text: str) -> bool:
    """Whether at least half of the lines are statements."""
    lines = [bare for line in text.splitlines() if (bare := _bare(line))]
    return bool(lines) and 2 * sum(map(is_statement, lines)) >= len(lines)


def is_statement(line: str) -> bool:
    """Whether a line is made of labels, instructions with one operand each, and data directives."""
    return all(_is_one_statement(part.strip()) for part in split_statements(line))


def _is_one_statement(part: str) -> bool:
    rest = _LABEL.sub("", part)
    if not rest:
        return True
    word, _, operand = rest.partition(" ")
    name = word.lower().partition(".")[0]
    if name in _DIRECTIVES:
        return True
    if name not in MNEMONICS:
        return False
    operand = operand.strip()
    return name in _IMPLIED if not operand else _OPERAND.fullmatch(operand) is not None


def normalize_code(code: str) -> str:
    """Code without comments, blank lines, spacing and case: equal code, equal text."""
    parts = [part.strip() for line in code.splitlines() for part in line.split(";")[0].split(" : ")]
    return "\n".join(" ".join(part.lower().split()) for part in parts if part)


# --- which code is judged --------------------------------------------------------------------------------------------


def judged_blocks(question: str, answer: str) -> tuple[Block, ...]:
    """The blocks of an answer that are assembled, in order: the rule above."""
    own = _without_quotations(question, [b for b in find_blocks(answer) if b.kind == "code" and normalize_code(b.text)])
    labels = [_labels(block) for block in own]
    leaves = [_LEAVES.search(normalize_code(block.text)) is not None for block in own]
    has_leaving = any(leaves)
    named = {label for found in labels for label in found if label}
    chosen: list[Block] = []
    defined_later: set[str] = set()
    for number in reversed(range(len(own))):
        is_loose = has_leaving and not leaves[number] and labels[number] == {""}
        if is_loose and _is_remark(own[number], named):
            continue
        if not labels[number] & defined_later:
            chosen.append(own[number])
        defined_later |= labels[number]
    return tuple(reversed(chosen))


def _labels(block: Block) -> frozenset[str]:
    """What a block defines: its labels and the places its `org` names; nothing named at its start counts as a name."""
    code = normalize_code(block.text)
    found = {*_GLOBAL_LABEL.findall(code), *_ORG.findall(code)}
    return frozenset(found if _GLOBAL_LABEL.match(code) or _ORG.search(code) else found | {""})


def _is_remark(block: Block, named: set[str]) -> bool:
    """A few lines that stand alone: no label, no return, and neither used by nor using what other blocks name."""
    return is_code(block.text) and not named & set(re.findall(r"[a-z_]\w*", normalize_code(block.text)))


def _without_quotations(question: str, blocks: list[Block]) -> list[Block]:
    """Blocks that are not the question's code, nor a part of it where there is something else."""
    quoted = {normalize_code(block.text) for block in find_blocks(question) if block.kind == "code"}
    own = [block for block in blocks if normalize_code(block.text) not in quoted]
    new = [block for block in own if not any(_contains(whole, normalize_code(block.text)) for whole in quoted)]
    return new or own


def _contains(whole: str, part: str) -> bool:
    return f"\n{part}\n" in f"\n{whole}\n"


def join_blocks(blocks: tuple[Block, ...]) -> str:
    """The blocks as one source."""
    return "\n".join(block.text.rstrip("\n") for block in blocks) + "\n"


def answer_line(blocks: tuple[Block, ...], line: int) -> int:
    """The line of the answer that holds a line of the joined source."""
    for block in blocks:
        size = block.text.rstrip("\n").count("\n") + 1
        if line <= size:
            return block.line + line - 1
        line -= size
    return blocks[-1].line
