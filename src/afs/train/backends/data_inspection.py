"""Inspect a run without its model: tokenizer, template, lengths, trained tokens, and what would be rejected."""

from __future__ import annotations

from typing import NamedTuple, cast

import transformers

from afs import plugins
from afs.errors import DataError, boundary
from afs.providers.local import load_tokenizer
from afs.train.backends import model_loading
from afs.train.backends.hf import OBJECTIVES
from afs.train.backends.tiny_model import learn_tokenizer
from afs.train.backends.token_encoding import Encoder
from afs.train.memory_estimate import ModelShape, shape_of_folder
from afs.train.settings import TrainConfig
from afs.train.training_data import Material


class Examination(NamedTuple):
    """What a run would train on."""

    shape: ModelShape
    lengths: tuple[int, ...]
    """Tokens of every item."""
    facts: dict[str, object]
    end: str
    """The token that ends an answer, in training and in serving."""
    sample: str
    """One record as the model reads it; what is learned stands between « and »."""


def examine(config: TrainConfig, material: Material) -> Examination:
    """Everything a learner would do before it loads a model; raises what it would raise."""
    tokenizer, shape = tokenizer_and_shape(config, material)
    encoder = Encoder(tokenizer)
    make = plugins.load(OBJECTIVES[config.method])
    with boundary(DataError, material.dataset.ref):
        objective = make(config, material, encoder, "cpu")  # type: ignore[operator]
    shown = encoder.pieces(material.train[0].messages, material.train[0].tools)
    return Examination(
        shape,
        tuple(int(length) for length in objective.lengths),
        {
            **cast(dict[str, object], objective.facts),
            "template_sha256": encoder.template_hash,
            "tokenizer_sha256": encoder.tokenizer_hash,
        },
        encoder.end,
        "".join(f"«{text}»" if is_learned else text for text, is_learned in shown),
    )


def tokenizer_and_shape(
    config: TrainConfig, material: Material
) -> tuple[transformers.PreTrainedTokenizerBase, ModelShape]:
    folder = material.base.folder
    if folder is not None:
        with boundary(DataError, f"base {material.base.text}"):
            tokenizer = load_tokenizer(folder)
            model_loading.check_tokenizer(tokenizer, folder)
        return tokenizer, shape_of_folder(folder)
    learned, wanted = learn_tokenizer(material.train, config.shape), config.shape
    return learned, ModelShape(
        layers=wanted.layers,
        hidden=wanted.hidden,
        intermediate=wanted.intermediate,
        heads=wanted.heads,
        kv_heads=wanted.kv_heads,
        head_dim=wanted.hidden // wanted.heads,
        vocabulary=len(learned),
        tied=True,
    )
