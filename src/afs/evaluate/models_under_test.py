"""Resolves the models to evaluate (stored models, providers, endpoints) and the base each is compared with."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from afs import artifacts, datasets, models
from afs.errors import ConfigError
from afs.evaluate.ask_models import OpenedModel
from afs.evaluate.suite_types import Suite
from afs.model_calls import Caller
from afs.model_calls.provider_settings import is_chain
from afs.providers.base import provider
from afs.providers.few_shot import put_examples
from afs.registry import Registry
from afs.types import Artifact, Message
from afs.workspace import Workspace

NONE = "none"
FOLDER = "folder"
"""Form of a model folder outside the workspace."""
_HTTP = frozenset(
    {
        "openai",
        "openai-responses",
        "openrouter",
        "anthropic",
        "google",
        "ollama",
        "lmstudio",
        "vllm",
    }
)
LONGEST = 2000
"""Characters of an example: longer ones leave a small model no room for the question."""
COUNCIL = "council"
CHAIN = "chain"
"""A tier or chain in providers.toml: each call goes to the first model that answers."""
_KINDS = _HTTP | {"echo", "replay", "local", "llama", COUNCIL}


class CallLimits(NamedTuple):
    """Timeout and retries of endpoint calls."""

    timeout_s: float = 120.0
    retries: int = 2


class Subject(NamedTuple):
    """A model as the user wrote it, with the name in its rows and the digest of its files."""

    spec: str
    name: str
    digest: str = ""
    base: str = ""
    """Ref of the model it was trained from."""
    form: str = "endpoint"
    examples: tuple[Message, ...] = ()
    """Solved examples put before each question: a further baseline."""

    @property
    def endpoint(self) -> bool:
        """Whether a server answers."""
        return self.form == "endpoint"


def find_subject(workspace: Workspace, spec: str) -> Subject:
    """A model by `provider:model`, `model@http://…/v1`, `council`, a registered name or a stored ref."""
    if "://" in spec:
        return Subject(spec, f"openai:{spec.partition('@')[0]}")
    kind, colon, model = spec.partition(":")
    if kind == COUNCIL:
        return Subject(spec, f"{kind}:{model}" if model else kind, form=COUNCIL)
    if is_chain(workspace.root, spec) or (colon and kind not in _KINDS and models.is_remote(workspace, spec)):
        return Subject(spec, spec, form=CHAIN if is_chain(workspace.root, spec) else "endpoint")
    if colon and kind in _KINDS:
        return Subject(spec, provider(spec, {}).name if kind not in ("local", "llama") else spec, form=_form(kind))
    if models.is_model_folder(spec) or models.is_hub_id(spec):
        return from_base(models.find_base(workspace, spec))
    artifact = Registry(workspace).resolve(spec)
    return Subject(spec, artifact.ref, artifact.digest, artifact.base, artifact.form)


def from_base(base: models.Base) -> Subject:
    """A base as a model to measure, stored or in a folder outside the workspace."""
    return Subject(base.ref or str(base.folder), base.text, base.digest, form="base" if base.ref else FOLDER)


def _form(kind: str) -> str:
    return "endpoint" if kind in _HTTP else kind


def open_subject(workspace: Workspace, subject: Subject, limits: CallLimits) -> OpenedModel:
    """Load a model, or connect to it."""
    if subject.examples:
        behind = open_subject(workspace, subject._replace(name=subject.base, examples=()), limits)
        return behind._replace(provider=put_examples(behind.provider, subject.examples, subject.name))
    if subject.form == FOLDER:
        opened_here = models.open_model(workspace, subject.spec, {"name": subject.name})
        return OpenedModel(opened_here, subject.digest, endpoint=False)
    if not subject.endpoint and subject.digest:
        return OpenedModel(Registry(workspace).open(subject.spec), subject.digest, endpoint=False)
    options: dict[str, Any] = {"timeout_s": limits.timeout_s} if subject.form in ("endpoint", CHAIN) else {}
    spec = subject.spec
    if "://" in spec:
        model, _, address = spec.partition("@")
        spec, options["base_url"] = f"openai:{model}", address
    if subject.form in ("local", "llama"):
        options["name"] = subject.name
    if subject.form == COUNCIL:
        stored = subject.name if subject.digest else ""
        spec, options = f"{COUNCIL}:{spec.partition(':')[2]}", {"workspace": str(workspace.root), "stored": stored}
    if subject.form not in ("endpoint", CHAIN):
        opened = provider(spec, options)
        return OpenedModel(opened, str(getattr(opened, "digest", "")), endpoint=False)
    targets = models.target_pool(workspace).chain(spec, options)
    called = Caller(targets, name=subject.name, failures=limits.retries)
    return OpenedModel(called, called.digest, endpoint=subject.endpoint)


def base_of(workspace: Workspace, subject: Subject, named: str) -> Subject | None:
    """The baseline of a model: the named one, else the model it was trained from; None for a base."""
    if named == NONE:
        return None
    if named:
        return find_subject(workspace, named)
    if not subject.base:
        return None
    return root_of(workspace, artifacts.load(workspace, subject.name))


def shown_examples(
    workspace: Workspace, subject: Subject, base: Subject | None, suite: Suite, count: int
) -> Subject | None:
    """The base with solved examples of the subject's training data before each question.

    None where the data is not stored here, or the base was trained from nothing and cannot learn from examples.
    """
    if base is None or not count or not subject.digest or base.name == subject.name:
        return None
    name = artifacts.load(workspace, subject.name).dataset
    if not name or not workspace.versions("dataset", name.partition("@")[0]) or _is_from_nothing(workspace, base):
        return None
    asked = {item.task.prompt for item in suite.items}
    examples = draw_examples(workspace, name, asked, count)
    label = f"{base.name}+{len(examples) // 2}-shot"
    return base._replace(name=label, base=base.name, examples=examples) if examples else None


def _is_from_nothing(workspace: Workspace, base: Subject) -> bool:
    if base.endpoint or not workspace.versions("artifact", base.name.partition("@")[0]):
        return False
    artifact = artifacts.load(workspace, base.name)
    while artifact.base and workspace.versions("artifact", artifact.base.partition("@")[0]):
        artifact = artifacts.load(workspace, artifact.base)
    return artifact.facts.get("method") == "scratch"


def draw_examples(workspace: Workspace, name: str, asked: Collection[str], count: int) -> tuple[Message, ...]:
    """Questions with answers from the training side, families in turn; none that the suite asks, none that is long."""
    dataset = datasets.load(workspace, name)
    if "train" not in datasets.split_counts(dataset):
        return ()
    by_family: dict[str, list[tuple[Message, Message]]] = {}
    for record in datasets.read(workspace, dataset, "train"):
        question, answer = datasets.question_text(record), datasets.answer_text(record)
        rows = by_family.setdefault(record.task.family if record.task else record.kind, [])
        if question not in asked and answer.strip() and len(question) + len(answer) <= LONGEST and len(rows) < count:
            rows.append((Message(role="user", text=question), Message(role="assistant", text=answer)))
    turns = itertools.zip_longest(*(by_family[family] for family in sorted(by_family)))
    pairs = [pair for row in turns for pair in row if pair is not None][:count]
    return tuple(message for pair in pairs for message in pair)


def root_of(workspace: Workspace, artifact: Artifact) -> Subject:
    """The model at the beginning of a chain adapter → merged → GGUF, which may lie outside the workspace."""
    seen: set[str] = set()
    while artifact.base and artifact.ref not in seen:
        seen.add(artifact.ref)
        if artifact.form == "fewshot" and ":" in artifact.base:
            return find_subject(workspace, artifact.base)
        if not workspace.versions("artifact", artifact.base.partition("@")[0]):
            return from_base(models.base_of(workspace, artifact))
        artifact = artifacts.load(workspace, artifact.base)
    if artifact.base:
        raise ConfigError("base", f"the chain of bases of {artifact.ref} is a circle")
    return find_subject(workspace, artifact.ref)


def describe_subject(subject: Subject) -> Mapping[str, object]:
    """A model as a report lists it."""
    return {"model": subject.name, "digest": subject.digest, "base": subject.base, "form": subject.form}
