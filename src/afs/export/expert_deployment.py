"""What every deployment shares: the expert's settings, the folder of its template, the note in the registry."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from afs import answer_verifier, artifacts, plugins
from afs.errors import UsageError
from afs.export import ShipConfig
from afs.export.modelfile import Deployment, chat_style, with_known_stops
from afs.export.ship_steps import artifact_folder, bare_name
from afs.export.smoke_test import Smoke
from afs.providers.few_shot import as_text, read_examples
from afs.registry import Registry
from afs.runs import Run
from afs.types import Artifact, Expert


def registered_expert(config: ShipConfig, run: Run) -> tuple[str, Expert | None]:
    """The registered name that is being shipped, if any, and its expert."""
    registry = Registry(run.workspace)
    try:
        entry = registry.entry(config.artifact.partition(":")[0])
    except UsageError:
        model = registry.resolve(config.artifact)
        found = next((e for e in registry.entries().values() if e.version(model.ref)), None)
        return (found.name, found.expert) if found else ("", None)
    return entry.name, entry.expert


def template_folder(run: Run, model: Artifact) -> Path:
    """The model folder, here or among the ancestors, whose tokenizer and template were trained with."""
    waiting = [model]
    while waiting:
        one = waiting.pop(0)
        folder = artifact_folder(run, one)
        if (folder / "tokenizer.json").is_file():
            return folder
        for ref in (*one.parents, one.base):
            if ref and run.workspace.versions("artifact", ref.partition("@")[0]):
                waiting.append(artifacts.load(run.workspace, ref.removeprefix("artifact:")))
    raise UsageError(f"{model.ref}: no tokenizer is stored with it or its ancestors")


def deployment_settings(config: ShipConfig, run: Run, model: Artifact) -> Deployment:
    """The settings of the deployed model: flags first, then the registered expert's."""
    name, expert = registered_expert(config, run)
    folder = template_folder(run, model)
    temperature = config.temperature if config.temperature is not None else expert.temperature if expert else 0.0
    return Deployment(
        name=config.name or name or bare_name(model),
        system=system_prompt(config, run, model, expert),
        temperature=temperature,
        context=config.context,
        style=with_known_stops(chat_style(folder), folder),
        probes=_pack_probes(expert),
    )


def _pack_probes(expert: Expert | None) -> tuple[str, ...]:
    """The probes of an expert's own pack."""
    if expert is None or expert.domain not in plugins.list_names("domain"):
        return ()
    return answer_verifier.load_pack(expert.domain).probes


def system_prompt(config: ShipConfig, run: Run, model: Artifact, expert: Expert | None) -> str:
    """The system prompt: the flag's, else the expert's; a few-shot expert's examples follow it."""
    said = config.system or (expert.system if expert else "")
    worked = as_text(read_examples(artifact_folder(run, model))) if model.form == "fewshot" else ""
    return "\n\n".join(part for part in (said, worked) if part)


def record_deployment(config: ShipConfig, run: Run, model: Artifact, made: Artifact, smoke: Smoke | None) -> None:
    """Write the deployment into the registry, when the model has a name there."""
    name, _ = registered_expert(config, run)
    facts: Mapping[str, object] = msgspec.to_builtins(smoke) if smoke else {}
    run.event("deployed", host=config.to, ref=model.ref, made=made.ref, reason=config.reason, **facts)
    if name:
        usual = msgspec.to_builtins(ShipConfig(artifact=config.artifact))
        options = {
            key: value for key, value in msgspec.to_builtins(config).items() if value != usual[key] and key != "reason"
        }
        seconds = list(smoke.seconds) if smoke else []
        noted: Mapping[str, object] = {"reason": config.reason} if config.reason else {}
        Registry(run.workspace).deployed(
            name, model.ref, config.to, made=made.ref, options=options, latency_s=seconds, **noted
        )
