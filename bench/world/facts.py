"""Facts that share their form and differ in what they say: none may be taken for another."""

from __future__ import annotations

import importlib
import inspect
import random
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from afs.domains.snes.isa import OPS
from afs.domains.snes.knowledge.registers import list_registers

Rows = Iterator[tuple[str, str]]
_MODULES = tuple(
    re.findall(
        r"\S+",
        """
    math cmath statistics itertools functools collections operator string re random decimal fractions datetime
    calendar os os.path shutil pathlib socket ssl select threading queue asyncio subprocess json csv
    configparser logging email urllib.request urllib.parse http.client ftplib smtplib tarfile zipfile gzip bz2
    lzma hashlib hmac secrets struct codecs heapq bisect array weakref types copy enum textwrap unicodedata
    locale argparse unittest ast dis inspect signal
        """,
    )
)


def python_docs() -> Rows:
    """Docstrings of the functions, classes and methods of Python's library."""
    for name in _MODULES:
        module = importlib.import_module(name)
        for key, value in vars(module).items():
            if key.startswith("_") or not callable(value):
                continue
            yield from _doc(f"{name}.{key}", value)
            if inspect.isclass(value) and not issubclass(value, BaseException):
                for inner, method in vars(value).items():
                    if not inner.startswith("_") and callable(method):
                        yield from _doc(f"{name}.{key}.{inner}", method)


def _doc(name: str, value: object) -> Rows:
    text = inspect.getdoc(value) or ""
    if len(text.split()) >= 6:
        yield f"What does `{name}` of Python do?", text


def python_docs_without_names() -> Rows:
    """The same docstrings under one question, each text once."""
    seen: set[str] = set()
    for _, text in python_docs():
        if text not in seen and len(text.split()) >= 12:
            seen.add(text)
            yield "Describe a function of Python's library.", text


def debian() -> Rows:
    """Descriptions of the packages installed here."""
    for entry in Path("/var/lib/dpkg/status").read_text("utf-8", "replace").split("\n\n"):
        name = re.search(r"^Package: (.*)$", entry, re.M)
        text = re.search(r"^Description: (.*(?:\n .*)*)", entry, re.M)
        if name and text:
            yield f"What is the package {name[1]}?", re.sub(r"\n \.?", "\n", text[1])


def debian_without_names() -> Rows:
    """The same descriptions under one question, each text once."""
    seen: set[str] = set()
    for _, text in debian():
        if text not in seen:
            seen.add(text)
            yield "Describe a Debian package.", text


def opcodes() -> Rows:
    """A sentence per opcode."""
    for op in OPS:
        yield (
            f"What is opcode ${op.code:02X}?",
            f"Opcode ${op.code:02X} is {op.mnemonic}, addressing mode {op.mode}. It takes at least {op.cycles} cycles.",
        )


def registers() -> Rows:
    """A sentence per register."""
    for register in list_registers():
        question = f"What is the register at ${register.address:04X}?"
        yield question, f"The register {register.name} at ${register.address:04X}: {register.purpose}"


def doc_paragraphs(root: Path, seed: int) -> Rows:
    """Paragraphs of a project's documentation under one question, each text once, `MOST` of them by chance."""
    found: dict[str, None] = {}
    for path in sorted(path for path in root.rglob("*") if path.suffix in (".md", ".rst", ".txt") and path.is_file()):
        body = re.sub(r"^(```|~~~).*?^\1", "", path.read_text("utf-8", "replace"), flags=re.S | re.M)
        for block in re.split(r"\n\s*\n", body):
            text = block.strip()
            if len(text.split()) >= LEAST_WORDS and text[0].isalpha() and _is_running_text(text):
                found[text] = None
    chance = random.Random(seed)
    for text in chance.sample(list(found), min(MOST, len(found))):
        yield "What does the documentation say?", text


def _is_running_text(text: str) -> bool:
    return sum(char.isalpha() or char.isspace() for char in text) / len(text) > 0.85


LEAST_WORDS, MOST = 12, 3000
FACTS: dict[str, Callable[[], Rows]] = {
    "Python": python_docs,
    "Python, unnamed": python_docs_without_names,
    "Debian": debian,
    "Debian, unnamed": debian_without_names,
    "opcodes": opcodes,
    "registers": registers,
}
