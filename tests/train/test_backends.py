"""What a sample becomes: spans, masks, packed rows, chunks; checked against the plain way of doing each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import torch
import transformers
from tests.train.conftest import SHAPE, record, sums

from afs.domains.tools import DOMAIN as TOOLS
from afs.errors import DataError
from afs.providers.local import render
from afs.train.backends.tiny_model import END, PAD, learn_tokenizer, new_model
from afs.train.backends.token_encoding import Encoder, Sample
from afs.train.backends.token_loss import IGNORED, answer_logps, collate, hidden_states, summed_loss
from afs.train.settings import Shape
from afs.types import Message, Tool, ToolCall

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def parts() -> Iterator[tuple[transformers.PreTrainedModel, Encoder]]:
    records = list(sums("say", 30))
    shape = Shape(**SHAPE)  # type: ignore[arg-type]
    tokenizer = learn_tokenizer(records, shape)
    torch.manual_seed(0)
    yield new_model(tokenizer, shape).eval(), Encoder(tokenizer)


def test_padding_is_not_the_end(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    tokenizer = parts[1].tokenizer
    assert (tokenizer.pad_token, tokenizer.eos_token) == (PAD, END)
    assert tokenizer.pad_token_id != tokenizer.eos_token_id


def test_answer_and_end_are_learned_and_nothing_else(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    _, encoder = parts
    turns = (("user", "say 1"), ("assistant", "one"), ("user", "say 2"), ("assistant", "two"))
    conversation = [Message(role=role, text=text) for role, text in turns]  # type: ignore[arg-type]
    learned = [text for text, is_answer in encoder.pieces(conversation) if is_answer]
    assert learned == [f"one{END}", f"two{END}"]
    masked = encoder.pieces(conversation, (), (3,))
    assert [text for text, is_answer in masked if is_answer] == [f"two{END}"]
    assert "".join(text for text, _ in masked) == "".join(text for text, _ in encoder.pieces(conversation))


def test_training_reads_what_serving_renders(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    _, encoder = parts
    one = record("say 1", "one", system="Be brief.")
    prompt = render(encoder.tokenizer, one.messages[:-1])
    sample = encoder.samples([one])[0]
    start = sample.trained.index(True)
    assert sample.ids[:start] == encoder.tokenizer.encode(prompt, add_special_tokens=False)
    assert encoder.tokenizer.decode(sample.ids) == render(encoder.tokenizer, one.messages, ask=False)


def test_tools_and_their_calls_are_rendered(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    _, encoder = parts
    call = Message(role="assistant", tool_calls=(ToolCall(name="read", arguments={"path": "a"}),))
    tools = (Tool(name="read", parameters={"type": "object"}),)
    pieces = encoder.pieces([Message(role="user", text="open a"), call], tools)
    assert '"name": "read"' in pieces[0][0]
    assert pieces[1][0] == f'<tool_call>\n{{"name":"read","arguments":{{"path":"a"}}}}\n</tool_call>{END}'


def test_a_template_without_an_end_is_refused(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    tokenizer = learn_tokenizer(list(sums("say", 5)), Shape(**SHAPE))  # type: ignore[arg-type]
    tokenizer.chat_template = "{% for m in messages %}{{ m.role + ': ' + m.content }}{% endfor %}{% if add_generation_prompt %}assistant: {% endif %}"
    with pytest.raises(DataError, match=r"record 0 .* never stop"):
        Encoder(tokenizer).samples([record("say 1", "one")])


def test_packed_samples_do_not_see_each_other(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    model, encoder = parts
    samples = encoder.samples(list(sums("say", 3)))
    with torch.no_grad():
        packed = hidden_states(model, collate(samples, 0, "cpu", packing=True))[0]
        at = 0
        for sample in samples:
            alone = hidden_states(model, collate([sample], 0, "cpu"))[0]
            assert torch.allclose(packed[at : at + len(sample.ids)], alone, atol=1e-5)
            at += len(sample.ids)


def test_padded_rows_are_as_good_as_alone(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    model, encoder = parts
    samples = encoder.samples(list(sums("say", 6)))
    with torch.no_grad():
        together = summed_loss(model, collate(samples, 0, "cpu"), 10_000)
        alone = sum(summed_loss(model, collate([sample], 0, "cpu"), 10_000) for sample in samples)
        packed = summed_loss(model, collate(samples, 0, "cpu", packing=True), 10_000)
    assert together == pytest.approx(float(alone), rel=1e-5)
    assert packed == pytest.approx(float(alone), rel=1e-5)


def test_the_loss_is_the_library_s(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    model, encoder = parts
    samples = encoder.samples(list(sums("say", 4)))
    rows = collate(samples, 0, "cpu")
    labels = torch.full_like(rows.ids, IGNORED)
    labels[:, 1:] = rows.labels[:, :-1]
    with torch.no_grad():
        mask = torch.tensor([[1] * len(s.ids) + [0] * (rows.ids.shape[1] - len(s.ids)) for s in samples])
        theirs = model(input_ids=rows.ids, attention_mask=mask, labels=labels).loss
        ours = summed_loss(model, rows, 10_000) / sum(sum(s.trained[1:]) for s in samples)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


def test_chunks_change_neither_loss_nor_gradient(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    model, encoder = parts
    rows = collate(encoder.samples(list(sums("say", 8))), 0, "cpu")
    found = []
    for chunk in (10_000, 7):
        model.zero_grad()
        loss = summed_loss(model, rows, chunk)
        loss.backward()
        found.append((float(loss.detach()), [p.grad.clone() for p in model.parameters()]))
    assert found[0][0] == pytest.approx(found[1][0], rel=1e-6)
    for one, other in zip(found[0][1], found[1][1], strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-5)


def test_log_probabilities_sum_to_the_loss(parts: tuple[transformers.PreTrainedModel, Encoder]) -> None:
    model, encoder = parts
    rows = collate(encoder.samples(list(sums("say", 4))), 0, "cpu")
    with torch.no_grad():
        assert float(-answer_logps(model, rows).sum()) == pytest.approx(float(summed_loss(model, rows, 99)), rel=1e-5)


def test_labels_are_the_next_tokens() -> None:
    rows = collate([Sample([1, 2, 3], [False, False, True]), Sample([4, 5], [False, True])], 9, "cpu")
    assert rows.ids.tolist() == [[1, 2, 3], [4, 5, 9]]
    assert rows.labels.tolist() == [[IGNORED, 3, IGNORED], [5, IGNORED, IGNORED]]


def test_the_tokenizer_survives_its_file(parts: tuple[transformers.PreTrainedModel, Encoder], tmp_path: Path) -> None:
    tokenizer = parts[1].tokenizer
    tokenizer.save_pretrained(tmp_path)
    parts[0].save_pretrained(tmp_path)
    again = transformers.AutoTokenizer.from_pretrained(tmp_path)
    for text in ("say 12 three", "\t\n  ", "ünïcode 🦊", "<|im_start|>user\nx<|im_end|>"):
        assert again.encode(text) == tokenizer.encode(text)
        assert again.decode(again.encode(text)) == text


def test_a_sample_of_one_token_teaches_nothing() -> None:
    rows = collate([Sample([5], [True]), Sample([6, 7], [False, True])], 0, "cpu", packing=True)
    assert rows.labels.tolist() == [[IGNORED, 7, IGNORED]]


@pytest.mark.train
def test_a_tokenizer_from_scratch_knows_the_tools_it_is_offered() -> None:
    (one,) = sums("first", 1)
    records = [msgspec.structs.replace(one, tools=task.tools) for task in TOOLS.tasks("write", 0, 20)]
    (sample,) = Encoder(learn_tokenizer(records, Shape(vocabulary=1024))).samples(records[:1])
    spelled = len(msgspec.json.encode(records[0].tools))
    assert len(sample.ids) < spelled / 2, "a schema that every prompt repeats is not spelled letter by letter"
