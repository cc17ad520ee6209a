"""Stores and opens routers, with the language model behind those whose features are hidden states."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol, cast

import msgspec
import numpy as np
import numpy.typing as npt

from afs import artifacts, jsonl
from afs.council.router import Embed, Router, RouterCard, Tfidf
from afs.council.router_features import Floats
from afs.errors import DataError, WorkspaceError
from afs.models import locate_base
from afs.providers.base import provider
from afs.types import Artifact
from afs.workspace import MANIFEST, Workspace

_RUN_TIME = re.compile(r"\d{8}-\d{6}")
CARD, WEIGHTS, ADAPTER = "router.json", "router.npz", "adapter_model.safetensors"


class StateReader(Protocol):
    """A model that gives the last hidden state of a question."""

    def embed(self, texts: Sequence[str]) -> Sequence[Sequence[float] | Floats]:
        """One row per text."""


def store_router(router: Router, folder: Path, spread: tuple[Floats, Floats] | None = None) -> None:
    """Write a router's files; `spread` is the mean and deviation of hidden states."""
    arrays: dict[str, npt.NDArray[np.generic]] = {
        "weights": router.weights.astype(np.float32),
        "seen": np.array(sorted(router.seen), dtype=np.uint64),
    }
    if isinstance(router.embed, Tfidf):
        arrays["idf"] = router.embed.idf.astype(np.float32)
    if spread is not None:
        arrays |= {"mean": spread[0], "deviation": spread[1]}
    with jsonl.open_replacement(folder / WEIGHTS) as target:
        np.savez_compressed(target, allow_pickle=False, **arrays)
    jsonl.replace(folder / CARD, msgspec.json.format(msgspec.json.encode(router.card), indent=2))


def load_router(folder: Path, encoder: StateReader | None = None) -> Router:
    """Read a router from its folder."""
    try:
        card = msgspec.json.decode((folder / CARD).read_bytes(), type=RouterCard)
        with np.load(io.BytesIO((folder / WEIGHTS).read_bytes()), allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
        seen = frozenset(int(mark) for mark in arrays.get("seen", ()))
        weights = arrays["weights"].astype(float)
        if card.form == "model":
            if encoder is None:
                raise DataError(f"{folder}: this router reads the hidden states of a model; open it by its name")
            return Router(card, weights, state_features(encoder, (arrays["mean"], arrays["deviation"])), seen)
        return Router(card, weights, Tfidf(arrays["idf"].astype(float)), seen)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile, msgspec.DecodeError) as error:
        raise DataError(f"{folder}: not a router ({error})") from error


def state_features(encoder: StateReader, spread: tuple[Floats, Floats]) -> Embed:
    """Hidden states, standardized to about the length of a TF-IDF row, with a constant column for the bias."""
    mean, deviation = spread

    def embed(texts: Sequence[str]) -> Floats:
        rows = (np.asarray(encoder.embed(texts), dtype=np.float64) - mean) / (deviation * np.sqrt(len(mean)))
        return np.concatenate([rows, np.ones((len(rows), 1))], axis=1)

    return embed


def column_spread(rows: Floats) -> tuple[Floats, Floats]:
    """Mean and deviation of every column."""
    return rows.mean(axis=0), np.maximum(rows.std(axis=0), 1e-6)


def open_router(workspace: Workspace, name: str = "") -> Router | None:
    """A router by its name, or the newest there is; None without any."""
    if not name:
        name = _newest_router(workspace)
    if not name:
        return None
    artifact = artifacts.load(workspace, name)
    if artifact.form != "router":
        raise WorkspaceError(f"{artifact.ref} is a {artifact.form}, not a router")
    folder = artifacts.checked_folder(workspace, artifact)
    if not artifact.base:
        return load_router(folder)
    return load_router(folder, open_encoder(workspace, artifact.base, artifact.base_digest, folder))


def _newest_router(workspace: Workspace) -> str:
    """The router stored last, by the time in the id of its run, else by that of its file; empty without any."""
    found = [artifacts.load(workspace, name) for name in workspace.names("artifact")]
    stored = [(_stored_at(workspace, one), one.ref) for one in found if one.form == "router"]
    return max(stored, default=("", ""))[1]


def _stored_at(workspace: Workspace, artifact: Artifact) -> str:
    if _RUN_TIME.match(artifact.run):
        return artifact.run[:15]
    manifest = artifacts.folder_of(workspace, artifact) / MANIFEST
    return datetime.fromtimestamp(manifest.stat().st_mtime, UTC).strftime("%Y%m%d-%H%M%S")


def open_encoder(workspace: Workspace, base: str, tensors: str, folder: Path) -> StateReader:
    """The model whose hidden states a router reads, with the adapter in its folder, if any; tensors must match."""
    found = locate_base(workspace, base, tensors, f"the router {folder.parent.name}")
    options: dict[str, object] = {"adapter": str(folder)} if (folder / ADAPTER).is_file() else {}
    return cast(StateReader, provider(f"local:{found.folder}", {"name": found.text, **options}))
