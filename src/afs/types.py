"""The vocabulary: one frozen, keyword-only struct per noun of the project, and nothing else.

Behavior lives in the modules that own the idea; here are only data and their digests.
"""

from __future__ import annotations

import hashlib
import re
from typing import Annotated, Literal, TypeAlias

import msgspec

Json: TypeAlias = dict[str, object]
"""A JSON object whose inner shape belongs to somebody else (a pack, a provider, a tool)."""

Role = Literal["system", "user", "assistant", "tool"]
RefKind = Literal["records", "dataset", "artifact", "report", "router", "expert", "run"]

_REF = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._:-]*(@[0-9]+)?$")


class Value(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of all value types."""


RefText = Annotated[str, msgspec.Meta(pattern=r"^([A-Za-z0-9][A-Za-z0-9._:-]*(@[0-9]+)?)?$")]
"""A ref as written in files, flags and logs: `snes-sft@3`, `snes-sft` for the newest, empty where it is optional."""


class Ref(Value, frozen=True, kw_only=True):
    """The name of something stored; version 0 means the newest."""

    kind: RefKind
    name: str
    version: int = 0

    @classmethod
    def parse(cls, text: str, kind: RefKind) -> Ref:
        """Read `name@version`; raises ValueError on anything else."""
        if not _REF.match(text):
            raise ValueError(f"want a name such as `snes-sft@3`, got {text!r}")
        name, _, version = text.partition("@")
        return cls(kind=kind, name=name, version=int(version or 0))

    def __str__(self) -> str:
        return f"{self.name}@{self.version}" if self.version else self.name


class ToolCall(Value, frozen=True, kw_only=True):
    """One call of a tool, with its arguments as JSON."""

    id: str = ""
    name: str
    arguments: Json = {}


class Tool(Value, frozen=True, kw_only=True):
    """A tool a model may call: name, purpose and JSON schema of its arguments."""

    name: str
    description: str = ""
    parameters: Json = {}


class Message(Value, frozen=True, kw_only=True):
    """One turn of a conversation."""

    role: Role
    text: str = ""
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str = ""
    name: str = ""
    provider_state: Json = {}
    """What a provider wants back in the next call of a dialogue (signatures, encrypted reasoning); never stored."""


class Origin(Value, frozen=True, kw_only=True):
    """Where a record comes from and what may be done with it."""

    source: str
    uri: str = ""
    commit: str = ""
    license: str = ""
    """SPDX identifier; empty means unknown, which is not exported unless the user names it."""
    maker: str = ""
    """`provider:model` or the generator's name and version."""
    parents: tuple[str, ...] = ()
    run: str = ""
    """Run that made it, in records of earlier versions; now a dataset names its run, and records hold no time."""
    group: str = ""
    """Source group: records of one group stay on one side of a split."""


class Score(Value, frozen=True, kw_only=True):
    """A measure of quality in [0, 1], or unknown (`None`) with the reason."""

    id: str
    version: str
    value: float | None = None
    reason: str = ""


class Task(Value, frozen=True, kw_only=True):
    """A question with a known way of judging answers; `spec` is the pack's own."""

    id: str
    domain: str
    family: str
    prompt: str
    reference: str = ""
    spec: Json = {}
    version: str = "1"
    group: str = ""
    """Tasks of one group (the same constants, the same source) stay on one side of a split; empty: the family."""
    system: str = ""
    tools: tuple[Tool, ...] = ()


class Verdict(Value, frozen=True, kw_only=True):
    """What a check found: `ok` and `score` are None when it could not be decided."""

    task: str
    ok: bool | None
    score: float | None
    stage: str
    """The last stage reached, e.g. extract, assemble, run, match."""
    reason: str = ""
    facts: Json = {}
    checker: str = ""
    """Id and version of the checker, e.g. `sums/1`."""


class Record(Value, frozen=True, kw_only=True):
    """One conversation with its origin, its task and what is known of its quality."""

    id: str
    domain: str
    kind: str
    messages: tuple[Message, ...]
    origin: Origin
    task: Task | None = None
    verdicts: tuple[Verdict, ...] = ()
    scores: tuple[Score, ...] = ()
    tools: tuple[Tool, ...] = ()
    """Definitions of the tools the conversation could call."""
    trained_turns: tuple[int, ...] | None = None
    """Indices of the assistant messages a model learns from; None: all of them. Not part of the id."""
    tags: tuple[str, ...] = ()


class Dropped(Value, frozen=True, kw_only=True):
    """A record that was left out, and why; never lost silently."""

    record: Record
    reason: str
    detail: str = ""


class Usage(Value, frozen=True, kw_only=True):
    """Tokens and money of one call; `cost_usd` None means unknown."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    thinking_tokens: int = 0
    cost_usd: float | None = None


class Completion(Value, frozen=True, kw_only=True):
    """A language model's answer."""

    text: str
    model: str
    thinking: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    usage: Usage = Usage()
    finish: str = "stop"
    """stop, length, tool_calls or filter."""
    raw_finish: str = ""
    """The provider's own word for why it stopped."""
    request_id: str = ""
    """The provider's id of the call, to be quoted in a support request."""
    answered_by: str = ""
    """The model that answered, as the provider names it; `model` is the one that was asked for."""
    provider_state: Json = {}
    """What the provider wants back in the next call of the same dialogue; never stored."""
    seconds: float = 0.0


class FileEntry(Value, frozen=True, kw_only=True):
    """One file of a stored thing."""

    path: str
    size: int
    sha256: str
    count: int = 0
    """Records inside, for shards."""


class SealedValue(Value, frozen=True, kw_only=True):
    """Base of the manifests."""

    schema: int = 1
    seal: str = ""
    """Digest of everything else in the manifest; empty in manifests of earlier versions."""


class Split(Value, frozen=True, kw_only=True):
    """One side of a dataset."""

    name: str
    count: int
    shards: tuple[FileEntry, ...]


class Dataset(SealedValue, frozen=True, kw_only=True):
    """A stored set of records: manifest of its shards (`records/` and `datasets/` alike)."""

    ref: RefText
    kind: Literal["records", "dataset"]
    splits: tuple[Split, ...]
    digest: str
    """Digest over the shards' hashes: equal content, equal digest."""
    parents: tuple[str, ...] = ()
    licenses: dict[str, int] = {}
    counts: dict[str, int] = {}
    """Free counters of the stage that made it: read, dropped by reason …"""
    files: tuple[FileEntry, ...] = ()
    """What lies beside the shards: dropped records, how it was curated."""
    run: str = ""


class FunnelStage(Value, frozen=True, kw_only=True):
    """One step of a curation: what it kept, what it dropped by reason, what it added."""

    step: str
    records: int
    dropped: dict[str, int] = {}
    added: int = 0
    """Records the step created itself (augmentation)."""


class ControlOutcome(Value, frozen=True, kw_only=True):
    """One kind of control planted to test a gate: how many, and how many the gate rejected."""

    kind: str
    good: bool
    planted: int
    rejected: int


class Curation(Value, frozen=True, kw_only=True):
    """How a dataset was curated: the file `curation.json` beside its manifest."""

    schema: int = 1
    config: Json
    sources: tuple[str, ...]
    read: int
    funnel: tuple[FunnelStage, ...]
    controls: tuple[ControlOutcome, ...]
    notes: dict[str, Json]
    shortfall: dict[str, int] = {}
    sides: dict[str, str] = {}
    """Groups that are not on the side their hash gives: the next version keeps them there."""
    warnings: tuple[str, ...] = ()
    """What a reader should know before using the dataset."""


class Artifact(SealedValue, frozen=True, kw_only=True):
    """A stored model: adapter, merged weights, GGUF, a router, a few-shot prompt."""

    ref: RefText
    form: Literal["base", "adapter", "merged", "gguf", "fewshot", "router", "council"]
    base: str = ""
    """Ref or hub id of the base; empty for a base model."""
    base_digest: str = ""
    """Digest of the base's tensors: an adapter is merged on to this base only."""
    files: tuple[FileEntry, ...]
    digest: str
    dataset: str = ""
    dataset_digest: str = ""
    config_digest: str = ""
    parents: tuple[str, ...] = ()
    run: str = ""
    facts: Json = {}
    """Measured from the files: parameters, LoRA shape, tensor types, template hash …"""


class Interval(Value, frozen=True, kw_only=True):
    """A value with its confidence interval; None means unknown."""

    value: float | None
    low: float | None = None
    high: float | None = None
    n: int = 0


class Report(SealedValue, frozen=True, kw_only=True):
    """The outcome of one evaluation: a row per item lies beside it, here the summary."""

    ref: RefText
    subject: str
    suite: str
    suite_digest: str
    results: FileEntry
    files: tuple[FileEntry, ...] = ()
    """What lies beside the results: items, pages."""
    summary: dict[str, Interval]
    environment: Json = {}
    run: str = ""


class Expert(Value, frozen=True, kw_only=True):
    """A member of the council: experts' names are data, never identifiers."""

    name: str
    model: str
    """Provider id (`openai:gpt-…`) or the ref of an artifact."""
    tags: tuple[str, ...] = ()
    """Task families or intents it answers."""
    system: str = ""
    temperature: float = 0.0
    max_tokens: int = 512
    domain: str = ""
    check: Json = {}
    """The user's own check of its replies, as a table that needs no other file."""


def digest(value: object) -> str:
    """SHA-256 of a value's canonical JSON."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()


def record_id(domain: str, messages: tuple[Message, ...]) -> str:
    """The id of a record: digest of domain and messages."""
    return digest((domain, messages))[:32]
