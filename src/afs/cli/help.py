"""Help, generated from the table of verbs and the config classes; the reference pages use the same text."""

from __future__ import annotations

import textwrap

import afs
from afs import plugins, verbs
from afs.config import Config, fields
from afs.domains.base import DOMAINS

_GLOBAL = """Every command takes
  --json             the result as JSON on standard output
  --workspace DIR    the workspace (default: $AFS_WORKSPACE, else the nearest one in this folder or above)
  --quiet            suppress progress output
  @FILE.toml         values from a file; flags override them
Exit codes: 0 done, 1 failed, 2 usage, 3 rejected by a gate or check, 75 preempted, 130 stopped."""

DRY_RUN = "Dry run only: show what would be done and what it would take, and every error it would meet; start nothing."


def version() -> str:
    """The program's version."""
    return f"afs {afs.__version__}"


def overview() -> str:
    """`afs --help`: one line per verb, without importing any."""
    rows: dict[str, str] = {}
    for name, verb in verbs.VERBS.items():
        first, _, second = name.partition(" ")
        if not second:
            rows[first] = verb.help
        elif first not in rows:
            rest = [n.split()[1] for n in verbs.VERBS if n.startswith(first + " ")]
            rows[first] = "|".join(rest)
    for name in plugins.TABLES["domain"]:
        rows[name] = f"commands of the pack `{name}`"
    lines = [f"  {name:<12} {_cut(text)}" for name, text in rows.items()]
    head = "afs: small expert models whose every claim is checked by execution."
    usage = "Usage: afs VERB [@FILE] [--field value …]"
    return "\n".join([head, "", usage, "", *lines, "", "Run `afs VERB --help` for the options of a verb.", "", _GLOBAL])


def _cut(text: str) -> str:
    return text if len(text) <= 100 else text[:99] + "…"


def group(name: str) -> str:
    """`afs models --help`: the verbs of a group or a pack."""
    rows = {n: v.help for n, v in verbs.VERBS.items() if n.startswith(name + " ")}
    if name in plugins.list_names("domain"):
        pack = DOMAINS.find(name)
        rows |= {f"{name} {verb}": row.help for verb, row in pack.verbs.items()}
    width = max(len(n) for n in rows) if rows else 0
    return "\n".join([f"Usage: afs {name} VERB …", "", *(f"  afs {n:<{width}}  {text}" for n, text in rows.items())])


def command(name: str, help_line: str, config: type[Config]) -> str:
    """`afs VERB --help`: every option with type, default and meaning."""
    places = " ".join(f"[{p.upper()}]" for p in config.positional)
    shorts = {field: letter for letter, field in config.short.items()}
    out = [f"Usage: afs {name} {places} [@FILE.toml] [--field value …]".replace("  ", " "), "", help_line, ""]
    for field in fields(config):
        short = f"-{shorts[field.name]}, " if field.name in shorts else ""
        fact = field.type_text + (", required" if field.required else f", default {field.default}")
        out.append(f"  {short}--{field.name.replace('_', '-')}  ({fact})")
        out += textwrap.wrap(field.doc, 100, initial_indent="      ", subsequent_indent="      ")
    if name in verbs.VERBS and verbs.VERBS[name].preview:
        out += ["  --dry-run", f"      {DRY_RUN}"]
    return "\n".join([*out, "", _GLOBAL])
