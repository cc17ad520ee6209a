"""What the ladder climbs on: a real shape with random weights, samples in a real mix of lengths, a clock on a step."""

from __future__ import annotations

import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import peft
import torch
import transformers

from afs.train.backends import model_loading
from afs.train.backends.token_encoding import Sample
from afs.train.backends.token_loss import unwrap_compiled
from afs.train.memory_estimate import GIB, ModelShape
from afs.train.settings import Lora

TINY = ModelShape(layers=4, hidden=256, intermediate=768, heads=4, kv_heads=2, head_dim=64, vocabulary=8192, tied=True)
Step = Callable[[torch.nn.Module, Sequence[Sample]], float]
"""Gradients of the mean loss of a batch; returns that loss."""


class Measure(NamedTuple):
    """What a rung took."""

    p50: float
    p95: float
    read: float
    trained: float
    peak: float | None
    steps: int


def samples(count: int, longest: int, vocabulary: int, seed: int = 0) -> list[Sample]:
    """Random tokens, log-normal lengths (median 350 of at most 4096), the last 40 % of each learned."""
    rng = random.Random(seed)
    median = 350 * longest / 4096
    found = []
    for _ in range(count):
        length = max(8, min(longest, round(rng.lognormvariate(0, 0.9) * median)))
        learned = max(1, round(0.4 * length))
        ids = [rng.randrange(vocabulary) for _ in range(length)]
        found.append(Sample(ids, [False] * (length - learned) + [True] * learned))
    return found


def hub_config(shape: ModelShape) -> transformers.Qwen2Config:
    """The library's config of a shape."""
    return transformers.Qwen2Config(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        intermediate_size=shape.intermediate,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        num_key_value_heads=shape.kv_heads,
        max_position_embeddings=32768,
        tie_word_embeddings=shape.tied,
        use_cache=False,
    )


def build(shape: ModelShape, method: str, device: str) -> torch.nn.Module:
    """The shape with random weights and an adapter that already says something."""
    torch.manual_seed(0)
    kind = torch.bfloat16 if device == "cuda" else torch.float32
    if method == "qlora":
        model = four_bits(shape, kind, device)
    else:
        torch.set_default_dtype(kind)
        with torch.device(device):
            model = transformers.Qwen2ForCausalLM(hub_config(shape))
        torch.set_default_dtype(torch.float32)
    return adapted(model).to(device).train()


def adapted(model: torch.nn.Module) -> torch.nn.Module:
    """Rank 16 on every linear map; the second factor drawn, so that gradients of both can be compared."""
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = peft.get_peft_model(model, model_loading.lora_config(Lora()))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in found.named_parameters():
            if "lora_" in name:
                size = 0.01 if "lora_B" in name else parameter.shape[1] ** -0.5
                parameter.copy_(torch.empty(parameter.shape).normal_(0, size, generator=generator))
    for module in found.modules():
        module.cast_input_dtype_enabled = False
    return found


def four_bits(shape: ModelShape, kind: torch.dtype, device: str) -> torch.nn.Module:
    """Every linear map of the layers in NF4 with double quantization, one at a time: never more than one in 16 bits."""
    import bitsandbytes as bnb

    with torch.device("meta"):
        model = transformers.Qwen2ForCausalLM(hub_config(shape)).to(kind)
    for name, module in list(model.named_modules()):
        if not isinstance(module, torch.nn.Linear) or "lm_head" in name:
            continue
        packed = bnb.nn.Linear4bit(
            module.in_features,
            module.out_features,
            bias=False,
            compute_dtype=kind,
            quant_type="nf4",
            compress_statistics=True,
        )
        drawn = torch.empty(module.weight.shape, dtype=kind, device=device).normal_(0, 0.02)
        packed.weight = bnb.nn.Params4bit(drawn, requires_grad=False, quant_type="nf4").to(device)
        if module.bias is not None:
            packed.bias = torch.nn.Parameter(torch.zeros(module.out_features, dtype=kind, device=device))
        model.set_submodule(name, packed)
    for name, tensor in list(model.named_parameters()):
        if tensor.is_meta:
            made = torch.empty(tensor.shape, dtype=kind, device=device)
            owner, _, leaf = name.rpartition(".")
            filled = made.fill_(1.0) if "norm" in name else made.normal_(0, 0.02)
            setattr(model.get_submodule(owner), leaf, torch.nn.Parameter(filled, requires_grad=False))
    if shape.tied:
        model.tie_weights()
    model.model.rotary_emb = type(model.model.rotary_emb)(model.config).to(device)
    return model


def recompute(model: torch.nn.Module, how: str) -> None:
    """`all` layers recomputed in the backward pass, every second one (`half`), or `none`."""
    inner = unwrap_compiled(model)
    warnings.simplefilter("ignore", FutureWarning)
    inner.gradient_checkpointing_disable()
    if how == "none":
        return
    inner.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    inner.enable_input_require_grads()
    for number, layer in enumerate(inner.get_decoder().layers):
        layer.gradient_checkpointing = how == "all" or number % 2 == 0


def flat_gradient(model: torch.nn.Module) -> torch.Tensor:
    """All gradients in one row."""
    return torch.cat([p.grad.detach().float().flatten().cpu() for p in model.parameters() if p.grad is not None])


def measure(step: Step, model: torch.nn.Module, batches: list[list[Sample]], device: str, seconds: float) -> Measure:
    """Steps at the same weights (rate 0) until the time is up; the first one only warms up."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.0)
    times: list[float] = []
    clock = time.monotonic if device == "cuda" else time.process_time  # a shared processor's wall clock tells little
    read = trained = 0
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for number, batch in enumerate(batches):
        begun = clock()
        step(model, batch)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        if number:
            times.append(clock() - begun)
            read += sum(len(sample.ids) for sample in batch)
            trained += sum(sum(sample.trained[1:]) for sample in batch)
        if sum(times) > seconds and len(times) >= 3:
            break
    peak = torch.cuda.max_memory_allocated() / GIB if device == "cuda" else None
    ranked = sorted(times)
    return Measure(
        statistics.median(times),
        ranked[len(ranked) * 95 // 100],
        read / sum(times),
        trained / sum(times),
        peak,
        len(times),
    )
