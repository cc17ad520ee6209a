"""Cells: how many accepted samples of which family are wanted, by which templates and teachers, and from which tasks.

A cell's id is the digest of what is made there; counts, budgets, concurrency and the limit of tokens are not part of
it, so changing them repeats no call, and a changed template touches only its own cells.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import msgspec

from afs import answer_verifier, datasets, plugins
from afs.checks.check_parser import require_checks
from afs.domains.base import Domain
from afs.errors import ConfigError, DataError, UsageError
from afs.generate.config import CellConfig, GenerateConfig
from afs.generate.failure_targets import FailedFamilies, failed_families
from afs.generate.prompt_templates import Template, read_template
from afs.generate.tool_dialogues import carry_out_of
from afs.model_calls.store import CallStore
from afs.types import Json, Record, Task, digest
from afs.workspace import Workspace

Event = Callable[..., None]
"""Reports an event by its name and fields."""
PACK = "pack"
"""The teacher that is the pack itself: its reference answers."""

FIRST_CHOICES = 16
"""Candidates before the first verdict where there is a choice of arms: who chooses blindly learns nothing."""
EXAMPLE_SEED = 1_000_003
"""Added to a seed for tasks that are shown or measured, so that they are not among those asked."""
THIRDS = 4
"""Tasks drawn per task of one third that is wanted, at most."""
_MEASURED = 60


class Arm(NamedTuple):
    """One way to make a sample of a cell."""

    template: Template
    teacher: str
    """A model's name, or empty for the pack's reference."""

    @property
    def label(self) -> str:
        """As reports write it."""
        return f"{self.template.label} {self.teacher}" if self.teacher else PACK


@dataclass
class CampaignCell:
    """A cell and how far it is."""

    id: str
    label: str
    domain: str
    family: str
    count: int
    cap: int
    """Most tasks tried."""
    arms: tuple[Arm, ...]
    tasks: Iterator[Task]
    stored: int = 0
    """Tasks that are in the file."""
    after: int = 0
    """The last piece that was claimed."""
    tried: int = 0
    accepted: int = 0
    pending: int = 0
    """Claimed and not ended."""
    in_batches: int = 0
    """Tasks in batches that still run."""
    waiting: int = 0
    """Answers that no checker could judge."""
    license: str | None = None
    """Of what the pack makes; None: the campaign's."""
    is_begun: bool = False
    """Whether tasks were taken in this run: those of earlier runs are passed over first."""
    is_exhausted: bool = False
    """No task is left."""
    stopped: str = ""
    """Why no more is asked, before the cap."""
    example: Task | None = None
    pilot: int | None = None
    """Candidates of a pilot; None: the whole."""

    @property
    def wanted(self) -> int:
        """Candidates that may be claimed now: never more than could be accepted."""
        if self.stopped:
            return 0
        busy = self.pending + self.waiting + self.in_batches
        cap = self.cap if self.pilot is None else min(self.cap, self.pilot)
        ramp = max(FIRST_CHOICES, self.tried) - self.pending if len(self.arms) > 1 else busy + cap
        return max(0, min(self.count - self.accepted - busy, cap - self.tried - busy, ramp))

    @property
    def missing(self) -> int:
        """Accepted samples that are not there."""
        return self.count - self.accepted


def build_cells(config: GenerateConfig, workspace: Workspace, event: Event) -> list[CampaignCell]:
    """The campaign's cells; what is wrong with one is said before any call."""
    if config.source:
        return [_source_cell(config, workspace, event)]
    failures = failed_families(workspace, config.failures_of) if config.failures_of else None
    shares = [CellConfig(family=share.family, count=share.count) for share in config.families if share.count]
    shares += config.cells
    if failures is not None:
        if shares:
            raise ConfigError("failures_of", "chooses the families itself; leave `families` and `cells` out")
        shares = failures.cells(config.count)
        event(
            "campaign.failures", report=config.failures_of, families={f"{s.domain}/{s.family}": s.count for s in shares}
        )
    if not shares:
        pack = load_configured(config, config.domain)
        shares = [CellConfig(family=family, count=config.count) for family in pack.families if config.count]
    cells = [_cell(config, share, failures) for share in shares]
    seen: set[str] = set()
    for cell in cells:
        if cell.id in seen:
            raise ConfigError("cells", f"{cell.label} stands twice; add up the counts")
        seen.add(cell.id)
    return cells


def load_counts(store: CallStore, cells: Sequence[CampaignCell]) -> None:
    """How far an earlier run came with each cell."""
    counts = store.counts()
    for cell in cells:
        states = counts.get(cell.id, {})
        cell.stored = sum(states.values())
        cell.accepted = states.get("accepted", 0)
        cell.in_batches = states.get("asked", 0)
        cell.tried = cell.accepted + states.get("rejected", 0) + states.get("failed", 0)


def _cell(config: GenerateConfig, share: CellConfig, failures: FailedFamilies | None) -> CampaignCell:
    pack = load_configured(config, share.domain or config.domain)
    refuse_unknown_family(pack, share.family)
    arms = _arms(config, share)
    seed = config.seed if share.seed is None else share.seed
    cap = share.count if _is_offline(arms) else math.ceil(share.count * config.candidates)
    supply = max(cap, 4 * share.count)
    tasks = iter(pack.tasks(share.family, seed, supply * (THIRDS if share.difficulty else 1)))
    if share.difficulty:
        tasks = of_difficulty(tasks, share.difficulty, pack.tasks(share.family, seed + EXAMPLE_SEED, _MEASURED))
    if failures is not None:
        tasks = failures.tasks(tasks)
    return CampaignCell(
        id=_cell_id(config, pack, share, seed, arms, failures),
        label=f"{pack.name}/{share.family}" + (f"/{share.difficulty}" if share.difficulty else ""),
        domain=pack.name,
        family=share.family,
        count=share.count,
        cap=supply if _is_offline(arms) else cap,
        arms=arms,
        tasks=tasks,
        example=_example(pack, share.family, seed, arms),
        license=cast("str | None", getattr(pack, "license", None)),
    )


def load_configured(config: GenerateConfig, name: str) -> Domain:
    """The pack called `name`; the campaign's own pack is given the campaign's options."""
    pack = answer_verifier.load_pack(name)
    if not config.options or name != config.domain:
        return pack
    configure = cast("Callable[[Json], Domain] | None", getattr(pack, "configure", None))
    if configure is None:
        raise ConfigError("options", f"the pack {name} takes no options")
    return configure(config.options)


def of_difficulty(tasks: Iterator[Task], wanted: str, sample: Iterator[Task]) -> Iterator[Task]:
    """The tasks of one third of a family; what a third is, is measured on tasks of another seed."""
    sizes = sorted((len(task.reference), task.id) for task in sample)  # the id parts tasks of one length
    if sizes[0][0] == sizes[-1][0]:
        raise ConfigError("difficulty", f"the family's references all have {sizes[0][0]} characters: it has no thirds")
    low, high = sizes[len(sizes) // 3], sizes[2 * len(sizes) // 3]

    def third(task: Task) -> str:
        size = (len(task.reference), task.id)
        return "easy" if size < low else "medium" if size < high else "hard"

    return (task for task in tasks if third(task) == wanted)


def _is_offline(arms: tuple[Arm, ...]) -> bool:
    return all(not arm.teacher for arm in arms)


def _arms(config: GenerateConfig, share: CellConfig) -> tuple[Arm, ...]:
    teachers = share.teachers or (config.teacher,)
    templates = [read_template(name) for name in share.templates or (config.template,)]
    plain = [Arm(templates[0], "") for teacher in teachers if teacher in ("", PACK)][:1]
    asked = [Arm(template, teacher) for teacher in teachers if teacher not in ("", PACK) for template in templates]
    return (*plain, *asked)


def _example(pack: Domain, family: str, seed: int, arms: tuple[Arm, ...]) -> Task | None:
    """A solved task for templates that show one: from another seed, so that it is not among those asked."""
    if not any(arm.template.needs_example for arm in arms):
        return None
    return next(iter(pack.tasks(family, seed + EXAMPLE_SEED, 1)))


def _cell_id(
    config: GenerateConfig,
    pack: Domain,
    share: CellConfig,
    seed: int,
    arms: tuple[Arm, ...],
    failures: FailedFamilies | None = None,
) -> str:
    ways = [(arm.template.digest, arm.teacher) for arm in arms] if not _is_offline(arms) else []
    sampling = msgspec.to_builtins(config.sampling) if ways else {}
    sampling.pop("max_tokens", None)
    identity = cast(str, getattr(pack, "identity", ""))
    named = (pack.name, pack.version, identity) if identity else (pack.name, pack.version)
    what: tuple[object, ...] = (*named, share.family, seed, ways, sampling, config.repair and bool(ways))
    if share.difficulty or failures is not None:
        what = (*what, share.difficulty, failures.digest if failures else "")
    if config.dialogue_turns and ways:
        carry_out_of(pack)
        what = (*what, "dialogue")
    return digest(what)[:24]


def _source_cell(config: GenerateConfig, workspace: Workspace, event: Event) -> CampaignCell:
    """A task for every session of the source that the pack can make one of."""
    pack = answer_verifier.load_pack(config.domain)
    make = cast("Callable[[list[Record]], Task | None] | None", getattr(pack, "from_session", None))
    if make is None:
        raise ConfigError("source", f"the pack {config.domain} makes no tasks out of logs")
    dataset = datasets.load(workspace, config.source)
    records = datasets.read(workspace, dataset)
    sessions = itertools.groupby(records, key=lambda record: record.origin.group or record.id)
    tasks = [make(list(group)) for _, group in sessions]
    found = list({task.id: task for task in tasks if task is not None}.values())
    event("generate.source", source=dataset.ref, sessions=len(tasks), tasks=len(found))
    require_checks(found)
    if not found:
        raise DataError(f"{dataset.ref}: no session of it makes a task of the pack {config.domain}")
    share = CellConfig(family="source", count=len(found))
    arms = _arms(config, share)
    identity = digest((_cell_id(config, pack, share, config.seed, arms), dataset.digest))[:24]
    label = f"{pack.name}/source"
    return CampaignCell(identity, label, pack.name, "source", len(found), len(found), arms, iter(found))


def refuse_unknown_family(pack: Domain, family: str) -> None:
    """A pack may know families that it does not list: only it can say."""
    if family in pack.families:
        return
    try:
        next(pack.tasks(family, 0, 1))
    except UsageError as error:
        hint = plugins.suggest_name(family, pack.families)
        raise ConfigError("families", f"the pack {pack.name} has no family {family!r}{hint}") from error
