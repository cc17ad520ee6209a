"""Any command: words -> verb, flags and files -> config, result -> standard output.

No verb is named here: the table of verbs, the packs' tables and the config classes define everything.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from afs import plugins, verbs
from afs.cli import help as help_text
from afs.cli import output
from afs.cli.argument_parser import GLOBAL_FLAGS, Words
from afs.cli.argument_parser import sort_words as sort_by_kind
from afs.config import Config, decode, defaults_under, fields, flag_table, load_toml, merge
from afs.domains.base import DOMAINS, PackVerb
from afs.errors import UsageError


class Command(NamedTuple):
    """What the first words name: a verb with its config class and the function that runs it."""

    name: str
    config: type[Config]
    help: str
    execute: Callable[[Config, Path | None], object]
    preview: Callable[[Config, Path | None], object] | None = None


def run(words: list[str]) -> int:
    """Run one command line; usage errors are raised."""
    if words == ["--version"]:
        output.print_text(help_text.version())
        return 0
    if not words or words[0] in ("-h", "--help", "help"):
        output.print_text(help_text.overview())
        return 0
    command, rest = find_command(words)
    if command is None:
        output.print_text(help_text.group(words[0]))
        return 0 if {"-h", "--help"} & set(words) or len(words) == 1 else 2
    given = sort_words(rest, command.config)
    if "help" in given.flags:
        output.print_text(help_text.command(command.name, command.help, command.config))
        return 0
    config = read_config(command, given)
    folder = Path(given.flags["workspace"][-1]) if "workspace" in given.flags else None
    execute = command.execute
    if "dry_run" in given.flags and "dry_run" not in {field.name for field in fields(command.config)}:
        if command.preview is None:
            raise UsageError(f"afs {command.name} has no --dry-run")
        execute = command.preview
    with output.console(quiet="quiet" in given.flags), warnings.catch_warnings():
        warnings.showwarning = output.print_warning
        result = execute(config, folder)
    output.print_result(result, as_json="json" in given.flags)
    return int(getattr(result, "exit_code", 0))


def find_command(words: Sequence[str]) -> tuple[Command | None, Sequence[str]]:
    """The command the first words name, and the remaining words; None for the name of a group alone."""
    for length in (2, 1):
        name = " ".join(words[:length])
        if name in verbs.VERBS and len(words) >= length:
            return _core_command(name), words[length:]
    group = [name.split()[1] for name in verbs.VERBS if name.startswith(words[0] + " ")]
    if group:
        if len(words) > 1 and not words[1].startswith("-"):
            raise UsageError(f"afs {words[0]} has no verb {words[1]!r}{plugins.suggest_name(words[1], group)}")
        return None, words[1:]
    if words[0] in plugins.TABLES["domain"] or words[0] in plugins.list_names("domain"):
        return _pack_words(words)
    known = {name.split()[0] for name in verbs.VERBS} | set(plugins.list_names("domain"))
    raise UsageError(f"afs has no verb {words[0]!r}{plugins.suggest_name(words[0], known)}")


def _pack_words(words: Sequence[str]) -> tuple[Command | None, Sequence[str]]:
    pack = DOMAINS.find(words[0])
    if len(words) == 1 or words[1].startswith("-"):
        return None, words[1:]
    if words[1] not in pack.verbs:
        raise UsageError(f"afs {words[0]} has no verb {words[1]!r}{plugins.suggest_name(words[1], pack.verbs)}")
    return _pack_command(f"{words[0]} {words[1]}", pack.verbs[words[1]]), words[2:]


def _core_command(name: str) -> Command:
    verb = verbs.VERBS[name]

    def execute(config: Config, folder: Path | None) -> object:
        place = None
        if verb.needs != "nothing":
            place = verbs.find_workspace(folder)
        return verbs.do(name, config, place)

    def preview(config: Config, folder: Path | None) -> object:
        return verbs.preview(name, config, verbs.find_workspace(folder))

    return Command(name, verbs.config_class(verb), verb.help, execute, preview if verb.preview else None)


def _pack_command(name: str, verb: PackVerb) -> Command:
    config = plugins.Late[type[Config]](verb.config).load()

    def execute(config: Config, _folder: Path | None) -> object:
        return plugins.Late[Callable[[Config], object]](verb.function).load()(config)

    return Command(name, config, verb.help, execute)


def sort_words(words: Sequence[str], config: type[Config]) -> Words:
    """The words by kind, for a command with this config."""
    kinds = {field.name: field.type_text for field in fields(config)}
    has_files = "recipe" not in config.positional  # a recipe is read by its verb
    return sort_by_kind(words, kinds, config.short, has_files)


def read_config(command: Command, given: Words) -> Config:
    """The config: flags override positional words, which override the file."""
    table: dict[str, object] = {}
    where = ""
    for path in given.files:
        where = str(path)
        table = merge(table, _read_file(command, path))
    known = {field.name for field in fields(command.config)}
    flags = _workspace_as_field(command, given)
    own = {name: texts for name, texts in flags.items() if name not in GLOBAL_FLAGS or name in known}
    flagged = flag_table(command.config, own)
    placed = flag_table(command.config, _positional(command, given.plain))
    partial = {name: under for name, under in defaults_under(command.config, flagged).items() if name not in table}
    return decode(command.config, merge(merge({**partial, **table}, placed), flagged), file=where)


def _workspace_as_field(command: Command, given: Words) -> dict[str, list[str]]:
    """The flags, `--workspace` as the field it stands for; a second, different folder is an error."""
    field = command.config.workspace_field
    if not field or "workspace" not in given.flags:
        return given.flags
    folder = given.flags["workspace"]
    others = [*given.plain, *given.flags.get(field, ())]
    if any(Path(other).resolve() != Path(folder[-1]).resolve() for other in others):
        raise UsageError(f"afs {command.name}: --workspace {folder[-1]} and {others[-1]} name different folders")
    return {**given.flags, field: folder}


def _read_file(command: Command, path: Path) -> dict[str, object]:
    """A TOML file, or another tool's YAML where the command can read that; what is left out is listed."""
    if path.suffix.lower() not in (".yml", ".yaml"):
        return _own_table(command, load_toml(path))
    if command.name not in plugins.FOREIGN_CONFIGS:
        raise UsageError(f"afs {command.name} reads TOML files, got {path}")
    read = plugins.Late[Callable[[Path], tuple[dict[str, object], tuple[str, ...]]]]
    found, ignored = read(plugins.FOREIGN_CONFIGS[command.name]).load()(path)
    for line in ignored:
        output.print_problem(f"{path}: left out: {line}")
    return found


def _own_table(command: Command, table: dict[str, object]) -> dict[str, object]:
    """A recipe has a table per verb: take the one of this command."""
    mine = table.get(command.name.split()[0])
    known = {field.name for field in fields(command.config)}
    return mine if isinstance(mine, dict) and command.name.split()[0] not in known else table


def _positional(command: Command, words: Sequence[str]) -> dict[str, list[str]]:
    places = command.config.positional
    kinds = {field.name: field.type_text for field in fields(command.config)}
    found: dict[str, list[str]] = {}
    left = list(words)
    for place in places:
        if not left:
            break
        if kinds[place].startswith("list"):
            found[place], left = left, []
        else:
            found[place] = [left.pop(0)]
    if left:
        usage = " ".join(place.upper() for place in places) or "no words without a flag"
        raise UsageError(f"afs {command.name} takes {usage}; unexpected: {' '.join(left)}")
    return found
