"""Facts about the machine: registers, memory maps, header, vectors; look-up, and questions with known answers."""

from afs.domains.snes.knowledge.fact_grader import FactQuestion, Grade, grade
from afs.domains.snes.knowledge.fact_questions import KINDS, planted, questions, symbol_questions
from afs.domains.snes.knowledge.memory_facts import header_fields, map_regions, region_at, vectors
from afs.domains.snes.knowledge.registers import BitField, Register, at, by_address, by_name, find, nearest, registers
from afs.domains.snes.knowledge.symbols import find_symbol, parse_symbols, read_symbols

__all__ = [
    "KINDS",
    "BitField",
    "FactQuestion",
    "Grade",
    "Register",
    "at",
    "by_address",
    "by_name",
    "find",
    "find_symbol",
    "grade",
    "header_fields",
    "map_regions",
    "nearest",
    "parse_symbols",
    "planted",
    "questions",
    "read_symbols",
    "region_at",
    "registers",
    "symbol_questions",
    "vectors",
]
