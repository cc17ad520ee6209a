"""Training speed and memory at real shapes with random weights: plain transformers + PEFT against ours, in one run.

    python bench/gpu/train.py [--shape qwen2.5-7b] [--steps 20] [--method lora|qlora]     on a GPU
    python bench/gpu/train.py --small                                                     on a CPU, a tiny shape

Each rung adds one thing to the one above. The samples have a real mix of lengths (log-normal, median 350, at most 4096
tokens, the last 40 % of each learned). Printed: trained and read tokens per second, peak memory, the plan's memory
beside it, and for every rung the loss and the cosine of its gradient against the plain rung's on the same samples.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import random
import statistics
import time
import warnings
from collections.abc import Callable, Sequence
from typing import NamedTuple

import peft
import torch
import transformers

from afs.train import memory
from afs.train.backends import models
from afs.train.backends.encode import Sample
from afs.train.backends.loss import collate, summed_loss
from afs.train.memory import GIB, ModelShape, Setting
from afs.train.settings import Lora

TINY = ModelShape(layers=4, hidden=256, intermediate=768, heads=4, kv_heads=2, head_dim=64, vocabulary=8192, tied=True)


class Rung(NamedTuple):
    """One way to do a step over the same samples."""

    name: str
    checkpointing: bool
    step: Callable[[torch.nn.Module, Sequence[Sample]], float]
    """Gradients of the mean loss of a batch; returns that loss."""


def samples(count: int, longest: int, vocabulary: int, seed: int = 0) -> list[Sample]:
    """Random tokens in a real mix of lengths."""
    rng = random.Random(seed)
    median = 350 * longest / 4096
    found = []
    for _ in range(count):
        length = max(8, min(longest, round(rng.lognormvariate(0, 0.9) * median)))
        learned = max(1, round(0.4 * length))
        ids = [rng.randrange(vocabulary) for _ in range(length)]
        found.append(Sample(ids, [False] * (length - learned) + [True] * learned))
    return found


def build(shape: ModelShape, method: str, device: str) -> torch.nn.Module:
    """The shape with random weights and a fresh adapter."""
    config = transformers.Qwen2Config(
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
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16 if device == "cuda" else torch.float32)
    with torch.device(device):
        model = transformers.Qwen2ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    if method == "qlora":
        model = four_bits(model)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adapted = peft.get_peft_model(model, models.lora_config(Lora()))
    torch.manual_seed(1)
    with torch.no_grad():
        for name, parameter in adapted.named_parameters():
            if "lora_B" in name:
                parameter.normal_(0, 0.01)
    return adapted.to(device).train()


def four_bits(model: torch.nn.Module) -> torch.nn.Module:
    """Every linear map of the layers packed into NF4 with double quantisation."""
    import bitsandbytes as bnb

    for name, module in list(model.named_modules()):
        if isinstance(module, torch.nn.Linear) and "lm_head" not in name:
            packed = bnb.nn.Linear4bit(
                module.in_features,
                module.out_features,
                module.bias is not None,
                compute_dtype=module.weight.dtype,
                quant_type="nf4",
                compress_statistics=True,
            )
            packed.weight = bnb.nn.Params4bit(module.weight.data, requires_grad=False, quant_type="nf4")
            packed.bias = module.bias
            model.set_submodule(name, packed.to(module.weight.device))
    return model


def plain_step(micro: int, device: str) -> Callable[[torch.nn.Module, Sequence[Sample]], float]:
    """What people run: padded rows in the order they come, whole logits, the library's own loss."""

    def step(model: torch.nn.Module, batch: Sequence[Sample]) -> float:
        total = sum(sum(sample.trained[1:]) for sample in batch)
        loss = 0.0
        for start in range(0, len(batch), micro):
            part = batch[start : start + micro]
            rows = collate(part, 0, device)
            labels = torch.full_like(rows.ids, -100)
            labels[:, 1:] = rows.labels[:, :-1]
            mask = torch.zeros_like(rows.ids)
            for i, sample in enumerate(part):
                mask[i, : len(sample.ids)] = 1
            with models.precision(device):
                found = model(input_ids=rows.ids, attention_mask=mask, labels=labels, num_items_in_batch=total).loss
            found.backward()
            loss += float(found.detach())
        return loss

    return step


def our_step(tokens: int, device: str, *, packing: bool) -> Callable[[torch.nn.Module, Sequence[Sample]], float]:
    """Ours: sorted by length or packed up to so many tokens a row, logits of the learned positions in chunks."""

    def step(model: torch.nn.Module, batch: Sequence[Sample]) -> float:
        total = sum(sum(sample.trained[1:]) for sample in batch)
        loss = 0.0
        for part in groups(batch, tokens, packing=packing):
            with models.precision(device):
                mean = summed_loss(model, collate(part, 0, device, packing=packing), 512) / total
            mean.backward()
            loss += float(mean.detach())
        return loss

    return step


def groups(batch: Sequence[Sample], tokens: int, *, packing: bool) -> list[list[Sample]]:
    """Rows that fit: the longest first into the first row with room, or neighbours by length."""
    ranked = sorted(batch, key=lambda sample: -len(sample.ids))
    found: list[list[Sample]] = []
    for sample in ranked:
        for group in found:
            size = sum(len(s.ids) for s in group) + len(sample.ids)
            if (size if packing else len(group[0].ids) * (len(group) + 1)) <= tokens:
                group.append(sample)
                break
        else:
            found.append([sample])
    return found


def flat_gradient(model: torch.nn.Module) -> torch.Tensor:
    """All gradients in one row."""
    return torch.cat([p.grad.detach().float().flatten().cpu() for p in model.parameters() if p.grad is not None])


def measure(rung: Rung, model: torch.nn.Module, batches: list[list[Sample]], device: str) -> dict[str, float]:
    """Median seconds of a step, and the most memory."""
    inner = model.get_base_model()
    (inner.activation_checkpointing_enable if rung.checkpointing else inner.activation_checkpointing_disable)()
    if rung.checkpointing:
        inner.enable_input_require_grads()
    optimizer = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad], lr=0.0
    )  # every rung is measured at the same weights
    times, tokens, learned = [], 0, 0
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
    for number, batch in enumerate(batches):
        begun = time.monotonic()
        rung.step(model, batch)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device == "cuda":
            torch.cuda.synchronize()
        if number:
            times.append(time.monotonic() - begun)
            tokens += sum(len(sample.ids) for sample in batch)
            learned += sum(sum(sample.trained[1:]) for sample in batch)
    peak = torch.cuda.max_memory_allocated() / GIB if device == "cuda" else float("nan")
    return {"p50": statistics.median(times), "read": tokens / sum(times), "trained": learned / sum(times), "peak": peak}


def main() -> None:
    """The ladder."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--shape", default="qwen2.5-7b")
    parser.add_argument("--method", default="lora", choices=["lora", "qlora"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--row", type=int, default=8192, help="tokens in a row of ours")
    given = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() and not given.small else "cpu"
    if device == "cpu" and not given.small:
        raise SystemExit("no GPU here; --small runs the same ladder on a tiny shape")
    transformers.logging.set_verbosity_error()
    shape = TINY if given.small else memory.known_shapes()[given.shape]
    longest, size, row = (512, 16, 1024) if given.small else (4096, given.batch, given.row)
    steps = 4 if given.small else given.steps
    drawn = samples(size * (steps + 1), longest, shape.vocabulary)
    batches = [drawn[i : i + size] for i in range(0, len(drawn), size)]
    rungs = [
        Rung("plain transformers + PEFT, padded, whole logits", True, plain_step(4, device)),
        Rung("ours: by length, logits in chunks", True, our_step(row, device, packing=False)),
        Rung("+ packed rows", True, our_step(row, device, packing=True)),
        Rung("+ no recomputation", False, our_step(row, device, packing=True)),
        Rung("by length, no recomputation", False, our_step(row, device, packing=False)),
    ]
    where = torch.cuda.get_device_name() if device == "cuda" else "cpu, 1 thread"
    if device == "cpu":
        torch.set_num_threads(1)
    print(
        f"{'tiny shape' if given.small else given.shape}, {given.method}, {where}, {size} samples a step, {steps} steps"
    )
    print(f"{'rung':<50}{'trained/s':>10}{'read/s':>9}{'p50 s':>8}{'peak':>8}{'plan':>8}{'loss off':>10}{'cosine':>10}")
    reference: tuple[float, torch.Tensor] | None = None
    model = build(shape, given.method, device)
    if device == "cuda":
        for module in model.modules():
            module.cast_input_dtype_enabled = False
    for rung in rungs:
        try:
            loss = rung.step(model, batches[0])
            found = (loss, flat_gradient(model))
            model.zero_grad(set_to_none=True)
            reference = reference or found
            row_of = measure(rung, model, batches, device)
        except torch.OutOfMemoryError:
            print(f"{rung.name:<50}out of memory")
            model.zero_grad(set_to_none=True)
            gc.collect()
            torch.cuda.empty_cache()
            continue
        cosine = float(torch.nn.functional.cosine_similarity(reference[1].double(), found[1].double(), dim=0))
        is_plain = rung is rungs[0]
        setting = Setting(
            method=given.method,
            micro_batch=1,
            length=4 * longest if is_plain else row,
            checkpointing=rung.checkpointing,
            adam_bits=32,
            chunk=0 if is_plain else 512,
        )
        planned = memory.total(memory.lines(shape, setting)) / GIB
        print(
            f"{rung.name:<50}{row_of['trained']:>10.0f}{row_of['read']:>9.0f}{row_of['p50']:>8.2f}{row_of['peak']:>8.2f}"
            f"{planned:>8.2f}{abs(found[0] - reference[0]):>10.1e}{cosine:>10.6f}"
        )
    for peer in ("unsloth", "liger_kernel"):
        here = importlib.util.find_spec(peer) is not None
        print(f"{peer:<50}{'installed, but this ladder has no rung for it' if here else 'skipped: not installed'}")


if __name__ == "__main__":
    main()
