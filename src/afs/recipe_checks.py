"""What would go wrong with a recipe: every problem of every step, found before the first one runs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import msgspec

from afs import answer_verifier
from afs.errors import AfsError, ConfigError
from afs.plugins import TABLES, resource_folder, suggest_name
from afs.recipe_file import RecipeStep
from afs.registry import Registry
from afs.workspace import Workspace

_MAKES = {
    "ingest": "records",
    "generate": "records",
    "curate": "dataset",
    "train": "artifact",
    "ship": "artifact",
    "models import": "artifact",
    "models register": "expert",
    "eval run": "report",
    "eval gate": "gate",
    "route train": "router",
}
"""Verb -> kind of what it leaves under its `name`."""
_READS: Mapping[str, Sequence[tuple[str, tuple[str, ...]]]] = {
    "generate": (("source", ("records",)),),
    "curate": (("sources", ("records", "dataset")),),
    "train": (("dataset", ("dataset", "records")), ("base", ("artifact",)), ("rehearsal", ("dataset",))),
    "eval run": (("suite", ("dataset", "suite")), ("model", ("artifact", "expert")), ("base", ("artifact", "expert"))),
    "eval gate": (("report", ("report",)),),
    "ship": (("artifact", ("artifact",)),),
    "models register": (("artifact", ("artifact", "router")),),
    "models promote": (("name", ("expert",)),),
    "route train": (("duties", ("dataset", "records")),),
}
"""Verb -> (field, kinds of things it may name)."""
_KINDS = ("records", "dataset", "artifact", "report", "router")
_DIVIDED = "divided"
"""Datasets that a step before curates: their sides are known."""
_SIDES = ("train", "val", "test")

_WITHOUT_BASE = ("scratch", "classify", "fewshot")
"""Methods of training that may do without one."""
_GET_BASE = (
    ": `afs models import` stores a folder, a GGUF or a hub id, and `afs doctor --fix smollm2` gets that small base"
)


def find_problems(steps: Sequence[RecipeStep], workspace: Workspace, assumed: Iterable[str] = ()) -> list[str]:
    """Names that nothing makes, packs, families and paths that are not there, shares that cannot be met.

    `assumed` are names that steps with problems of their own would make.
    """
    known = {kind: set(workspace.names(kind)) for kind in _KINDS}  # type: ignore[arg-type]
    known[_DIVIDED] = set()
    known |= {"expert": set(Registry(workspace).entries()), "gate": set(known["report"]), "suite": _list_suites()}
    for names in known.values():
        names.update(assumed)
    problems: list[str] = []
    beside: list[tuple[str, str]] = []
    for step in steps:
        if not step.beside:  # what steps beside each other make is there only after them
            for kind, name in beside:
                known[kind].add(name)
            beside = []
        table = cast(dict[str, Any], msgspec.to_builtins(step.config, enc_hook=str))
        problems += [f"{step.name}.{problem}" for problem in _find_in_step(step, table, known)]
        if kind := _MAKES.get(step.verb, ""):
            beside.append((kind, str(table.get("name") or table.get("kind", ""))))
        if step.verb == "curate":
            beside.append((_DIVIDED, str(table["name"])))
    return problems


def _find_in_step(step: RecipeStep, table: Mapping[str, Any], known: Mapping[str, set[str]]) -> Iterator[str]:
    for field, kinds in _READS.get(step.verb, ()):
        for text in _named(table.get(field)):
            yield from _find_missing(field, text, kinds, known)
    if step.verb == "generate":
        yield from _find_in_generation(table)
    elif step.verb == "ingest":
        if table["kind"] not in TABLES["source"]:
            yield f"kind: no source is called {table['kind']!r}{suggest_name(table['kind'], TABLES['source'])}"
        yield from (f"paths: {path}: not there" for path in table["paths"] if not Path(path).expanduser().exists())
    elif step.verb == "curate":
        yield from _find_in_curation(table, cast(Any, step.config).split)
    elif step.verb == "train" and not table["base"] and table["method"] not in _WITHOUT_BASE:
        yield f"base: the method {table['method']!r} needs a base: a stored artifact, a folder or a hub id"


def _named(value: object) -> Iterator[str]:
    """Every ref in a field: a text, a list of texts, or tables with `dataset` or `source`."""
    if isinstance(value, str):
        yield value
    for one in value if isinstance(value, list | tuple) else ():
        yield from _named(one)
    if isinstance(value, dict):
        yield from _named(value.get("dataset") or value.get("source"))


def _find_missing(field: str, text: str, kinds: Sequence[str], known: Mapping[str, set[str]]) -> Iterator[str]:
    name = text.partition("@")[0]
    if not text or text == "none" or (field in ("model", "base") and (":" in text or Path(text).is_dir())):
        return
    if field == "suite":
        name, _, side = name.partition(":")
        if side and name in known[_DIVIDED] and side not in _SIDES:
            yield f"suite: a dataset has the sides {', '.join(_SIDES)}, not {side!r}"
    there = set().union(*(known[kind] for kind in kinds))
    if name in there or (name == "council" and field == "model"):
        return
    hint = _GET_BASE if kinds[0] == "artifact" else suggest_name(name, there)
    yield f"{field}: no {' or '.join(kinds)} {name!r} is stored, and no step before makes it{hint}"


def _find_in_generation(table: Mapping[str, Any]) -> Iterator[str]:
    if table["options"]:
        try:
            pack = cast(Any, answer_verifier.load_pack(table["domain"]))
            identity = getattr(pack.configure(table["options"]), "identity", "") if hasattr(pack, "configure") else ""
        except AfsError as error:
            yield f"options: {error}"
        else:
            if not identity:
                yield f"options: the pack {table['domain']} takes no options"
    for share in (*table["families"], *table["cells"]):
        name = share.get("domain") or table["domain"]
        if name not in TABLES["domain"]:
            yield f"domain: no domain is called {name!r}{suggest_name(name, TABLES['domain'])}"
            continue
        if problem := _find_family_problem(name, share["family"]):
            yield f"families: {problem}"


def _find_family_problem(domain: str, family: str) -> str:
    """A pack may know families that it does not list: only it can say."""
    pack = answer_verifier.load_pack(domain)
    if family in pack.families:
        return ""
    try:
        next(iter(pack.tasks(family, 0, 1)), None)
    except ConfigError:
        return ""  # it wants options, which stand on their own
    except AfsError as error:
        return str(error)
    return ""


def _find_in_curation(table: Mapping[str, Any], split: Any) -> Iterator[str]:
    for step in table["steps"]:
        name = str(step.get("use", ""))
        if name not in TABLES["step"]:
            yield f"steps: no step is called {name!r}{suggest_name(name, TABLES['step'])}"
        for share in step.get("shares", ()) if name == "mix" else ():
            if not float(share.get("share", 0)) > 0:
                yield f"steps.mix: the share {share.get('name', '')!r} is {share.get('share')}: want more than 0"
    try:
        split.shares()
    except ConfigError as error:
        yield str(error)


def _list_suites() -> set[str]:
    """Packaged suites and those of packs, by name."""
    packs = [answer_verifier.load_pack(name) for name in TABLES["domain"]]
    files = {path.stem for path in resource_folder("suites").glob("*")}
    return files | set(TABLES["domain"]) | {suite for pack in packs for suite in pack.suites}
