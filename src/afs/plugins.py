"""Names -> code: every choice a user can write in a config is a string here, loaded on first use.

Adding a source, step, provider, trainer, exporter or pack is one file beside its siblings and one line in `TABLES`.
Other packages add theirs by entry points in the group `afs.<kind>`.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Generic, TypeVar, cast

import msgspec

from afs.config import decode_options
from afs.errors import UsageError
from afs.lazy_import import Late as Late
from afs.lazy_import import load as load
from afs.lazy_import import missing_extra
from afs.suggestions import suggest_name as suggest_name

T = TypeVar("T")

TABLES: dict[str, dict[str, str]] = {
    "domain": {
        "check": "afs.domains.check:DOMAIN",
        "cpp": "afs.domains.cpp:DOMAIN",
        "memory": "afs.domains.memory:DOMAIN",
        "repo": "afs.domains.repo:DOMAIN",
        "snes": "afs.domains.snes.pack:DOMAIN",
        "story": "afs.domains.story:DOMAIN",
        "sums": "afs.domains.sums:DOMAIN",
        "tools": "afs.domains.tools:DOMAIN",
    },
    "provider": {
        "echo": "afs.providers.echo:Echo",
        "replay": "afs.providers.replay:Replay",
        "openai": "afs.providers.openai:OpenAI",
        "openai-responses": "afs.providers.openai_responses:OpenAIResponses",
        "openrouter": "afs.providers.openai_hosts:OpenRouter",
        "lmstudio": "afs.providers.openai_hosts:LmStudio",
        "vllm": "afs.providers.openai_hosts:Vllm",
        "anthropic": "afs.providers.anthropic:Anthropic",
        "google": "afs.providers.google:Google",
        "ollama": "afs.providers.ollama:Ollama",
        "local": "afs.providers.local:Local",
        "llama": "afs.providers.llama:Llama",
        "council": "afs.council.council_provider:CouncilProvider",
    },
    "embedder": {
        "bert": "afs.providers.sentence_encoder:Bert",
    },
    "source": {
        "jsonl": "afs.ingest.table_rows:PairRows",
        "chats": "afs.ingest.chats:Chats",
        "claude-code": "afs.ingest.claude_code:ClaudeCode",
        "codex": "afs.ingest.codex:Codex",
        "gemini": "afs.ingest.gemini:Gemini",
        "antigravity": "afs.ingest.antigravity:Antigravity",
        "afs-history": "afs.ingest.legacy_afs_data:History",
        "afs-memory": "afs.ingest.legacy_afs_data:Memory",
        "toolbench": "afs.ingest.toolbench:ToolBench",
        "codesearchnet": "afs.ingest.codesearchnet:CodeSearchNet",
        "git": "afs.ingest.git:Git",
        "asm": "afs.ingest.asm:Asm",
        "cpp": "afs.ingest.cpp:Cpp",
        "docs": "afs.ingest.docs:Docs",
        "code": "afs.ingest.code:Code",
        "auto": "afs.ingest.format_recognition:Auto",
        "copilot": "afs.ingest.copilot:Copilot",
        "cursor": "afs.ingest.cursor:Cursor",
        "opencode": "afs.ingest.opencode:OpenCode",
        "qwen": "afs.ingest.qwen:Qwen",
        "aider": "afs.ingest.aider:Aider",
        "openhands": "afs.ingest.trajectories:OpenHands",
        "swe-agent": "afs.ingest.trajectories:SweAgent",
        "antigravity-cli": "afs.ingest.antigravity_cli:AntigravityCli",
    },
    "step": {
        "score": "afs.curate.score:ScoreStep",
        "dedup": "afs.curate.dedup:Dedup",
        "decontaminate": "afs.curate.decontaminate:Decontaminate",
        "redact": "afs.curate.redact:Redact",
        "validate": "afs.curate.format_checks:Validate",
        "mix": "afs.curate.mixture:Mix",
        "augment": "afs.curate.code_variants:Augment",
        "select": "afs.curate.coreset:Select",
        "semantic": "afs.curate.semantic_groups:Semantic",
        "difficulty": "afs.curate.instruction_difficulty:Difficulty",
        "judged": "afs.curate.judge_votes:JudgeVotes",
    },
    "format": {
        "messages": "afs.data.formats.chat_rows:Messages",
        "chatml": "afs.data.formats.chat_rows:ChatMl",
        "sharegpt": "afs.data.formats.chat_rows:ShareGpt",
        "alpaca": "afs.data.formats.pair_rows:Alpaca",
        "completions": "afs.data.formats.pair_rows:Completions",
        "mlx": "afs.data.formats.chat_rows:MlxChat",
        "mlx-completions": "afs.data.formats.pair_rows:MlxCompletions",
        "unsloth": "afs.data.formats.chat_rows:Messages",
        "hf": "afs.data.formats.hub_folder:Hub",
    },
    "trainer": {
        "hf": "afs.train.backends.hf:HfBackend",
        "trl": "afs.train.backends.trl:TrlBackend",
        "unsloth": "afs.train.backends.unsloth:UnslothBackend",
        "mlx": "afs.train.backends.mlx:MlxBackend",
        "toy": "afs.train.backends.toy:ToyBackend",
    },
    "exporter": {
        "gguf": "afs.export.ship_to_workspace:ship",
        "hf": "afs.export.ship_hf:ship",
        "llama": "afs.export.ship_llama:ship",
        "lmstudio": "afs.export.ship_lmstudio:ship",
        "merged": "afs.export.ship_to_workspace:ship",
        "mlx": "afs.export.ship_mlx:ship",
        "ollama": "afs.export.ship_ollama:ship",
    },
    "check": {
        "command": "afs.checks.command:CommandCheck",
        "exact": "afs.checks.exact:ExactCheck",
        "python": "afs.checks.python_function:PythonCheck",
        "regex": "afs.checks.regular_expression:RegexCheck",
        "schema": "afs.checks.json_schema:SchemaCheck",
    },
    "scorer": {
        "exact": "afs.evaluate.score.exact:Exact",
        "f1": "afs.evaluate.score.f1:TokenF1",
        "bleu": "afs.evaluate.score.bleu:Bleu",
        "chrf": "afs.evaluate.score.bleu:ChrF",
        "keywords": "afs.evaluate.score.keywords:Keywords",
        "contract": "afs.evaluate.score.answer_form:FormContract",
        "calls": "afs.evaluate.score.tool_call_match:Calls",
        "python": "afs.evaluate.score.python_function:Python",
        "all": "afs.evaluate.score.all_of:EveryOf",
        "claims": "afs.evaluate.score.cycle_claims:ClaimedCycles",
    },
    "engine": {
        "ray": "afs.ray_workers:open_workers",
    },
    "machine": {
        "training environments": "afs.train.backend_environments:parts",
        "packaged models": "afs.export.models_from_pypi:parts",
    },
}
"""kind -> name -> `module:attribute`; a `machine` plug-in gives rows of `afs doctor`."""

HOOKS = {
    "draw_suite_tasks": "afs.evaluate.suites:drawn_tasks",
    "known_texts": "afs.curate.incremental_dedup:KnownTexts",
    "subject_results": "afs.evaluate.report_store:subject_results",
    "redeploy": "afs.export.redeploy:redeploy",
    "train_config": "afs.train.settings:TrainConfig",
    "open_council": "afs.council:open_council",
    "ask_council": "afs.council.council_setup:ask_council",
}
"""What one stage or a lower layer needs of another stage: never imported, only loaded when it is needed."""

FOREIGN_CONFIGS = {"train": "afs.train.foreign_configs:read_foreign_config"}
"""Commands that also take other tools' YAML files: a function from the path to our fields and what is left out."""

RESOURCES = {"suites": "afs.evaluate:suites"}
"""Folders of packaged files that more than one stage reads: name -> `package:folder`."""


class PluginTable(Generic[T]):
    """The plug-ins of one kind, with their type."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def find(self, name: str) -> T:
        """The plug-in called `name`."""
        return cast(T, find(self.kind, name))

    def list_names(self) -> list[str]:
        """The names of this kind."""
        return list(list_names(self.kind))


class OptionTable(Generic[T]):
    """The plug-ins of a kind whose class is their options: a `{use = …}` table becomes the plug-in."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def build(self, name: str, values: Mapping[str, object], *, prefix: str) -> T:
        """The plug-in called `name` with these options."""
        options = cast(type[msgspec.Struct], find(self.kind, name))
        return cast(T, decode_options(options, values, prefix=prefix))


def resource_folder(name: str) -> Path:
    """A folder of packaged files that several stages read."""
    from importlib import resources  # slow to import

    package, _, path = RESOURCES[name].partition(":")
    return Path(str(resources.files(package) / path))


def _is_installed(package: str) -> bool:
    if package in sys.modules:
        return sys.modules[package] is not None
    return importlib.util.find_spec(package) is not None


def require(needs: Iterable[tuple[str, str]]) -> None:
    """Load (kind, plug-in) pairs, so that a missing extra is an error now and not in the middle of the work.

    The kind may also be "target" (`module:name`) or "package", which is only looked for: a child process loads it.
    """
    for kind, name in needs:
        if kind == "target":
            load(name)
        elif kind == "package":
            if not _is_installed(name):
                raise missing_extra(name)
        else:
            find(kind, name)


def list_names(kind: str) -> dict[str, str]:
    """Every plug-in of a kind: ours and those of installed packages."""
    return {**dict(_installed_plugins(kind, tuple(sys.path))), **TABLES[kind]}


@functools.cache
def _installed_plugins(kind: str, _path: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Name and target of what other packages add; asking takes 50 ms, so it is done once for each search path."""
    from importlib import metadata  # slow to import: only when a name is not ours

    return tuple((entry.name, entry.value) for entry in metadata.entry_points(group=f"afs.{kind}"))


def find(kind: str, name: str) -> object:
    """The plug-in called `name`; the error for an unknown name suggests the nearest one."""
    if name in TABLES[kind]:
        return load(TABLES[kind][name])
    known = list_names(kind)
    if name not in known:
        raise UsageError(f"no {kind} is called {name!r}{suggest_name(name, known)}")
    return load(known[name])


REPOSITORY_PACK = "repo"
"""The pack that makes tasks of a tested repository, for experts on a project of one's own."""
FIRST_PACK = "snes"
"""The pack of a quick start that names none: the one with trained experts to show."""
