"""The configuration of a campaign: what is made (identity), and how (knobs, which repeat no call when they change)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import msgspec

from afs.config import Config, Count, Positive
from afs.providers.base import Sampling
from afs.types import Json, RefText

AtLeastOne = Annotated[float, msgspec.Meta(ge=1.0)]


class FamilyCount(Config, frozen=True, kw_only=True):
    """How many samples of one family."""

    family: str
    """A family of the pack; `afs PACK` and `afs generate --help` name them."""
    count: Count
    """Accepted samples to make."""


class CellConfig(Config, frozen=True, kw_only=True):
    """One cell: so many accepted samples of one family, made in one of the given ways."""

    family: str
    """A family of the pack."""
    count: Positive
    """Accepted samples to make."""
    domain: str = ""
    """The pack; empty: the campaign's."""
    templates: tuple[str, ...] = ()
    """Prompt templates to choose among; empty: the campaign's."""
    teachers: tuple[str, ...] = ()
    """Models to choose among; empty: the campaign's teacher. `pack` is the pack's own reference answer."""
    seed: int | None = None
    """Seed of the tasks; none: the campaign's."""
    difficulty: Literal["", "easy", "medium", "hard"] = ""
    """A third of the family by the length of the reference answer; empty: all of it."""


class GenerateConfig(Config, frozen=True, kw_only=True):
    """Make verified records."""

    domain: str
    """The pack that sets the tasks and judges the answers."""
    name: str
    """Name of the records to write, and of the campaign: the same name resumes it."""
    families: tuple[FamilyCount, ...] = ()
    """Families with their counts; empty: every family of the pack, `count` each."""
    cells: tuple[CellConfig, ...] = ()
    """Cells in detail, beside `families`: other packs, templates and teachers in one campaign."""
    count: int = 100
    """Samples per family when `families` and `cells` are empty; with `failures_of`, samples in all."""
    options: Json = {}
    """What the pack is to work on, e.g. `{ path = "../my-project" }` for `repo`; the pack must know how."""
    source: RefText = ""
    """Records of a log: each session becomes a task of the pack, instead of its families; the pack must know how."""
    failures_of: RefText = ""
    """A stored evaluation: `count` samples in all, of the families its subject fails; its items are never asked."""
    distinct: bool = False
    """Reject answers that nearly repeat what this campaign accepted, by the rules of the curation step `dedup`."""
    distinct_from: tuple[RefText, ...] = ()
    """Records or datasets whose content must not be nearly repeated either."""
    seed: int = 0
    """Seed of the tasks."""
    teacher: str = ""
    """Who answers: a tier or chain of providers.toml, `openai:…`, a stored model; empty: the pack's references."""
    template: str = "direct"
    """How a task is put to the teacher: a template's name, or the path of a TOML file."""
    sampling: Sampling = Sampling(max_tokens=1024, temperature=0.7)
    """How the teacher samples. A larger `max_tokens` asks again only for answers that were cut."""
    attempts: Positive = 1
    """Answers asked of the teacher per task until one passes."""
    repair: bool = False
    """Show the teacher its rejected answer and what the check said about it, in the attempts after the first."""
    agreement: Count = 0
    """Teachers that must agree: a sample is accepted once answers of so many different models passed; 0: of one."""
    dialogue_turns: Count = 0
    """Tool dialogues: answers of the teacher per task, its calls carried out between them; 0: single answers."""
    candidates: AtLeastOne = 4.0
    """Tasks tried per wanted sample, at most; what is then missing is reported as a shortfall."""
    keep_thinking: bool = False
    """Keep the teacher's thinking in the record, apart from the answer."""
    concurrency: Positive = 32
    """Teacher calls in flight."""
    budget_usd: float | None = None
    """Most that all calls of this campaign may cost; the worst case of a call is reserved before it is sent."""
    batch_hours: float = 0.0
    """Send open tasks through the provider's batch API at half price, and wait so long for it; 0: no batches."""
    pilot: int = 0
    """Try so many tasks, spread over the cells, and report what the whole would cost; they count for the campaign."""
    longest_outage_s: float = 900.0
    """How long to wait when no model of a chain can be called, before the run ends; rerun to resume."""
    license: str = "CC0-1.0"
    """License of what a pack makes; a teacher's terms decide for its answers."""


class KnobsFile(Config, frozen=True, kw_only=True):
    """`campaigns/NAME/knobs.toml`: what may be changed while the campaign runs; it is read again every second."""

    concurrency: int | None = None
    """Teacher calls in flight."""
    budget_usd: float | None = None
    """Most that all calls of this campaign may cost."""
    paused: bool = False
    """Send nothing until this is false again."""


FOLDER = "campaigns"
"""Folder of the workspace that holds the state of campaigns."""
KNOBS = Path("knobs.toml")
