"""`ship --to ollama`: blobs by hash, one create call, a smoke test; a failure restores the previous version."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from afs import artifacts, jsonl
from afs.errors import AfsError, ProviderError, RefusedError
from afs.export import ShipConfig
from afs.export.expert_deployment import deployment_settings, record_deployment
from afs.export.host_client import Host
from afs.export.modelfile import Deployment, modelfile
from afs.export.ship_steps import artifact_folder, make_artifact, shipped_artifact
from afs.export.smoke_test import Ask, HostReply, Smoke, smoke_test
from afs.manifests import file_sha256
from afs.providers.llama import gguf_file
from afs.runs import Run
from afs.types import Artifact, Message

URL = "http://127.0.0.1:11434"


def ship(config: ShipConfig, run: Run) -> Artifact:
    """Deploy; merged into one file unless `adapter = "lora"`."""
    model = shipped_artifact(config, run.workspace)
    made = make_artifact(config, run, model)
    parts = [artifacts.load(run.workspace, made.base), made] if made.form == "adapter" else [made]
    files = [gguf_file(artifact_folder(run, part)) for part in parts]
    wanted = deployment_settings(config, run, model)
    text = modelfile(wanted, *(str(file) for file in files))
    beside = run.folder / "Modelfile"
    jsonl.replace(beside, text.encode())
    instead = f"start it with `ollama serve`, or run: ollama create {wanted.name} -f {beside}"
    with Host("Ollama", config.host or URL, instead) as host:
        host.get("/api/version")
        smoke = _deploy(host, wanted, files)
    record_deployment(config, run, model, made, smoke)
    return made


def _deploy(host: Host, wanted: Deployment, files: Sequence[Path]) -> Smoke:
    """Create the model; what stood under its name is put back when the smoke test fails.

    A copy that a killed run set aside is the one to go back to: what it left under the name was never tested.
    """
    kept = f"{wanted.name}-before"
    had = _exists(host, kept)
    if not had and _exists(host, wanted.name):
        had = True
        host.post("/api/copy", {"source": wanted.name, "destination": kept})
    try:
        _create(host, wanted, files)
        smoke = smoke_test(
            "Ollama",
            host_asker(host, wanted),
            expected=wanted.name,
            template=is_same_template(host, wanted),
            probes=wanted.probes,
        )
    except AfsError:
        if _exists(host, wanted.name):
            host.delete("/api/delete", {"model": wanted.name})
        if had:
            host.post("/api/copy", {"source": kept, "destination": wanted.name})
            host.delete("/api/delete", {"model": kept})
        raise
    if had:
        host.delete("/api/delete", {"model": kept})
    return smoke


def _exists(host: Host, name: str) -> bool:
    names = {str(row.get("name", "")) for row in host.get("/api/tags").get("models", [])}
    return name in names or f"{name}:latest" in names


def _create(host: Host, wanted: Deployment, files: Sequence[Path]) -> None:
    blobs = []
    for file in files:
        blob = f"sha256:{file_sha256(file)}"
        if not host.has(f"/api/blobs/{blob}"):
            host.upload(f"/api/blobs/{blob}", file)
        blobs.append(blob)
    body: dict[str, object] = {
        "model": wanted.name,
        "files": {files[0].name: blobs[0]},
        "template": wanted.style.go,
        "parameters": wanted.parameters,
        "stream": False,
    }
    if len(files) > 1:
        body["adapters"] = {files[1].name: blobs[1]}
    if wanted.system:
        body["system"] = wanted.system
    try:
        answer = host.post("/api/create", body)
    except ProviderError as error:
        if len(files) > 1 and "adapter" in str(error).lower():
            raise RefusedError(f"{error}; this Ollama takes no adapters: ship it merged (--adapter merged)") from error
        raise
    if answer.get("status") not in (None, "success"):
        raise RefusedError(f"Ollama: create ended with {answer.get('status')!r}")


def host_asker(host: Host, wanted: Deployment) -> Ask:
    def ask(messages: Sequence[Message]) -> HostReply:
        rows = [{"role": message.role, "content": message.text} for message in messages]
        options = {"num_predict": 32, "temperature": 0}
        answer = host.post("/api/chat", {"model": wanted.name, "messages": rows, "stream": False, "options": options})
        return HostReply(model=str(answer.get("model", "")), text=str(answer.get("message", {}).get("content", "")))

    return ask


def is_same_template(host: Host, wanted: Deployment) -> bool:
    """Whether Ollama kept the template that was sent."""
    return str(host.post("/api/show", {"model": wanted.name}).get("template", "")) == wanted.style.go
