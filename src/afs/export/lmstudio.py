"""`ship --to lmstudio`: the GGUF in LM Studio's folder layout, loaded with a time to live, and a smoke test."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from afs.errors import DataError, RefusedError
from afs.export import ShipConfig
from afs.export.deploying import deployment, note
from afs.export.host import Host
from afs.export.smoke import Ask, HostReply, smoke_test
from afs.export.steps import as_one_file, place, subject
from afs.providers.llama import gguf_file
from afs.runs import Run
from afs.types import Artifact, Message

URL = "http://127.0.0.1:1234"
PUBLISHER = "afs"
TTL_S = 3600
"""Seconds without a question after which LM Studio unloads the model."""


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Place, load, test. LM Studio holds no adapters: they are merged."""
    model = subject(config, run.workspace)
    made = as_one_file(config, run, model)
    wanted = deployment(config, run, model)
    file = gguf_file(place(run, made))
    by_hand = f"lms import {file} --user-repo {PUBLISHER}/{wanted.name} --hard-link && lms load {wanted.name}"
    with Host("LM Studio", config.host or URL, f"start it with `lms server start`, or run: {by_hand}") as host:
        host.get("/api/v1/models")
        target = _models_folder(config) / PUBLISHER / wanted.name / f"{wanted.name}.gguf"
        before = _put(file, target)
        try:
            key = _key(host, wanted.name)
            host.post("/api/v1/models/load", {"model": key, "context_length": wanted.context, "ttl": TTL_S})
            smoke = smoke_test("LM Studio", _asker(host, key), expected=key, system=wanted.system)
        except BaseException:
            _take_back(target, before)
            raise
        _forget(before)
    note(config, run, model, made, smoke)
    return made


def _models_folder(config: ShipConfig) -> Path:
    if config.folder:
        return Path(config.folder)
    return Path.home() / ".lmstudio" / "models"


def _put(file: Path, target: Path) -> Path | None:
    """The file under its name, linked where that is possible; what stood there, set aside."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        beside = target.with_suffix(".part")
        beside.unlink(missing_ok=True)
        try:
            os.link(file, beside)
        except OSError:
            shutil.copyfile(file, beside)
        before = target.with_suffix(".before") if target.exists() else None
        if before is not None:
            target.replace(before)
        beside.replace(target)
        return before
    except OSError as error:
        raise DataError(f"{target}: cannot be written: {error.strerror or error}") from error


def _take_back(target: Path, before: Path | None) -> None:
    target.unlink(missing_ok=True)
    if before is not None:
        before.replace(target)
    for folder in (target.parent, target.parent.parent):
        with suppress(OSError):
            folder.rmdir()


def _forget(before: Path | None) -> None:
    if before is not None:
        before.unlink()


def _key(host: Host, name: str) -> str:
    """What LM Studio calls the model."""
    rows: list[dict[str, Any]] = host.get("/api/v1/models").get("models", [])
    keys = [str(row.get("key") or row.get("id") or "") for row in rows]
    for key in keys:
        if key == name or key.rpartition("/")[2].removesuffix(".gguf") == name:
            return key
    raise RefusedError(
        f"LM Studio does not see {name!r} in its models folder (it has: {', '.join(keys) or 'none'}); "
        "name that folder with --folder"
    )


def _asker(host: Host, key: str) -> Ask:
    def ask(messages: Sequence[Message]) -> HostReply:
        rows = [{"role": message.role, "content": message.text} for message in messages]
        body = {"model": key, "messages": rows, "max_tokens": 32, "temperature": 0, "ttl": TTL_S}
        answer = host.post("/v1/chat/completions", body)
        return HostReply(
            model=str(answer.get("model", "")), text=str(answer["choices"][0]["message"].get("content") or "")
        )

    return ask
