"""The house rules that no linter knows: start-up, one class per noun, sizes, what may stand where."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from afs import plugins, verbs
from afs.config import Config, fields

SOURCE = Path(__file__).parents[2] / "src" / "afs"
FILES = sorted(SOURCE.rglob("*.py"))
TREES = {path: ast.parse(path.read_text()) for path in FILES}
HEAVY = {"torch", "transformers", "trl", "peft", "numpy", "rich", "httpx2", "pyarrow", "inspect_ai", "starlette"}


def test_help_loads_nothing_heavy() -> None:
    code = "import sys; from afs.cli.main import main; main(['--help']); print(*sys.modules, file=sys.stderr)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not HEAVY & set(told.stderr.split())


def test_the_assembler_starts_with_little_more_than_itself(tmp_path: Path) -> None:
    (tmp_path / "a.asm").write_text("org $808000 : rtl\n")
    code = "import sys; from afs.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    words = [sys.executable, "-c", code, "snes", "asm", str(tmp_path / "a.asm"), "-o", str(tmp_path / "a.sfc")]
    ran = subprocess.run(words, capture_output=True, text=True, check=True)
    slow = {
        "msgspec",
        "asyncio",
        "sqlite3",
        "dataclasses",
        "inspect",
        "json",
        "tomllib",
        "hashlib",
        "difflib",
        "backports",
    }
    assert "wrote" in ran.stdout
    assert not (HEAVY | slow | {"afs.config", "afs.plugins", "afs.domains.base"}) & set(ran.stderr.split())


@pytest.mark.parametrize("command", ["register INIDISP", "disasm CODE", "lint SOURCE", "run SOURCE", "cycles SOURCE"])
def test_a_command_of_the_bench_loads_what_it_needs(command: str, tmp_path: Path) -> None:
    files = {"SOURCE": tmp_path / "a.asm", "CODE": tmp_path / "a.bin"}
    files["SOURCE"].write_text("lda #$12\nsta $10\nrts\n")
    files["CODE"].write_bytes(bytes.fromhex("A912851060"))
    words = [str(files.get(word, word)) for word in command.split()]
    code = "import sys; from afs.cli.main import main; main(sys.argv[1:]); print(*sys.modules, file=sys.stderr)"
    ran = subprocess.run([sys.executable, "-c", code, "snes", *words], capture_output=True, text=True, check=True)
    slow = {"typing_extensions", "inspect", "tempfile", "asyncio", "sqlite3"}
    assert ran.stdout
    assert not (HEAVY | slow | {"afs.domains.snes.knowledge.fact_grader"}) & set(ran.stderr.split())


def _is_table(path: Path) -> bool:
    return path.read_text().startswith('"""table:')


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(SOURCE)))
def test_a_file_is_short_and_says_what_it_is(path: Path) -> None:
    assert ast.get_docstring(TREES[path]), "a module opens with what it is"
    if not _is_table(path):
        assert path.read_text().count("\n") <= 400
    for node in ast.walk(TREES[path]):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno < 50, f"{node.name} is too long"


def test_one_class_per_noun() -> None:
    counts = Counter(
        node.name
        for tree in TREES.values()
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    )
    assert [name for name, count in counts.items() if count > 1] == []


def test_our_own_package_is_never_imported_inside_a_function() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path, tree in TREES.items()
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("afs")
    ]
    assert found == []


def test_every_verb_and_plugin_is_there_and_every_option_is_explained() -> None:
    missing = []
    for name, verb in verbs.VERBS.items():
        config = plugins.load(verb.config)
        assert isinstance(config, type) and issubclass(config, Config), name
        assert callable(plugins.load(verb.function)), name
        missing += [f"{name} --{field.name}" for field in fields(config) if not field.doc]
    for kind, table in plugins.TABLES.items():
        for name, target in table.items():
            assert plugins.load(target) is not None, f"{kind} {name}"
    assert missing == []


def test_every_name_is_used() -> None:
    """A function or class that nothing names but its own definition is dead; plug-ins are named by strings."""
    words = Counter(word for path in FILES for word in re.findall(r"\w+", path.read_text()))
    words.update(re.findall(r"\w+", (SOURCE.parents[1] / "pyproject.toml").read_text()))
    called_by_others = {
        "fetch_smollm2",  # `fetch_{name}`
        "fetch_minilm",
        "__getattr__",  # of the package
        "_afs",  # registered by a decorator of inspect_ai
        "AsmConfig",  # for Python callers of the 65816 bench
        "fix_checksum",
    }
    dead = [
        f"{path.relative_to(SOURCE)}: {node.name}"
        for path, tree in TREES.items()
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
        if words[node.name] < 2 and node.name not in called_by_others
    ]
    assert not dead
