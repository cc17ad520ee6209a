"""What autograd keeps, found without weights and without a GPU: the real config run forward on torch's meta device."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import peft
import torch
import transformers
from transformers import masking_utils

from afs.providers.local import load_tokenizer
from afs.train.backends.token_encoding import Encoder
from afs.train.backends.token_loss import unwrap_compiled
from afs.train.memory_estimate import ModelShape, Setting
from afs.types import Record


def activation_bytes(shape: ModelShape, setting: Setting) -> float:
    """Bytes kept for the backward pass per token and layer.

    Runs of one and of three layers give the part of a layer, two lengths the part that grows with the token: the part
    that grows with the square is the meta device's plain attention, which fused attention does not keep.
    """
    short, long = 256, 1024
    at = {
        length: (saved_bytes(shape, setting, 3, length) - saved_bytes(shape, setting, 1, length)) / 2
        for length in (short, long)
    }
    square = (at[long] / long - at[short] / short) / (long - short)
    return at[short] / short - square * short


def saved_bytes(shape: ModelShape, setting: Setting, layers: int, length: int) -> float:
    model = meta_model(shape, setting, layers)
    inner = unwrap_compiled(model).get_decoder()
    own = {p.untyped_storage()._cdata for p in model.parameters()}
    seen: dict[int, tuple[int, torch.Tensor]] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in own:
            seen[storage._cdata] = (storage.nbytes(), tensor)
        return tensor

    ids = torch.zeros(1, length, dtype=torch.long, device="meta")
    packed = masking_utils.find_packed_sequence_indices
    masking_utils.find_packed_sequence_indices = lambda _places: None
    try:
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            held = inner(input_ids=ids, use_cache=False)
    finally:
        masking_utils.find_packed_sequence_indices = packed
    del held
    return float(sum(size for size, _ in seen.values()))


def meta_model(shape: ModelShape, setting: Setting, layers: int) -> torch.nn.Module:
    config = transformers.Qwen2Config(
        vocab_size=256,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        head_dim=shape.head_dim,
    )
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = transformers.Qwen2ForCausalLM(config).to(torch.bfloat16)
        if setting.method in ("full", "scratch"):
            return model.train()
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        lora = peft.LoraConfig(r=setting.rank, lora_dropout=setting.dropout, target_modules="all-linear")
        adapted = peft.get_peft_model(model, lora, autocast_adapter_dtype=False).to(torch.bfloat16)
    unwrap_compiled(adapted).get_input_embeddings().register_forward_hook(lambda _m, _i, out: out.requires_grad_(True))
    return adapted.train()


def token_counts(folder: Path, records: Sequence[Record]) -> list[int]:
    """Real lengths of records under a base's tokenizer and template."""
    return [len(sample.ids) for sample in Encoder(load_tokenizer(folder)).samples(records)]
