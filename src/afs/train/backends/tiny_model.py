"""A model from scratch: a byte-level tokenizer trained on the dataset, and a small Qwen2."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import msgspec
import tokenizers
import transformers
from tokenizers import decoders, models, pre_tokenizers, trainers

from afs.errors import ConfigError
from afs.providers.local import template_message
from afs.train.settings import Shape
from afs.types import Record

PAD, START, END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 cuts text before merging; a GGUF names it `qwen2`."""
CHATML = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- 'Tools:' }}
{%- for tool in tools %}{{- '\\n' + (tool | tojson) }}{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if not (message.role == 'system' and loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"""


def learn_tokenizer(records: Sequence[Record], shape: Shape) -> transformers.PreTrainedTokenizerFast:
    """A byte-level BPE tokenizer with ChatML's marks; padding differs from the end of a turn."""
    core = tokenizers.Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(tokenizers.Regex(QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocabulary,
        special_tokens=[PAD, START, END],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(training_texts(records), trainer)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core,
        eos_token=END,
        pad_token=PAD,
        additional_special_tokens=[START, END],
        chat_template=CHATML,
        model_max_length=shape.positions,
        clean_up_tokenization_spaces=False,
    )


def training_texts(records: Sequence[Record]) -> Iterator[str]:
    """Turns, and the tools that are offered beside them as the template writes them."""
    for record in records:
        for tool in record.tools:
            yield json.dumps({"type": "function", "function": msgspec.to_builtins(tool)})
        for message in record.messages:
            yield f"{message.role}\n{template_message(message)['content']}"


def new_model(tokenizer: transformers.PreTrainedTokenizerFast, shape: Shape) -> transformers.Qwen2ForCausalLM:
    """Random weights in Qwen2's architecture, embeddings tied to the head."""
    if shape.hidden % shape.heads or shape.heads % shape.kv_heads:
        raise ConfigError("shape", f"{shape.hidden} wide does not divide into {shape.heads}/{shape.kv_heads} heads")
    config = transformers.Qwen2Config(
        vocab_size=len(tokenizer),
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=shape.positions,
        tie_word_embeddings=True,
        use_cache=True,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return transformers.Qwen2ForCausalLM(config)
