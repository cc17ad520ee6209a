"""The numpy encoder gives the vectors of transformers, whatever the batch, and refuses other shapes of model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from afs.errors import UsageError
from afs.providers.base import embedder

pytestmark = pytest.mark.train
WORDS = "what does register set the screen bright dark a man eats bread walks home lda sta clear write".split()  # noqa: SIM905
TEXTS = ["a man eats bread", "what does register set", "the screen", "clear the screen " * 20, "unknown words here", ""]


def encoder(folder: Path, pooling: str = "mean") -> Path:
    """A real BERT with random weights, as sentence-transformers lays it out."""
    folder.mkdir(exist_ok=True)
    vocabulary = {word: n for n, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    torch.manual_seed(3)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=24, num_hidden_layers=2, num_attention_heads=4, intermediate_size=40,
        max_position_embeddings=48, initializer_range=0.4,
    )  # fmt: skip
    transformers.BertModel(config).save_pretrained(folder)
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": pooling == "first"}))
    return folder


@pytest.mark.parametrize("pooling", ["mean", "first"])
def test_vectors_are_those_of_transformers(tmp_path: Path, pooling: str) -> None:
    folder = encoder(tmp_path / "m", pooling)
    ours = embedder(str(folder)).embed(TEXTS)
    model = transformers.BertModel.from_pretrained(folder).eval()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    for text, vector in zip(TEXTS, ours, strict=True):
        ids = torch.tensor([tokenizer.encode(text).ids[:48]])
        ids[0, -1] = 3
        with torch.inference_mode():
            state = model(ids).last_hidden_state[0]
        pooled = state[0] if pooling == "first" else state.mean(0)
        assert np.allclose(vector, (pooled / pooled.norm()).numpy(), atol=1e-5)


def test_a_vector_does_not_depend_on_its_neighbors(tmp_path: Path) -> None:
    model = embedder(f"bert:{encoder(tmp_path / 'm')}")
    together = model.embed(TEXTS)
    alone = np.concatenate([model.embed([text]) for text in TEXTS])
    assert np.allclose(together, alone, atol=1e-5)
    assert np.allclose(np.linalg.norm(together, axis=1), 1.0, atol=1e-5)
    assert model.embed([]).shape == (0, 24)


def test_what_is_no_encoder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no readable config\.json"):
        embedder(str(tmp_path))
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    with pytest.raises(UsageError, match="want a BERT-shaped encoder"):
        embedder(str(tmp_path))
