"""`ship --to llama`: one base, every expert on it, as a preset for the embedded llama.cpp and for llama-server.

The self-test alternates the experts and must see each one exactly as it is when it is alone.
"""

from __future__ import annotations

import os
import shlex
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec

from afs import artifacts, jsonl
from afs.errors import RefusedError
from afs.export import ShipConfig
from afs.export.expert_deployment import deployment_settings, record_deployment
from afs.export.ship_steps import artifact_folder, make_artifact, shipped_artifact
from afs.export.smoke_test import HostReply, smoke_test
from afs.providers.base import Sampling
from afs.providers.llama import PRESET, Llama, LlamaPreset, gguf_file
from afs.registry import Registry
from afs.runs import Run
from afs.types import Artifact

_ROUNDS = 3
_TOP = 64
_EQUAL = 1e-4
"""Largest difference of a log-probability that counts as the same."""
_CACHED = 1e-2
"""The same when a prompt comes from the cache: other batches round differently (5e-4 measured, experts differ by 2)."""


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Write the preset's folder, test it, and only then put it in its place."""
    model = shipped_artifact(config, run.workspace)
    wanted = deployment_settings(config, run, model)
    made = make_artifact(config, run, model)
    if made.form == "adapter":
        base = artifacts.load(run.workspace, made.base)
        experts = {**sibling_experts(run, made.base, wanted.name), wanted.name: made}
    else:
        base, experts = made, {}
    target = Path(config.folder) if config.folder else run.workspace.root / "deployed" / "llama" / base.ref
    staged = target.with_name(f".{target.name}.staged")
    write_preset(run, staged, base, experts, config.context)
    self_test(staged, list(experts))
    with Llama(str(staged), {"adapter": wanted.name if experts else "", "name": wanted.name}) as loaded:

        def ask(messages: object) -> HostReply:
            answer = loaded.complete(messages, Sampling(max_tokens=32))  # type: ignore[arg-type]
            return HostReply(model=answer.model, text=answer.text or " ")

        smoke = smoke_test(
            "llama.cpp", ask, expected=wanted.name, system=wanted.system, template=True, probes=wanted.probes
        )
    place_folder(staged, target)
    hint = server_command(target)
    run.event("notice", text=f"{target}: serve it with: {hint}", folder=str(target), command=hint)
    record_deployment(config, run, model, made, smoke)
    return made


def sibling_experts(run: Run, base: str, name: str) -> dict[str, Artifact]:
    """The other champions on the same base."""
    registry, found = Registry(run.workspace), {}
    for expert in registry.experts():
        for ref in filter(None, (expert.model, *made_files(registry, expert.name))):
            artifact = artifacts.load(run.workspace, ref)
            if artifact.base == base and artifact.facts.get("format") == "gguf" and expert.name != name:
                found[expert.name] = artifact
    return found


def made_files(registry: Registry, name: str) -> Iterator[str]:
    """What deployments made of a name's champion."""
    entry = registry.entry(name)
    champion = entry.aliases.get("champion")
    for row in entry.deployments.values():
        if row["ref"] == champion:
            yield str(row.get("made", ""))


def write_preset(run: Run, folder: Path, base: Artifact, experts: Mapping[str, Artifact], context: int) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "experts").mkdir(parents=True)
    link_file(gguf_file(artifact_folder(run, base)), folder / "base.gguf")
    for name, artifact in experts.items():
        link_file(gguf_file(artifact_folder(run, artifact)), folder / "experts" / f"{name}.gguf")
    preset = LlamaPreset(
        model="base.gguf", adapters={name: f"experts/{name}.gguf" for name in sorted(experts)}, context=context
    )
    jsonl.replace(folder / PRESET, msgspec.json.format(msgspec.json.encode(preset), indent=2))
    jsonl.replace(folder / "llama-server.sh", f"#!/bin/sh\nexec {server_command(Path('.'), preset)}\n".encode())


def server_command(folder: Path, preset: LlamaPreset | None = None) -> str:
    """How llama-server is started on a preset; clients send `lora` with every adapter's scale."""
    preset = preset or msgspec.json.decode((folder / PRESET).read_bytes(), type=LlamaPreset)
    words = ["llama-server", "--model", str(folder / preset.model), "--ctx-size", str(preset.context)]
    words += ["--cache-ram", "0", "--no-cache-prompt", "--lora-init-without-apply", "--jinja", "--host", "127.0.0.1"]
    for path in preset.adapters.values():
        words += ["--lora", str(folder / path)]
    return shlex.join(words)


def link_file(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def place_folder(staged: Path, target: Path) -> None:
    """The new folder in its place; the old one goes only when the new one stands."""
    before = target.with_name(f".{target.name}.before")
    shutil.rmtree(before, ignore_errors=True)
    if target.exists():
        target.rename(before)
    staged.rename(target)
    shutil.rmtree(before, ignore_errors=True)


def self_test(folder: Path, names: list[str]) -> None:
    """Every expert alone, then all by turns: the same distribution, and no two experts the same."""
    preset = msgspec.json.decode((folder / PRESET).read_bytes(), type=LlamaPreset)
    alone = {}
    for name in names:
        only = {"adapters": {name: str(folder / preset.adapters[name])}, "adapter": name, "context": 256}
        with Llama(str(folder / preset.model), only) as single:
            alone[name] = single.server.next_token(single.server.tokens("Say OK."), _TOP, name)
    with Llama(str(folder), {"context": 256}) as council:
        prompt = council.server.tokens("Say OK.")
        plain = council.server.next_token(prompt, _TOP)
        for _ in range(_ROUNDS):
            for name in names:
                answers = council.server.next_token(prompt, _TOP, name)
                if not is_same_answer(answers, alone[name], _CACHED):
                    raise RefusedError(f"{name} answers differently beside the other experts than alone: they mix")
            if not is_same_answer(council.server.next_token(prompt, _TOP), plain, _CACHED):
                raise RefusedError("the base answers differently after its experts: an adapter stays switched on")
        if any(is_same_answer(alone[name], plain) for name in names):
            raise RefusedError("an expert answers exactly like the base: its adapter is not applied")


def is_same_answer(left: Mapping[int, float], right: Mapping[int, float], within: float = _EQUAL) -> bool:
    shared = left.keys() & right.keys()
    return len(shared) >= len(left) * 3 // 4 and all(abs(left[key] - right[key]) <= within for key in shared)
