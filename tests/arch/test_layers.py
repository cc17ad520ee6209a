"""What the contracts of import-linter cannot say: packs, modules named by strings, and the picture in the docs."""

from __future__ import annotations

import ast
import configparser
import re
from functools import cache
from pathlib import Path

import grimp

from afs import plugins

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "afs"
TARGET = re.compile(r"^(?P<module>afs(?:\.[a-z0-9_]+){2,}|afs(?:\.[a-z0-9_]+)+(?=:))(?::\w+)?$")
TABLES = {"plugins.py", "lazy_import.py", "verbs.py"}
"""The modules whose purpose is to name others."""


@cache
def _graph() -> grimp.ImportGraph:
    return grimp.build_graph("afs", cache_dir=None)


def _layers() -> list[str]:
    parser = configparser.ConfigParser()
    parser.read(ROOT / ".importlinter")
    return [line.strip() for line in parser["importlinter:contract:floors"]["layers"].splitlines() if line.strip()]


def _packs() -> set[str]:
    return {f"afs.domains.{name}" for name in plugins.TABLES["domain"]}


def test_nobody_imports_a_pack() -> None:
    graph = _graph()
    found = [
        f"{importer} imports {module}"
        for pack in _packs()
        for module in {pack, *graph.find_descendants(pack)}
        for importer in graph.find_modules_that_directly_import(module)
        if not importer.startswith(f"{pack}.") and importer not in (pack, "afs.snes")
    ]
    assert found == [], "a pack is named by plugins.py and by nobody else; afs.snes is the bench as a library"


def test_every_package_below_domains_is_a_pack_of_the_table() -> None:
    assert _graph().find_children("afs.domains") == _packs() | {"afs.domains.base", "afs.domains.repository_snapshot"}


def test_a_string_names_a_module_of_the_same_stage_only() -> None:
    """What loads late obeys the layers too; a hook or a table of plugins.py is the way across."""
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        if path.name in TABLES and path.parent == SOURCE:
            continue
        parts = path.relative_to(SOURCE).with_suffix("").parts
        home = ("afs", *parts[:2]) if parts[0] == "domains" else ("afs", parts[0])
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and (match := TARGET.match(node.value)):
                module = match["module"]
                if module in _graph().modules and tuple(module.split("."))[: len(home)] != home:
                    found.append(f"{path.relative_to(SOURCE)}:{node.lineno}: {node.value}")
    assert found == []


def test_files_of_another_package_are_reached_through_plugins() -> None:
    found = [
        str(path.relative_to(SOURCE))
        for path in sorted(SOURCE.rglob("*.py"))
        if re.search(r'files\("afs"\)', path.read_text())
    ]
    assert found == []


def test_the_architecture_page_shows_the_layers_of_the_contract() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text()
    block = re.search(r"## Layers.*?```\n(.*?)```", page, re.S)
    assert block is not None
    assert [line.strip() for line in block[1].splitlines() if line.strip()] == _layers()
