"""The router: right on what it knows, silent on what it does not, the same after a round trip to disk."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np
import pytest

from afs.artifacts import store_artifact
from afs.council import load_router, open_router, store_router
from afs.council.train_router import Examples, fit_router, learn_sentences, train_calibrated
from afs.errors import DataError
from afs.providers.base import Vectors
from afs.workspace import Workspace

ASKS = {
    "mender": ("fix the bug in {}", "why does {} crash", "find the problem with {}", "{} is not working, repair it"),
    "writer": ("write a routine for {}", "create code for {}", "implement {}", "give me a program that does {}"),
    "guide": ("explain {}", "what does {} do", "describe how {} works", "what is {} for"),
}
THINGS = (
    "the sprite loader",
    "a DMA transfer",
    "joypad reading",
    "the menu",
    "palette fades",
    "sound banks",
    "the timer",
)


def questions(seed: int = 0) -> tuple[list[str], list[str], list[str]]:
    rows = [
        (ask.format(thing), label, f"{label}/{thing}")
        for label, asks in ASKS.items()
        for ask in asks
        for thing in THINGS
    ]
    random.Random(seed).shuffle(rows)
    return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]


def test_it_routes_questions_about_things_it_never_saw() -> None:
    router = train_calibrated(Examples(*questions()))
    assert router.card.accuracy is not None and router.card.accuracy > 0.95
    assert router.card.held_out == 84
    for label, ask in (("mender", "fix the bug in my HDMA table"), ("writer", "write a routine for collision")):
        choice = router.choose(ask)[0]
        assert choice.label == label and not router.abstains(router.choose(ask))
    assert sum(c.probability for c in router.choose("anything")) < 1, "something is left for nobody"


def test_it_abstains_on_what_belongs_to_nobody() -> None:
    router = train_calibrated(Examples(*questions()))
    assert router.abstains(router.choose("bonjour, quelle heure est-il ?"))


class Letters:
    """An encoder: how often each of eight letters occurs."""

    asked = 0

    def embed(self, texts: Sequence[str]) -> Vectors:
        self.asked += len(texts)
        rows = np.array([[text.count(letter) + 0.1 for letter in "bcxrwief"] for text in texts], dtype=np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def test_a_router_reads_sentences_beside_words_and_is_the_same_after_a_round_trip(tmp_path: Path) -> None:
    encoder, rows = Letters(), questions()
    router = train_calibrated(Examples(*rows), learn=learn_sentences(encoder))
    assert encoder.asked < 2 * len(rows[0]) + 200, "each text is read once, in all folds together"
    router.card = msgspec.structs.replace(router.card, form="encoder")
    store_router(router, tmp_path)
    again = load_router(tmp_path, Letters())
    asked = "why does the sound bank crash"
    assert again.choose(asked)[0].label == "mender"
    assert again.choose(asked)[0].probability == pytest.approx(router.choose(asked)[0].probability, abs=1e-4)
    assert again.explain(asked)
    with pytest.raises(DataError, match="open it by its name"):
        load_router(tmp_path)


def test_it_says_which_words_decided() -> None:
    router = fit_router(*questions()[:2])
    assert {"fix", "bug"} & {word for word, _ in router.explain("fix the bug in the menu", 3)}


def test_a_router_survives_the_disk_and_a_broken_one_is_named(tmp_path: Path) -> None:
    router = train_calibrated(Examples(*questions()))
    store_router(router, tmp_path)
    again = load_router(tmp_path)
    before, after = router.choose("explain the timer"), again.choose("explain the timer")
    assert [c.label for c in before] == [c.label for c in after]
    assert [c.probability for c in before] == pytest.approx([c.probability for c in after], abs=1e-4)
    (tmp_path / "router.npz").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(DataError, match="not a router"):
        load_router(tmp_path)


def test_one_expert_is_no_choice() -> None:
    with pytest.raises(DataError, match="two experts at least"):
        fit_router(["a", "b"], ["x", "x"])


def test_the_newest_router_is_the_one_stored_last_whatever_its_name(workspace: Workspace) -> None:
    for name, run, label in (
        ("zelda", "20260101-000000-route-a", "old"),
        ("agahnim", "20260102-000000-route-b", "new"),
    ):
        with store_artifact(workspace, name, form="router", run=run) as pending:
            store_router(fit_router(["fix it", "write it"], [label, "other"]), pending.folder)
    found = open_router(workspace)
    assert found is not None and "new" in found.card.labels
