"""Writes docs/reference/, the layers of docs/architecture.md and the table of docs/experts.md from the code.

`--check` says what is out of date. It is run by `make fix` and `make docs`, and compared by `make check`:
an option without a word of help cannot be added.
"""

from __future__ import annotations

import configparser
import re
import sys
from pathlib import Path
from typing import cast

from experts_page import write_experts

from afs import plugins, verbs
from afs.cli import help as help_text
from afs.config import Config, fields
from afs.domains.base import Domain
from afs.workspace import Settings

FOLDER = Path(__file__).parent / "reference"
EXPERTS = FOLDER.parent / "experts.md"
HEAD = "<!-- written by docs/reference.py from the code; change the code, then run `make fix` -->\n\n"


def options(config: type[Config]) -> str:
    """A table of a config's fields."""
    rows = ["| option | type | default | meaning |", "|---|---|---|---|"]
    for field in fields(config):
        default = "required" if field.required else f"`{field.default}`"
        place = " (positional)" if field.name in config.positional else ""
        doc = " ".join(field.doc.split()).replace("|", "\\|")
        rows.append(f"| `{field.name}`{place} | {field.type_text} | {default.replace('|', chr(92) + '|')} | {doc} |")
    return "\n".join(rows)


def commands() -> str:
    """Every verb of the core and of the packs."""
    parts = ["# Commands\n"]
    for name, verb in verbs.VERBS.items():
        dry = f"\n`--dry-run`: {help_text.DRY_RUN}\n" if verb.preview else ""
        parts.append(f"## afs {name}\n\n{_sentence(verb.help)}\n\n{options(verbs.config_class(verb))}\n{dry}")
    for pack_name in plugins.TABLES["domain"]:
        pack = cast(Domain, plugins.find("domain", pack_name))
        for name, row in pack.verbs.items():
            config = cast(type[Config], plugins.load(row.config))
            parts.append(f"## afs {pack_name} {name}\n\n{_sentence(row.help)}\n\n{options(config)}\n")
    return "\n".join(parts)


def settings() -> str:
    """The file afs.toml."""
    return f"# Settings: `afs.toml`\n\n{options(Settings)}\n"


def plugged() -> str:
    """Every plug-in by kind, with the first line of what it says of itself."""
    parts = ["# Plug-ins\n", "Names that a config may use. Other packages add theirs by entry points `afs.<kind>`.\n"]
    for kind, table in plugins.TABLES.items():
        rows = [f"| `{name}` | {_first_line(target)} |" for name, target in table.items()]
        parts.append("\n".join([f"## {kind}\n", "| name | what it is |", "|---|---|", *rows, ""]))
    return "\n".join(parts)


def _first_line(target: str) -> str:
    found = plugins.load(target)
    doc = (found if isinstance(found, type) or callable(found) else type(found)).__doc__
    if not doc:
        raise SystemExit(f"{target} says nothing of itself: give it a docstring")
    return doc.strip().splitlines()[0].replace("|", "\\|")


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?")) else ".")


def architecture() -> str:
    """The page written by hand, with the layers of `.importlinter` in its picture."""
    parser = configparser.ConfigParser()
    parser.read(FOLDER.parents[1] / ".importlinter")
    layers = "\n".join(parser["importlinter:contract:floors"]["layers"].split("\n")).strip()
    lines = "\n".join(line.strip() for line in layers.splitlines())
    page = (FOLDER.parent / "architecture.md").read_text()
    return re.sub(r"(## Layers.*?```\n).*?```", lambda match: f"{match[1]}{lines}\n```", page, count=1, flags=re.S)


PAGES = {"commands.md": commands, "settings.md": settings, "plugins.md": plugged}


def main() -> None:
    """Write the pages, or compare them."""
    stale = []
    texts = {FOLDER / name: HEAD + make() for name, make in PAGES.items()}
    texts[FOLDER.parent / "architecture.md"] = architecture()
    texts[EXPERTS] = write_experts(EXPERTS.read_text())
    for path, text in texts.items():
        if "--check" in sys.argv:
            if not path.exists() or path.read_text() != text:
                stale.append(path.name)
            continue
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    if stale:
        raise SystemExit(f"out of date: {', '.join(stale)}; run `make fix`")


main()
