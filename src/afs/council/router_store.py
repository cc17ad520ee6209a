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
from afs.council.router import Embed, Router, RouterCard, SentenceReader, Sentences, Tfidf
from afs.council.router_features import Floats
from afs.errors import DataError, WorkspaceError
from afs.models import locate_base
from afs.providers.base import embedder, provider
from afs.registry import Registry
from afs.registry.log_check import read_trusted
from afs.registry.promotion_gate import find_newest_gate
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
    if isinstance(router.embed, Tfidf | Sentences):
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
        if card.form != "tfidf" and encoder is None:
            raise DataError(f"{folder}: this router reads the states of a model; open it by its name")
        if card.form == "encoder":
            return Router(card, weights, Sentences(cast(SentenceReader, encoder), arrays["idf"].astype(float)), seen)
        if card.form == "model" and encoder is not None:
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
    name = name or newest_router(workspace)
    if not name:
        return None
    artifact = Registry(workspace).resolve(name)
    if artifact.form != "router":
        raise WorkspaceError(f"{artifact.ref} is a {artifact.form}, not a router")
    folder = artifacts.checked_folder(workspace, artifact)
    if not artifact.base:
        return load_router(folder)
    if artifact.facts.get("form") == "encoder":
        return load_router(
            folder, cast(StateReader, open_sentence_encoder(workspace, artifact.base, artifact.base_digest))
        )
    return load_router(folder, open_encoder(workspace, artifact.base, artifact.base_digest, folder))


def newest_router(workspace: Workspace, *, even_lost: bool = False) -> str:
    """The router stored last, by the time in the id of its run, else by that of its file; empty without any.

    One that lost its end-to-end gate is passed over, unless it is to be measured again.
    """
    found = [artifacts.load(workspace, name) for name in workspace.names("artifact")]
    stored = sorted(((_stored_at(workspace, one), one.ref) for one in found if one.form == "router"), reverse=True)
    return next((ref for _, ref in stored if even_lost or not _lost_gate(workspace, ref)), "")


def _lost_gate(workspace: Workspace, ref: str) -> bool:
    report = find_newest_gate(workspace, ref, read_trusted(Registry(workspace).log))
    gate = report.environment.get("gate") if report else None
    return isinstance(gate, dict) and gate.get("passed") is False


def _stored_at(workspace: Workspace, artifact: Artifact) -> tuple[str, int]:
    """The second in the id of its run, and the moment of its file: two routers may be trained within a second."""
    written = (artifacts.folder_of(workspace, artifact) / MANIFEST).stat()
    if _RUN_TIME.match(artifact.run):
        return artifact.run[:15], written.st_mtime_ns
    return datetime.fromtimestamp(written.st_mtime, UTC).strftime("%Y%m%d-%H%M%S"), written.st_mtime_ns


def open_sentence_encoder(workspace: Workspace, base: str, tensors: str = "") -> SentenceReader:
    """A stored sentence encoder, or one in a folder; its tensors must be those that the router was trained on."""
    found = locate_base(workspace, base, tensors, "the router")
    return embedder(f"bert:{found.folder}")


def open_encoder(workspace: Workspace, base: str, tensors: str, folder: Path) -> StateReader:
    """The model whose hidden states a router reads, with the adapter in its folder, if any; tensors must match."""
    found = locate_base(workspace, base, tensors, f"the router {folder.parent.name}")
    options: dict[str, object] = {"adapter": str(folder)} if (folder / ADAPTER).is_file() else {}
    return cast(StateReader, provider(f"local:{found.folder}", {"name": found.text, **options}))
