"""Which model answered, and which failure of an endpoint is which outcome."""

from __future__ import annotations

from pathlib import Path

import pytest

from afs.errors import ProviderError
from afs.evaluate.ask_models import OpenedModel, Question, Terms, lost_row, outcome_of, same_model
from afs.evaluate.suites import from_pack
from afs.providers.base import Sampling
from afs.providers.echo import Echo
from afs.types import Completion


@pytest.mark.parametrize(
    "wanted, got, same",
    [
        ("openai:gpt-5.2", "gpt-5.2", True),
        ("openai:gpt-5.2", "gpt-5.2-2026-03-01", True),
        ("openai:gpt-5.2", "gpt-5.2-mini", False),
        ("openai:qwen3", "Qwen/Qwen3", True),
        ("ollama:din", "din:latest", True),
        ("openai:afs", "afs/din", True),
        ("openai:din", "nayru", False),
        ("openai:din", "", True),
    ],
)
def test_the_model_that_answered(wanted: str, got: str, same: bool) -> None:
    assert same_model(wanted, got) is same


@pytest.mark.parametrize(
    "problem, outcome",
    [
        ("openai:x: no answer in time (ReadTimeout)", "slow"),
        ("openai:x: the answer is not JSON but '<html><body>502'", "html"),
        ("openai:x: the answer is not JSON but 'oops'", "dead"),
        ("openai:x: Connection refused", "dead"),
    ],
)
def test_failures_of_an_endpoint(problem: str, outcome: str) -> None:
    suite = from_pack("sums", ("add",), 0, 1)
    terms = Terms(suite, suite.digest, Sampling(), 1, 1, Path("unused"))
    row = lost_row(
        terms, OpenedModel(Echo("x"), "", endpoint=True), Question(suite.items[0], 0), ProviderError(problem), 1.0
    )
    assert (row.outcome, row.score, row.error) == (outcome, None, problem)


def test_an_answer_by_another_model_is_no_answer() -> None:
    asked = OpenedModel(Echo("x"), "", endpoint=True)
    assert outcome_of(Completion(text="42", model="other"), asked)[0] == "wrong model"
    assert outcome_of(Completion(text="42", model="other"), asked._replace(endpoint=False))[0] == "answered"
    assert outcome_of(Completion(text="", model="x", thinking="hm", finish="length"), asked)[0] == "cut"
    assert outcome_of(Completion(text="no", model="x", finish="filter"), asked)[0] == "filtered"
