"""Few-shot experts: stored by training, asked like any other model, deployed as part of the system prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from afs import artifacts
from afs.errors import ProviderError
from afs.providers.base import GREEDY, BatchProvider, Sampling
from afs.providers.few_shot import FILE, as_text, put_examples, read_examples
from afs.registry import Registry
from afs.types import Completion, Message, Tool
from afs.workspace import Workspace

EXAMPLES = [Message(role="user", text="q1"), Message(role="assistant", text="a1")]


class Listening:
    """A model that keeps what it was asked."""

    name = "listening"
    asked: Sequence[Message] = ()

    def complete(
        self, messages: Sequence[Message], sampling: Sampling = GREEDY, tools: Sequence[Tool] = ()
    ) -> Completion:
        self.asked = messages
        return Completion(text="said", model=self.name)


def test_examples_stand_between_system_prompt_and_question(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(msgspec.json.encode(EXAMPLES))
    behind = Listening()
    question = [Message(role="system", text="Be brief."), Message(role="user", text="q2")]
    answer = put_examples(behind, read_examples(tmp_path), "din@1").complete(question)
    assert (answer.model, answer.text) == ("din@1", "said")
    assert list(behind.asked) == [question[0], *EXAMPLES, question[1]]
    assert as_text(EXAMPLES) == "Examples:\nUser: q1\nAssistant: a1"
    assert as_text([]) == ""


def test_a_stored_one_is_opened_by_its_registered_name(workspace: Workspace) -> None:
    with artifacts.store_artifact(workspace, "din-few", form="fewshot", base="echo:") as pending:
        (pending.folder / FILE).write_bytes(msgspec.json.encode(EXAMPLES))
    Registry(workspace).register("din", pending.artifact.ref)
    answer = Registry(workspace).open("din").complete([Message(role="user", text="What now?")])
    assert answer.model == "din-few@1"
    assert "What now?" in answer.text


def test_a_broken_file_is_told(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text("{")
    with pytest.raises(ProviderError, match=r"examples\.json"):
        read_examples(tmp_path)


class Many(Listening):
    """Keeps the conversations of a batch."""

    def complete_many(
        self, conversations: Sequence[Sequence[Message]], sampling: Sampling = GREEDY
    ) -> list[Completion]:
        self.batch = [list(turns) for turns in conversations]
        return [Completion(text="said", model=self.name) for _ in conversations]


def test_a_model_that_answers_many_still_does() -> None:
    behind = Many()
    model = put_examples(behind, EXAMPLES, "din+1-shot")
    assert isinstance(model, BatchProvider)
    answers = model.complete_many([[Message(role="user", text=text)] for text in ("q2", "q3")])
    assert [answer.model for answer in answers] == ["din+1-shot"] * 2
    assert behind.batch[1] == [*EXAMPLES, Message(role="user", text="q3")]
    assert not isinstance(put_examples(Listening(), EXAMPLES, "x"), BatchProvider)
