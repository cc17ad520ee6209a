"""Facts about the machine: registers, memory maps, header, vectors; look-up, and questions with known answers."""

from afs.domains.snes.knowledge.fact_grader import FactQuestion, Grade, grade
from afs.domains.snes.knowledge.fact_questions import KINDS, draw_questions, plant_wrong_answers, symbol_questions
from afs.domains.snes.knowledge.memory_and_header_facts import (
    list_header_fields,
    list_map_regions,
    list_vectors,
    region_at,
)
from afs.domains.snes.knowledge.registers import (
    BitField,
    Register,
    by_address,
    by_name,
    find_register,
    list_registers,
    nearest_register,
    register_at,
)
from afs.domains.snes.knowledge.symbols import find_symbol, parse_symbols, read_symbols

__all__ = [
    "KINDS",
    "BitField",
    "FactQuestion",
    "Grade",
    "Register",
    "by_address",
    "by_name",
    "draw_questions",
    "find_register",
    "find_symbol",
    "grade",
    "list_header_fields",
    "list_map_regions",
    "list_registers",
    "list_vectors",
    "nearest_register",
    "parse_symbols",
    "plant_wrong_answers",
    "read_symbols",
    "region_at",
    "register_at",
    "symbol_questions",
]
