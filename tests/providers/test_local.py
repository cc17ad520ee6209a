"""The torch provider: batches, seeds, ends and stops."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.train.conftest import SHAPE, sums

from afs.errors import ProviderError, UsageError
from afs.providers.base import BatchProvider, Sampling
from afs.providers.local import Local, cut_at_stop, generate, read_tool_calls, render, stop_ids
from afs.train.backends.tiny_model import learn_tokenizer, new_model
from afs.train.settings import Shape
from afs.types import Message, ToolCall

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("model")
    shape = Shape(**SHAPE)  # type: ignore[arg-type]
    tokenizer = learn_tokenizer(list(sums("say", 30)), shape)
    torch.manual_seed(1)
    model = new_model(tokenizer, shape)
    model.save_pretrained(place)
    tokenizer.save_pretrained(place)
    return place


def asked(count: int) -> list[list[Message]]:
    return [[Message(role="user", text=f"say {i} " + "and 7 " * (i % 4))] for i in range(count)]


def test_many_answers_are_those_of_one_by_one(folder: Path) -> None:
    model = Local(str(folder))
    assert isinstance(model, BatchProvider)
    sampling = Sampling(max_tokens=12)
    many = model.complete_many(asked(9), sampling)
    assert [one.text for one in many] == [model.complete(messages, sampling).text for messages in asked(9)]


def test_greedy_is_the_library_s(folder: Path) -> None:
    model = Local(str(folder))
    ids = model.tokenizer.encode(render(model.tokenizer, asked(1)[0]), add_special_tokens=False)
    ours = generate(model.model, [ids], Sampling(max_tokens=10), frozenset())[0].tokens
    theirs = model.model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=10,
        do_sample=False,
        eos_token_id=-1,
        pad_token_id=0,
    )
    assert ours == theirs[0, len(ids) :].tolist()


def test_sampling_is_seeded_and_does_not_depend_on_neighbors(folder: Path) -> None:
    model = Local(str(folder))
    hot = Sampling(max_tokens=12, temperature=1.5, seed=3)
    alone = [model.complete(messages, hot).text for messages in asked(5)]
    assert [one.text for one in model.complete_many(asked(5), hot)] == alone
    other = Sampling(max_tokens=12, temperature=1.5, seed=4)
    assert [model.complete(messages, other).text for messages in asked(5)] != alone


def test_a_narrow_nucleus_is_greedy(folder: Path) -> None:
    model = Local(str(folder))
    narrow = Sampling(max_tokens=8, temperature=1.0, top_p=1e-6)
    for messages in asked(3):
        assert model.complete(messages, narrow).text == model.complete(messages, Sampling(max_tokens=8)).text


def test_the_end_token_ends(folder: Path) -> None:
    model = Local(str(folder))
    ids = [model.tokenizer.encode(render(model.tokenizer, m), add_special_tokens=False) for m in asked(4)]
    free = generate(model.model, ids, Sampling(max_tokens=10), frozenset())
    ending = frozenset({free[0].tokens[3]})
    for made, whole in zip(generate(model.model, ids, Sampling(max_tokens=10), ending), free, strict=True):
        place = next((i for i, token in enumerate(whole.tokens) if token in ending), 10)
        assert made.tokens == whole.tokens[:place]
        assert made.ended == (place < 10)


def test_length_and_usage_are_told(folder: Path) -> None:
    model = Local(str(folder), {"name": "tiny@1"})
    answer = model.complete(asked(1)[0], Sampling(max_tokens=5))
    assert answer.model == "tiny@1"
    assert answer.usage.output_tokens <= 5
    assert answer.finish in ("length", "stop")
    assert stop_ids(model.model, model.tokenizer)


def test_stop_strings_cut() -> None:
    assert cut_at_stop("one two three", ("three", "two")) == ("one ", True)
    assert cut_at_stop("one", ("", "x")) == ("one", False)


def test_calls_are_read_and_garbage_stays_text() -> None:
    text, calls = read_tool_calls('hi <tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>')
    assert (text, calls) == ("hi", (ToolCall(id="call_0", name="f", arguments={"a": 1}),))
    for garbage in ("<tool_call>{</tool_call>", '<tool_call>["x"]</tool_call>', "<tool_call>open"):
        assert read_tool_calls(garbage) == (garbage, ())


def test_what_is_no_model_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no config\.json"):
        Local(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ProviderError):
        Local(str(tmp_path))


def test_an_empty_prompt_is_refused(folder: Path) -> None:
    with pytest.raises(ProviderError, match="empty prompt"):
        generate(Local(str(folder)).model, [[]], Sampling(), frozenset())


def test_a_base_opens_in_four_bits(folder: Path) -> None:
    model = Local(str(folder), {"quantize": "nf4"})
    assert any(type(module).__name__ == "Linear4bit" for module in model.model.modules())
    assert model.complete([Message(role="user", text="first of 1 2")], Sampling(max_tokens=4)).usage.output_tokens
