"""Who is measured: stored models by name or alias, providers, endpoints; and the base each one is compared with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from afs import artifacts
from afs.errors import ConfigError, UsageError
from afs.evaluate.ask_models import Asked
from afs.model_calls import Caller
from afs.model_calls.settings import is_chain
from afs.providers.base import provider
from afs.registry import Registry
from afs.types import Artifact
from afs.workspace import Workspace

NONE = "none"
_HTTP = frozenset({
    "openai", "openai-responses", "openrouter", "anthropic", "google", "ollama", "lmstudio", "vllm",
})  # fmt: skip
COUNCIL = "council"
CHAIN = "chain"
"""A tier or chain of providers.toml: several models, each answer by the first that can."""
_KINDS = _HTTP | {"echo", "replay", "local", "llama", COUNCIL}


class Limits(NamedTuple):
    """How long and how often an endpoint is asked."""

    timeout_s: float = 120.0
    retries: int = 2


class Subject(NamedTuple):
    """A model by what it was called, the name its rows carry, and its files' digest."""

    spec: str
    name: str
    digest: str = ""
    base: str = ""
    """Ref of the model it was made from."""
    form: str = "endpoint"

    @property
    def endpoint(self) -> bool:
        """Whether somebody else's server answers."""
        return self.form == "endpoint"


def find(workspace: Workspace, spec: str) -> Subject:
    """A model by `provider:model`, `model@http://…/v1`, `council`, a registered name or a stored ref."""
    if "://" in spec:
        return Subject(spec, f"openai:{spec.partition('@')[0]}")
    kind, colon, model = spec.partition(":")
    if kind == COUNCIL:
        return Subject(spec, f"{kind}:{model}" if model else kind, form=COUNCIL)
    if is_chain(workspace.root, spec) or (colon and kind not in _KINDS and artifacts.is_remote(workspace, spec)):
        return Subject(spec, spec, form=CHAIN if is_chain(workspace.root, spec) else "endpoint")
    if colon and kind in _KINDS:
        return Subject(spec, provider(spec, {}).name if kind not in ("local", "llama") else spec, form=_form(kind))
    artifact = Registry(workspace).resolve(spec)
    return Subject(spec, artifact.ref, artifact.digest, artifact.base, artifact.form)


def _form(kind: str) -> str:
    return "endpoint" if kind in _HTTP else kind


def open_subject(workspace: Workspace, subject: Subject, limits: Limits) -> Asked:
    """Load a model, or connect to it."""
    if not subject.endpoint and subject.digest:
        return Asked(Registry(workspace).open(subject.spec), subject.digest, endpoint=False)
    options: dict[str, Any] = {"timeout_s": limits.timeout_s} if subject.form in ("endpoint", CHAIN) else {}
    spec = subject.spec
    if "://" in spec:
        model, _, address = spec.partition("@")
        spec, options["base_url"] = f"openai:{model}", address
    if subject.form in ("local", "llama"):
        options["name"] = subject.name
    if subject.form == COUNCIL:
        spec, options["workspace"] = f"{COUNCIL}:{spec.partition(':')[2]}", str(workspace.root)
    if subject.form not in ("endpoint", CHAIN):
        opened = provider(spec, options)
        return Asked(opened, str(getattr(opened, "digest", "")), endpoint=False)
    targets = artifacts.target_pool(workspace).chain(spec, options)
    called = Caller(targets, name=subject.name, failures=limits.retries)
    return Asked(called, called.digest, endpoint=subject.endpoint)


def base_of(workspace: Workspace, subject: Subject, named: str) -> Subject | None:
    """The base to measure beside a model: the named one, else what it was made from; None for a base itself."""
    if named == NONE:
        return None
    if named:
        return find(workspace, named)
    if not subject.base:
        return None
    try:
        return find(workspace, root_of(workspace, subject.base))
    except UsageError as error:
        raise ConfigError(
            "base", f"{subject.name} was made from {subject.base}, which is not stored here ({error})",
            hint="name a base to compare with, or `none`",
        ) from error  # fmt: skip


def root_of(workspace: Workspace, ref: str) -> str:
    """The model at the beginning of a chain adapter → merged → GGUF, told by its base alone."""
    seen: set[str] = set()
    while ref not in seen:
        seen.add(ref)
        artifact: Artifact = artifacts.load(workspace, ref)
        if not artifact.base:
            return artifact.ref
        ref = artifact.base
    raise ConfigError("base", f"the chain of bases of {ref} is a circle")


def described(subject: Subject) -> Mapping[str, object]:
    """What a report says of a model."""
    return {"model": subject.name, "digest": subject.digest, "base": subject.base, "form": subject.form}
