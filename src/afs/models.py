"""Models to begin with and to ask: a stored one, a folder or a hub id alike; and the base that an adapter was made on.

An adapter names its base and the digest of its tensors. Where a base outside the workspace lies is remembered in the
workspace's cache, so that the adapter can be opened, evaluated and shipped; the tensors decide, not the name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import msgspec

from afs import artifacts, plugins, sealed_files
from afs.errors import ConfigError, DataError, RefusedError, UsageError, boundary
from afs.model_calls import Caller, TargetPool
from afs.model_calls.provider_settings import is_chain, read_nodes, read_providers
from afs.providers.base import Provider, provider
from afs.providers.few_shot import put_examples, read_examples
from afs.types import Artifact, Value, digest
from afs.workspace import Workspace

BASES = ("base", "merged")
"""Forms an adapter can be made on."""
_CACHE = "bases"
_HUB_FILES = ("*.json", "*.safetensors", "*.jinja", "*.model", "*.txt")
"""What is fetched of a hub repository: no pickles, no copies of the weights in other formats."""


class Base(NamedTuple):
    """The model a run begins with."""

    text: str
    """How artifacts name it: a ref, a hub id or a folder's name; empty for a model from scratch."""
    folder: Path | None
    """Its files; None for a model from scratch."""
    digest: str
    """Digest of its tensors."""
    adapter: Path | None = None
    """The adapter to continue from, if any."""
    ref: str = ""
    """The stored artifact, if it is one."""


class KnownFolder(Value, frozen=True, kw_only=True):
    """A model folder whose tensors were hashed."""

    folder: str
    name: str
    digest: str
    stamp: str
    """Digest of the weight files' names, sizes and times: unchanged files are not hashed again."""


class _Download(Protocol):
    def __call__(self, repo_id: str, *, allow_patterns: list[str]) -> str: ...


def is_model_folder(text: str) -> bool:
    """Whether a text is the path of a Hugging Face model folder."""
    return bool(text) and (Path(text) / "config.json").is_file()


def is_hub_id(text: str) -> bool:
    """Whether a text looks like `owner/name` on the Hub, and not like a path."""
    return text.count("/") == 1 and not text.startswith(("/", ".", "~")) and not set("@:") & set(text)


def find_base(workspace: Workspace, text: str, name: str = "") -> Base:
    """The base that a text names: a stored artifact, a folder on this machine, or a hub id."""
    if is_model_folder(text):
        return folder_base(workspace, Path(text), name or Path(text).resolve().name)
    if text.endswith(".gguf"):
        raise ConfigError("base", f"{text} is a GGUF file; import it first: afs models import {text} --name NAME")
    if is_hub_id(text) and not workspace.versions("artifact", text):
        return folder_base(workspace, download(text), text)
    artifact = artifacts.load(workspace, text)
    if artifact.form in BASES:
        folder = artifacts.checked_folder(workspace, artifact)
        return Base(artifact.ref, folder, tensors_digest(workspace, folder, artifact.ref), ref=artifact.ref)
    if artifact.form == "adapter":
        return base_of(workspace, artifact)._replace(adapter=artifacts.checked_folder(workspace, artifact))
    raise ConfigError("base", f"{artifact.ref} is a {artifact.form}; want a base, a merged model or an adapter")


def base_of(workspace: Workspace, artifact: Artifact) -> Base:
    """The base an adapter was made on, by its tensors: stored, in a folder used before, or on the Hub."""
    return locate_base(workspace, artifact.base, artifact.base_digest, artifact.ref)


def locate_base(workspace: Workspace, text: str, tensors: str, wanted_by: str) -> Base:
    """The base with these tensors; an error says what to type when it is not on this machine."""
    found = ""
    for candidate in candidates(workspace, text, tensors):
        if candidate.digest == tensors or not tensors:
            return candidate
        found = candidate.digest
    if not text:
        raise DataError(f"{wanted_by} does not record its base; import it again: afs models import")
    if found:
        raise RefusedError(
            f"{wanted_by} was made on weights {tensors[:12]}, {text} has {found[:12]}: changed since, or another base, "
            "even of the same shape; import the right one: afs models import FOLDER --name NAME"
        )
    name = text.rpartition("/")[2].partition("@")[0].lower()
    raise DataError(
        f"{wanted_by} was made on {text} (tensors {tensors[:12]}), which is not on this machine; "
        f"import it: afs models import FOLDER-OR-HUB-ID --name {name}"
    )


def candidates(workspace: Workspace, text: str, tensors: str) -> Iterator[Base]:
    """Bases that may be the one meant, nearest first."""
    if text and workspace.versions("artifact", text.partition("@")[0]):
        with_name = artifacts.load(workspace, text)
        if with_name.form in BASES:
            yield find_base(workspace, with_name.ref)
    for name in workspace.names("artifact") if tensors else ():
        artifact = artifacts.load(workspace, name)
        if artifact.form in BASES and artifact.facts.get("tensors") == tensors:
            yield find_base(workspace, artifact.ref)
    for known in known_folders(workspace):
        if known.digest == tensors and is_model_folder(known.folder):
            yield folder_base(workspace, Path(known.folder), known.name)
    if is_hub_id(text):
        yield folder_base(workspace, download(text), text)


def folder_base(workspace: Workspace, folder: Path, name: str) -> Base:
    """A folder outside the workspace as a base; where it lies is remembered."""
    return Base(name, folder, tensors_digest(workspace, folder, name))


def download(name: str) -> Path:
    """A hub repository's model files: from the local cache, else fetched."""
    fetch = plugins.Late[_Download]("huggingface_hub:snapshot_download").load()
    with boundary(DataError, f"{name!r} is not a folder with a config.json and cannot be fetched from the Hub"):
        return Path(fetch(name, allow_patterns=list(_HUB_FILES)))


def tensors_digest(workspace: Workspace, folder: Path, name: str) -> str:
    """Digest of a folder's weights, hashed again only when the files have changed."""
    place = folder.resolve()
    files = [(path.name, path.stat().st_size, path.stat().st_mtime_ns) for path in sorted(place.glob("*.safetensors"))]
    stamp, memory = digest(files), workspace.root / "cache" / _CACHE / f"{digest(str(place))[:32]}.json"
    known = _read(memory)
    if known is not None and known.stamp == stamp and files:
        return known.digest
    found = KnownFolder(folder=str(place), name=name, digest=artifacts.tensors_digest(place), stamp=stamp)
    memory.parent.mkdir(parents=True, exist_ok=True)
    sealed_files.replace_sealed(memory, msgspec.json.encode(found))
    return found.digest


def known_folders(workspace: Workspace) -> Iterator[KnownFolder]:
    """Every folder that was used as a base here."""
    for path in sorted((workspace.root / "cache" / _CACHE).glob("*.json")):
        known = _read(path)
        if known is not None:
            yield known


def _read(path: Path) -> KnownFolder | None:
    """A remembered folder; a damaged file is forgotten, since everything in it can be found again."""
    try:
        return msgspec.json.decode(sealed_files.read_sealed(path), type=KnownFolder)
    except (DataError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def open_model(workspace: Workspace, spec: str, options: Mapping[str, object] = {}) -> Provider:
    """A model to ask: a tier or chain of providers.toml, `provider:model`, a stored artifact, a folder or a hub id.

    What is behind HTTP is called with limits, retries and fallback; what runs here is called directly.
    """
    if not is_remote(workspace, spec):
        return open_single(workspace, spec, options)
    targets = target_pool(workspace).chain(spec, options)
    if len(targets) == 1 and not hasattr(targets[0].provider, "api"):
        return targets[0].provider
    return Caller(targets, name=spec if is_chain(workspace.root, spec) else "")


def is_remote(workspace: Workspace, spec: str) -> bool:
    """Whether a name is a tier, a chain, a node or a provider: not the ref of a stored model."""
    kind, colon, _ = spec.partition(":")
    root = workspace.root
    if is_chain(root, spec):
        return True
    return bool(colon) and (
        kind in plugins.list_names("provider")
        or kind in read_providers(root).providers
        or kind in read_nodes(root).nodes
    )


def target_pool(workspace: Workspace, *, concurrency: int = 64) -> TargetPool:
    """The models of a workspace as targets of the engine."""
    return TargetPool(workspace.root, partial(open_single, workspace), concurrency=concurrency)


def open_single(workspace: Workspace, spec: str, options: Mapping[str, object] = {}) -> Provider:
    """One model, called directly: `provider:model`; a stored artifact, a folder or a hub id, which run here."""
    kind, colon, _ = spec.partition(":")
    if colon and kind in plugins.list_names("provider"):
        return provider(spec, options)
    if is_model_folder(spec) or (is_hub_id(spec) and not workspace.versions("artifact", spec)):
        base = find_base(workspace, spec)
        return provider(f"local:{base.folder}", {"name": base.text, **options})
    if colon:
        known = [
            *plugins.list_names("provider"),
            *read_providers(workspace.root).providers,
            *read_nodes(workspace.root).nodes,
        ]
        hint = plugins.suggest_name(kind, known)
        raise UsageError(f"{spec}: no provider, node or stored model is called {kind!r}{hint}")
    artifact = artifacts.load(workspace, spec)
    folder = artifacts.checked_folder(workspace, artifact)
    if artifact.form == "fewshot":
        return put_examples(open_model(workspace, artifact.base, options), read_examples(folder), artifact.ref)
    if artifact.form in ("router", "council"):
        raise UsageError(f"{artifact.ref} is a {artifact.form}, which answers no questions")
    places: dict[str, object] = {"name": artifact.ref, **options}
    if artifact.facts.get("format") == "gguf" or artifact.form == "gguf":
        under = artifacts.load(workspace, artifact.base) if artifact.form == "adapter" and artifact.base else artifact
        beside = {"adapter": str(folder)} if under is not artifact else {}
        return provider(f"llama:{artifacts.checked_folder(workspace, under)}", {**beside, **places})
    if artifact.form == "adapter":
        return provider(f"local:{base_of(workspace, artifact).folder}", {"adapter": str(folder), **places})
    return provider(f"local:{folder}", places)
