"""The Python API: a workspace as an object, one method per stage, and verdicts without any workspace.

Every method takes the options of the command of the same name, under the same names; what a method does not cover,
`Factory.do` runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, cast

import msgspec

from afs import answer_verifier, datasets, plugins, verbs
from afs.config import Config, decode
from afs.domains.base import DOMAINS
from afs.errors import AfsError, ConfigError, DataError, ProviderError, RefusedError, UsageError
from afs.types import Artifact, Completion, Dataset, Message, Record, Report, Task, Value, Verdict
from afs.workspace import Workspace

__all__ = [
    "AfsError",
    "Artifact",
    "ConfigError",
    "DataError",
    "Dataset",
    "ExpertAnswer",
    "Factory",
    "ProviderError",
    "Record",
    "RefusedError",
    "Report",
    "Task",
    "UsageError",
    "Verdict",
    "list_domains",
    "list_families",
    "make_tasks",
    "open_workspace",
    "verify",
]


class _Reply(Protocol):
    text: str
    expert: str
    verdict: Verdict | None
    completion: Completion


class _Council(Protocol):
    def ask(self, messages: Sequence[Message], *, task: Task | None, expert: str) -> _Reply: ...


_OPEN_COUNCIL = plugins.Late[Callable[[Workspace], _Council]](plugins.HOOKS["open_council"])


class ExpertAnswer(Value, frozen=True, kw_only=True):
    """The council's answer."""

    text: str
    expert: str
    """The expert that answered; empty: the fallback."""
    verdict: Verdict | None = None
    """What the check of the answer found; None: nothing checks answers of this subject."""
    seconds: float = 0.0


class Factory:
    """A workspace and the stages that work in it. Names such as `code` mean the newest version, `code@2` that one."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace

    def do(self, verb: str, **options: object) -> object:
        """Run any command of `afs --help` by its name, such as `"models promote"`; its result as a value."""
        if verb not in verbs.VERBS:
            raise UsageError(f"no command is called {verb!r}{plugins.suggest_name(verb, tuple(verbs.VERBS))}")
        config = _build_config(verb, options)
        return verbs.do(verb, config, self.workspace)

    def ingest(self, kind: str, *paths: str | Path, **options: object) -> Dataset:
        """Read sources into records: `ingest("docs", "notes/", name="notes")`."""
        return cast(Dataset, self.do("ingest", kind=kind, paths=paths, **options))

    def generate(self, domain: str, **options: object) -> Dataset:
        """Make verified records by a pack, or by a teacher model: `generate("sums", name="raw", count=50)`."""
        return cast(Dataset, self.do("generate", domain=domain, **options))

    def curate(self, *sources: str, **options: object) -> Dataset:
        """Turn records into a dataset with splits: `curate("notes", name="clean")`."""
        return cast(Dataset, self.do("curate", sources=sources, **options))

    def train(self, dataset: str, **options: object) -> Artifact:
        """Train a model on a dataset: `train("clean", base="smollm2", name="din")`."""
        return cast(Artifact, self.do("train", dataset=dataset, **options))

    def evaluate(self, suite: str, *models: str, **options: object) -> Report:
        """Measure one model, or several, on a suite: `evaluate("clean:test", "din", base="smollm2")`."""
        return cast(Report, self.do("eval run", suite=suite, model=models, **options))

    def gate(self, report: str, **options: object) -> Report:
        """Decide whether a measured model may ship; raises RefusedError with the reason when it may not."""
        return cast(Report, self.do("eval gate", report=report, **options))

    def ship(self, artifact: str, to: str = "gguf", **options: object) -> Artifact:
        """Merge, convert, quantize, check and deploy a model: `ship("din", "ollama", quant="Q8_0")`."""
        return cast(Artifact, self.do("ship", artifact=artifact, to=to, **options))

    def ask(self, question: str, *, expert: str = "", task: Task | None = None) -> ExpertAnswer:
        """Ask the council; with `task` the answer is judged by the task's own check."""
        council = _OPEN_COUNCIL.load()(self.workspace)
        reply = council.ask(datasets.task_messages(question), task=task, expert=expert)
        return ExpertAnswer(
            text=reply.text, expert=reply.expert, verdict=reply.verdict, seconds=reply.completion.seconds
        )

    def run(self, recipe: str | Path, **options: object) -> object:
        """Run a recipe; steps that are finished are skipped."""
        return self.do("run", recipe=Path(recipe), **options)

    def records(self, name: str, split: str = "") -> Iterator[Record]:
        """The records of a stored set, in their order."""
        return datasets.read(self.workspace, datasets.load(self.workspace, name), split)


def open_workspace(folder: str | Path = ".", *, create: bool = False) -> Factory:
    """Open the workspace in a folder; `create` makes one where there is none."""
    place = Path(folder)
    return Factory(Workspace.create(place) if create else Workspace.find(place))


def verify(task: Task, answer: str) -> Verdict:
    """Judge one answer by its pack's check, in a worker process with limits; `ok` is None when nothing is known."""
    with answer_verifier.Verifier() as verifier:
        return verifier.verify(task, answer)


def make_tasks(domain: str, family: str, count: int, *, seed: int = 0) -> tuple[Task, ...]:
    """Tasks of a pack's family, the same for the same seed."""
    pack = DOMAINS.find(domain)
    if family not in pack.families:
        raise UsageError(f"{domain} has no family {family!r}{plugins.suggest_name(family, pack.families)}")
    return tuple(pack.tasks(family, seed, count))


def list_domains() -> tuple[str, ...]:
    """The names of all packs."""
    return tuple(plugins.list_names("domain"))


def list_families(domain: str) -> tuple[str, ...]:
    """The families of tasks that a pack makes."""
    return tuple(DOMAINS.find(domain).families)


def _build_config(verb: str, options: dict[str, object]) -> Config:
    """The verb's config from keyword options, with the errors of a config file."""
    table = cast(dict[str, object], msgspec.to_builtins(options, enc_hook=str))
    return decode(verbs.config_class(verbs.VERBS[verb]), table)
