"""Suites by name: a pack's families, a pack's named suite, a stored dataset's split, a packaged or a user's own file.

sums                  every family of the pack        sums:add,copy        some of them
snes-core             a suite a pack names            python               packaged with afs
snes-core:basics,docs some of its categories
snes-sft@3            the split `heldout` of a dataset   snes-sft@3:test   another split
questions.jsonl       one item a line                 questions.toml       hand-written items
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path

import msgspec

from afs import answer_verifier, datasets, jsonl, plugins
from afs.checks.check_parser import NONE, NamedChecks, build_task, read_check
from afs.config import Plugin, decode, load_toml
from afs.domains.base import DOMAINS
from afs.errors import ConfigError, DataError, UsageError
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.plugins import suggest_name
from afs.types import Record, RefKind, Task, Tool, Value, digest
from afs.workspace import Workspace

"""Splits to draw a suite from, in order of preference."""
PER_FAMILY = 40
_TEXT: Plugin = {"use": "exact"}
_OWN_FILES = {".jsonl", ".toml", ".zst", ".gz"}


class SuiteLine(Value, frozen=True, kw_only=True):
    """One item as a user writes it; older field names are accepted."""

    id: str = ""
    prompt: str = ""
    question: str = ""
    instruction: str = ""
    query: str = ""
    gold: str = ""
    expected_answer: str = ""
    output: str = ""
    category: str = "all"
    family: str = ""
    group: str = ""
    difficulty: str = ""
    system: str = ""
    domain: str = ""
    spec: dict[str, object] = {}
    tools: tuple[Tool, ...] = ()
    scorer: Plugin = {}
    check: str | Plugin = ""
    """The user's own check, in place of a pack or a scorer; see docs/how-to/checks.md."""
    expected_features: tuple[str, ...] = ()
    expected_contains: tuple[str, ...] = ()
    notes: str = ""
    max_score: float = 1.0


def open_suite(workspace: Workspace, text: str, *, seed: int = 0, count: int = 0) -> Suite:
    """Open the named suite: `count` generated items per family, at most `count` stored ones."""
    if Path(text).suffix in _OWN_FILES:
        return _checked(from_file(Path(text), seed=seed, count=count, checks=workspace.named_checks))
    name, _, part = text.partition(":")
    named = _named()
    if name in plugins.list_names("domain"):
        return _checked(from_pack(name, tuple(filter(None, part.split(","))), seed, count or PER_FAMILY))
    if name in named:
        return _checked(_of_categories(_call(named[name], name, seed, count), part))
    if name in packaged():
        return _checked(_of_categories(_trimmed(from_file(packaged()[name]), count), part))
    kinds: tuple[RefKind, ...] = ("dataset", "records")
    for kind in kinds:
        if workspace.versions(kind, name.partition("@")[0]):
            return _checked(_trimmed(from_dataset(workspace, name, part), count))
    known = [
        *plugins.list_names("domain"),
        *named,
        *packaged(),
        *workspace.names("dataset"),
        *workspace.names("records"),
    ]
    raise UsageError(f"no suite is called {name!r}{suggest_name(name, known)}")


def _of_categories(suite: Suite, part: str) -> Suite:
    """The items of the categories after the colon; all without one."""
    wanted = tuple(filter(None, part.split(",")))
    for category in wanted:
        if category not in suite.categories:
            raise ConfigError(
                "suite", f"{suite.name} has no category {category!r}{suggest_name(category, suite.categories)}"
            )
    kept = tuple(item for item in suite.items if item.category in wanted)
    return msgspec.structs.replace(suite, name=f"{suite.name}:{part}", items=kept) if wanted else suite


def _checked(suite: Suite) -> Suite:
    if not suite.items:
        raise DataError(f"{suite.name}: the suite has no items")
    twice = [key for key, n in _counts(item.id for item in suite.items).items() if n > 1]
    if twice:
        raise DataError(f"{suite.name}: {len(twice)} ids appear more than once, such as {twice[0]!r}")
    return suite


def _counts(ids: Iterable[str]) -> Mapping[str, int]:
    found: dict[str, int] = {}
    for key in ids:
        found[key] = found.get(key, 0) + 1
    return found


def _named() -> dict[str, str]:
    """Suites declared by packs: name -> `module:function`."""
    found: dict[str, str] = {}
    for name in plugins.list_names("domain"):
        found |= dict(DOMAINS.find(name).suites)
    return found


def packaged() -> dict[str, Path]:
    """Suites packaged with afs."""
    return {path.stem: path for path in sorted(plugins.resource_folder("suites").glob("*.toml"))}


def from_pack(name: str, families: tuple[str, ...], seed: int, count: int) -> Suite:
    """Generated tasks of a pack's families, each family a category."""
    pack = answer_verifier.load_pack(name)
    for family in families:
        if family not in pack.families:
            raise ConfigError("suite", f"the pack {name} has no family {family!r}{suggest_name(family, pack.families)}")
    chosen = families or pack.families
    tasks = (task for family in chosen for task in pack.tasks(family, seed, count))
    items = {task.id: SuiteItem(task=task, category=task.family) for task in tasks}
    label = f"{name}:{','.join(families)}" if families else name
    return Suite(name=label, items=tuple(items.values()), version=f"{pack.version}/seed{seed}x{count}")


class Draw(Value, frozen=True, kw_only=True):
    """Generated items of a suite file: `count` × `share` tasks, cycling through the families."""

    domain: str
    families: tuple[str, ...]
    category: str
    share: float = 1.0
    after: str = ""
    """Text added to every prompt."""
    scorer: Plugin = {}

    def items(self, seed: int, count: int) -> Iterator[SuiteItem]:
        """The items, cycling through the families."""
        wanted = max(1, round(count * self.share))
        pack = answer_verifier.load_pack(self.domain)
        each = -(-wanted // len(self.families))
        streams = [list(pack.tasks(family, seed, each)) for family in self.families]
        rounds = (task for same in itertools.zip_longest(*streams) for task in same if task is not None)
        for task in itertools.islice(rounds, wanted):
            asked = msgspec.structs.replace(task, prompt=task.prompt + self.after) if self.after else task
            yield SuiteItem(task=asked, category=self.category, scorer=self.scorer)


def drawn_tasks(domain: str, families: Collection[str]) -> Iterator[tuple[str, Task]]:
    """(suite, task): what the packs' own suites draw of a domain by default, where one of these families is asked for.

    An empty name among the families asks for all of them.
    """
    for name, target in _named().items():
        package, _, path = target.partition(":")
        table = load_toml(Path(str(resources.files(package) / path))) if target.endswith(".toml") else {}
        for number, row in enumerate(table.get("draw", [])):
            draw = decode(Draw, row, file=path, prefix=f"draw[{number}]")
            if draw.domain == domain and ("" in families or not set(families).isdisjoint(draw.families)):
                yield from ((name, item.task) for item in draw.items(0, PER_FAMILY))


def _call(target: str, name: str, seed: int, count: int) -> Suite:
    """A pack's own suite: a function (seed, count) -> items, or a packaged file."""
    if target.endswith(".toml"):
        package, _, path = target.partition(":")
        return from_file(Path(str(resources.files(package) / path)), seed=seed, count=count)
    made = plugins.Late[Callable[[int, int], Iterable[SuiteItem]]](target).load()(seed, count)
    rows = msgspec.convert([msgspec.to_builtins(item) for item in made], list[SuiteItem])
    return Suite(name=name, items=tuple(rows), version=f"seed{seed}")


def from_dataset(workspace: Workspace, ref: str, split: str = "") -> Suite:
    """Items of a dataset's split: the tasks of its records, or their questions with the answer as gold."""
    dataset = datasets.load(workspace, ref)
    names = [part.name for part in dataset.splits]
    wanted = split or next(
        (name for name in datasets.HELD_OUT_SPLITS if name in names), names[0] if len(names) == 1 else ""
    )
    if not wanted:
        raise ConfigError(
            "suite", f"{dataset.ref} has no split {datasets.HELD_OUT_SPLITS[0]!r}; name one of: {', '.join(names)}"
        )
    datasets.find_split(dataset, wanted)
    items = {item.id: item for item in map(_from_record, datasets.read(workspace, dataset, wanted))}
    return Suite(
        name=f"{dataset.ref}:{wanted}", items=tuple(items.values()), version=dataset.digest, parents=(dataset.ref,)
    )


def _from_record(record: Record) -> SuiteItem:
    if record.task is not None:
        return SuiteItem(task=record.task, category=record.task.family or record.kind)
    system = next((m.text for m in record.messages if m.role == "system"), "")
    task = Task(
        id=record.id,
        domain="",
        family=record.kind,
        prompt=datasets.question_text(record),
        reference=datasets.answer_text(record),
        system=system,
        tools=record.tools,
        group=record.origin.group,
    )
    return SuiteItem(task=task, category=record.kind, scorer={"use": "f1"})


def from_file(path: Path, *, seed: int = 0, count: int = 0, checks: NamedChecks = NONE) -> Suite:
    """A suite file: JSON lines, or TOML with `[[items]]`, top-level defaults, and `[[draw]]` for generated items."""
    drawn: list[SuiteItem] = []
    if path.suffix == ".toml":
        table = load_toml(path)
        rows = table.pop("items", [])
        draws = [decode(Draw, row, file=str(path), prefix=f"draw[{i}]") for i, row in enumerate(table.pop("draw", []))]
        drawn = [item for draw in draws for item in draw.items(seed, count or PER_FAMILY)]
        name, version = str(table.pop("name", path.stem)), str(table.pop("version", "1"))
        lines = [
            decode(SuiteLine, {**table, **row}, file=str(path), prefix=f"items[{i}]") for i, row in enumerate(rows)
        ]
    else:
        name, version = path.name.partition(".")[0], "1"
        lines = list(jsonl.read(path, SuiteLine))
    version = f"{version}/seed{seed}x{count or PER_FAMILY}" if drawn else version
    unique = {item.id: item for item in drawn}
    return Suite(
        name=name, version=version, items=(*unique.values(), *(_item(s, path, i, checks) for i, s in enumerate(lines)))
    )


def _item(line: SuiteLine, path: Path, number: int, checks: NamedChecks) -> SuiteItem:
    prompt = line.prompt or line.question or line.instruction or line.query
    if not prompt:
        raise DataError(f"{path}: item {number + 1} ({line.id or 'without id'}) has no prompt")
    gold = line.gold or line.expected_answer or line.output
    if line.check:
        if line.domain or line.scorer:
            raise DataError(f"{path}: item {number + 1} names a check beside a domain or a scorer; choose one")
        check = read_check(line.check, path.parent, checks)
        found = build_task(check, prompt, reference=gold, spec=line.spec, family=line.family or line.category)
        more = {"id": line.id or found.id, "group": line.group, "system": line.system, "tools": line.tools}
        return SuiteItem(task=msgspec.structs.replace(found, **more), category=line.category)
    task = Task(
        id=line.id or digest((prompt, gold))[:16],
        domain=line.domain,
        family=line.family or line.category,
        prompt=prompt,
        reference=gold,
        spec=line.spec,
        group=line.group,
        system=line.system,
        tools=line.tools,
    )
    return SuiteItem(task=task, category=line.category, scorer=line.scorer or _scorer_of(line))


def _scorer_of(line: SuiteLine) -> Plugin:
    if line.domain:
        return {}
    if features := (*line.expected_features, *line.expected_contains):
        return {"use": "keywords", "groups": [[feature] for feature in features]}
    return _TEXT


def _trimmed(suite: Suite, count: int) -> Suite:
    """At most `count` items of each family, the first ones."""
    if not count:
        return suite
    seen: dict[str, int] = {}
    kept = []
    for item in suite.items:
        seen[item.task.family] = seen.get(item.task.family, 0) + 1
        if seen[item.task.family] <= count:
            kept.append(item)
    return msgspec.structs.replace(suite, items=tuple(kept))
