"""What is looked up about a question before a model sees it: its code measured, registers, addresses."""

from __future__ import annotations

import re
from typing import Final

from afs.domains.snes.code_tools import (
    RegisterQuery,
    SourceToAssemble,
    SourceToLint,
    SourceToMeasure,
    assemble_source,
    describe_register,
    lint_source,
    measure_source,
)
from afs.domains.snes.knowledge.memory_and_header_facts import region_at
from afs.domains.snes.question_reading import find_addresses, find_prose, read_question
from afs.domains.snes.text_lint import entities_in_text
from afs.errors import AfsError

_MOST: Final = 4
"""Registers and addresses that are looked up; a question about more wants a table, not cards."""
_SIDE: Final = re.compile(r"\b(?:contract|core): [^\n]*")


def look_up_facts(question: str) -> str:
    """The facts, a paragraph each; empty when there is nothing to look up."""
    reading = read_question(question)
    parts = _code_facts(reading.code) if reading.code.strip() else []
    entities = list(entities_in_text(find_prose(question)))
    names = [found.partition(":")[2] for found in entities if found.startswith("register:")]
    parts += [describe_register(RegisterQuery(name=name)) for name in list(dict.fromkeys(names))[:_MOST]]
    parts += _region_facts(question)
    return "\n\n".join(parts)


def _code_facts(code: str) -> list[str]:
    try:
        parts = [f"The question's code assembles:\n{assemble_source(SourceToAssemble(source=code))}"]
    except AfsError as error:
        return [f"The question's code does not assemble:\n{error}"]
    findings = lint_source(SourceToLint(source=code))
    if findings != "no findings":
        parts.append(f"Lint of the question's code:\n{findings}")
    try:
        cost = _SIDE.sub("", measure_source(SourceToMeasure(source=code, states=16))).strip()
        parts.append(f"Measured:\n{cost}")
    except AfsError:
        pass  # code that cannot be run alone has no cost to show
    return parts


def _region_facts(question: str) -> list[str]:
    found = []
    for address in sorted(find_addresses(find_prose(question)))[:_MOST]:
        region = region_at(address)
        if region is not None and not 0x2100 <= address & 0xFFFF < 0x4400:
            found.append(f"${address >> 16:02X}:{address & 0xFFFF:04X} is {region.what}")
    return found
