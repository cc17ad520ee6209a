"""`ship --to lmstudio`: the GGUF in LM Studio's folder layout, loaded with a time to live, and a smoke test."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, cast

from afs.errors import AfsError, DataError, ProviderError, RefusedError
from afs.export import ShipConfig
from afs.export.expert_deployment import deployment_settings, record_deployment
from afs.export.host_client import Host
from afs.export.modelfile import Deployment
from afs.export.ship_steps import artifact_folder, make_artifact, shipped_artifact
from afs.export.smoke_test import Ask, HostReply, Smoke, smoke_test
from afs.providers.llama import gguf_file
from afs.runs import Run
from afs.types import Artifact, Message

URL = "http://127.0.0.1:1234"
PUBLISHER = "afs"
TTL_S = 3600
"""Seconds without a question after which LM Studio unloads the model."""
WAIT_S = 5.0
"""How long LM Studio may take to see a new file."""
_PAUSE_S = 0.2


class _Loaded(NamedTuple):
    """A model in LM Studio's memory."""

    key: str
    """What LM Studio calls the file."""
    instance: str
    """What it calls the loaded copy; questions go there."""


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Place, load, test. LM Studio holds no adapters: they are merged."""
    model = shipped_artifact(config, run.workspace)
    made = make_artifact(config, run, model)
    wanted = deployment_settings(config, run, model)
    file = gguf_file(artifact_folder(run, made))
    by_hand = f"lms import {file} --user-repo {PUBLISHER}/{wanted.name} --hard-link && lms load {wanted.name}"
    with Host("LM Studio", config.host or URL, f"start it with `lms server start`, or run: {by_hand}") as host:
        host.get("/api/v1/models")
        smoke = _deploy(host, wanted, file, models_folder(config) / PUBLISHER / wanted.name / f"{wanted.name}.gguf")
    record_deployment(config, run, model, made, smoke)
    return made


def _deploy(host: Host, wanted: Deployment, file: Path, target: Path) -> Smoke:
    """Load the file in place of what ran under its name, which comes back when the smoke test fails."""
    before = link_model(file, target)
    ran = False
    try:
        key = key_name(host, wanted.name)
        ran = _unload(host, key)
        loaded = _load(host, key, wanted.context)
        smoke = smoke_test(
            "LM Studio", host_asker(host, loaded), expected=loaded.instance, system=wanted.system, probes=wanted.probes
        )
    except BaseException:
        restore_model(target, before)
        if before is not None and ran:
            with suppress(AfsError):
                _unload(host, key)
                _load(host, key, wanted.context)
        raise
    forget_backup(before)
    return smoke


def _load(host: Host, key: str, context: int) -> _Loaded:
    """Load a model; the time to live goes along where the server takes it, and with every question anyway."""
    body: dict[str, object] = {"model": key, "context_length": context}
    try:
        answer = host.post("/api/v1/models/load", {**body, "ttl": TTL_S})
    except ProviderError as error:
        if "ttl" not in str(error):
            raise
        answer = host.post("/api/v1/models/load", body)
    return _Loaded(key, str(answer.get("instance_id") or answer.get("model_instance_id") or key))


def _unload(host: Host, key: str) -> bool:
    """Take every loaded copy of a model out of memory, so that old weights never answer; whether there was one."""
    row = next((row for row in list_loaded(host) if model_key(row) == key), {})
    instances = [str(one["id"]) for one in row.get("loaded_instances") or []]
    for instance in instances:
        host.post("/api/v1/models/unload", {"instance_id": instance})
    return bool(instances)


def models_folder(config: ShipConfig) -> Path:
    """Where LM Studio looks for models."""
    if config.folder:
        return Path(config.folder)
    return Path.home() / ".lmstudio" / "models"


def link_model(file: Path, target: Path) -> Path | None:
    """Link (or copy) the file to its name; an earlier version, or one left by a killed run, is set aside."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_suffix(".part")
        beside.unlink(missing_ok=True)
        try:
            os.link(file, beside)
        except OSError:
            shutil.copyfile(file, beside)
        before = target.with_suffix(".before")
        if target.exists() and not before.exists():
            target.replace(before)
        beside.replace(target)
        return before if before.exists() else None
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error


def restore_model(target: Path, before: Path | None) -> None:
    target.unlink(missing_ok=True)
    if before is not None:
        before.replace(target)
    for folder in (target.parent, target.parent.parent):
        with suppress(OSError):
            folder.rmdir()


def forget_backup(before: Path | None) -> None:
    if before is not None:
        before.unlink()


def list_loaded(host: Host) -> list[dict[str, Any]]:
    return cast(list[dict[str, Any]], host.get("/api/v1/models").get("models", []))


def model_key(row: dict[str, Any]) -> str:
    return str(row.get("key") or row.get("id") or "")


def key_name(host: Host, name: str) -> str:
    """What LM Studio calls the model; it looks into its folder every now and then, so it may take a moment."""
    until = time.monotonic() + WAIT_S
    while True:
        keys = [model_key(row) for row in list_loaded(host)]
        for key in keys:
            if key.rpartition("/")[2].partition("@")[0].removesuffix(".gguf").lower() == name.lower():
                return key
        if time.monotonic() >= until:
            break
        time.sleep(_PAUSE_S)
    raise RefusedError(
        f"LM Studio does not see {name!r} in its models folder (it has: {', '.join(keys) or 'none'}); "
        "name that folder with --folder"
    )


def host_asker(host: Host, loaded: _Loaded) -> Ask:
    def ask(messages: Sequence[Message]) -> HostReply:
        rows = [{"role": message.role, "content": message.text} for message in messages]
        body = {"model": loaded.instance, "messages": rows, "max_tokens": 32, "temperature": 0, "ttl": TTL_S}
        answer = host.post("/v1/chat/completions", body)
        answered = str(answer.get("model", ""))
        text = str(answer["choices"][0]["message"].get("content") or "")
        return HostReply(model=loaded.instance if answered == loaded.key else answered, text=text)

    return ask
