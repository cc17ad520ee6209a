"""Training speed and memory at real shapes with random weights: plain transformers + PEFT, ours, peers, in one run.

    python bench/gpu/train.py             on a GPU: 7B adapter, 7B and 14B in 4 bits under 16 GB; below 10 minutes
    python bench/gpu/train.py --small     on a CPU: the same rungs on a tiny shape; what wants a GPU says so

Each rung adds one thing to the one above. All do the same samples at the same weights; `loss off` and `cosine` hold
loss and gradient against the plain rung. `plan` is what `afs plan` says of the memory, beside what was measured.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import torch
import transformers
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
import shapes
from shapes import Measure, Step

from afs.errors import AfsError
from afs.train import memory_estimate
from afs.train.backend_environments import environment_python, install_command
from afs.train.backends import liger_kernels, model_loading
from afs.train.backends.meta_memory import activation_bytes
from afs.train.backends.tiny_model import CHATML, learn_tokenizer
from afs.train.backends.token_encoding import Sample
from afs.train.backends.token_loss import collate, summed_loss, unwrap_compiled
from afs.train.device_monitor import card_named
from afs.train.memory_estimate import GIB, ModelShape, Setting
from afs.train.settings import Shape


class SkippedError(Exception):
    """A rung that cannot be climbed here."""


class Rung(NamedTuple):
    """One way to do a step over the same samples."""

    name: str
    step: Step
    recompute: str = "all"
    prepare: Callable[[torch.nn.Module], None] = lambda _model: None
    is_plain: bool = False


class Scene(NamedTuple):
    """What a ladder stands on."""

    title: str
    shape: ModelShape
    method: str
    device: str
    longest: int
    row: int
    batches: list[list[Sample]]
    seconds: float
    until: float


def plain_step(micro: int, device: str) -> Step:
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
            with model_loading.autocast(device):
                found = model(input_ids=rows.ids, attention_mask=mask, labels=labels, num_items_in_batch=total).loss
            found.backward()
            loss += float(found.detach())
        return loss

    return step


def our_step(tokens: int, device: str, *, packing: bool, chunk: int = 512, pad_to: int = 0) -> Step:
    """Ours: by length or packed up to so many tokens a row, logits of the learned positions, in chunks."""

    def step(model: torch.nn.Module, batch: Sequence[Sample]) -> float:
        total = sum(sum(sample.trained[1:]) for sample in batch)
        loss = 0.0
        for part in groups(batch, tokens, packing=packing):
            used = sum(len(sample.ids) for sample in part)
            filler = [Sample([0] * (pad_to - used), [False] * (pad_to - used))] if pad_to > used else []
            with model_loading.autocast(device):
                mean = summed_loss(model, collate([*part, *filler], 0, device, packing=packing), chunk) / total
            mean.backward()
            loss += float(mean.detach())
        return loss

    return step


def groups(batch: Sequence[Sample], tokens: int, *, packing: bool) -> list[list[Sample]]:
    """Rows that fit: the longest first into the first row with room, or neighbors by length."""
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


def with_flex(model: torch.nn.Module) -> None:
    """Attention that skips whole blocks of other samples."""
    if not torch.cuda.is_available():
        raise SkippedError("FlexAttention has no backward pass on a CPU")
    unwrap_compiled(model).set_attn_implementation("flex_attention")


def with_sdpa(model: torch.nn.Module) -> None:
    """The library's usual attention."""
    unwrap_compiled(model).set_attn_implementation("sdpa")


def with_liger(model: torch.nn.Module) -> None:
    """Liger's norms, rotary embedding and SwiGLU."""
    if importlib.util.find_spec("liger_kernel") is None:
        raise SkippedError("liger-kernel is not installed: pip install liger-kernel==0.8.5")
    if not torch.cuda.is_available():
        raise SkippedError("liger's kernels are Triton's and want a GPU")
    liger_kernels.patch_model(model)


def with_compile(model: torch.nn.Module) -> None:
    """Every layer compiled; rows of one fixed length, so that it happens once."""
    for layer in unwrap_compiled(model).get_decoder().layers:
        layer.compile(dynamic=False)


def ladder(scene: Scene) -> list[Rung]:
    """The rungs of a scene, each adding one thing."""
    row, device = scene.row, scene.device
    packed = our_step(row, device, packing=True)
    fixed = our_step(row, device, packing=True, pad_to=row)
    if scene.method == "qlora":
        return [
            Rung("plain: padded, whole logits, recomputation", plain_step(1, device), is_plain=True),
            Rung("ours: packed rows, logits in chunks", packed),
            Rung("+ liger's kernels", packed, prepare=with_liger),
            Rung("+ every second layer recomputed", packed, "half"),
        ]
    return [
        Rung("plain: padded, whole logits, recomputation", plain_step(4, device), is_plain=True),
        Rung("+ batches by length, logits where learned", our_step(row, device, packing=False, chunk=1 << 30)),
        Rung("+ logits in chunks", our_step(row, device, packing=False)),
        Rung("+ packed rows", packed),
        Rung("+ FlexAttention", packed, prepare=with_flex),
        Rung("+ liger's kernels", packed, prepare=with_liger),
        Rung("+ every second layer recomputed", packed, "half"),
        Rung("+ nothing recomputed", packed, "none"),
        Rung("+ compiled layers, rows of one length", fixed, "none", with_compile),
    ]


def climb(scene: Scene) -> None:
    """Every rung of a scene, as a table."""
    clock = "" if scene.device == "cuda" else ", seconds of processor time"
    print(f"\n{scene.title}, {scene.method}, {len(scene.batches[0])} samples a step{clock}")
    print(
        f"{'rung':<46}{'trained/s':>10}{'read/s':>8}{'p50 s':>7}{'p95 s':>7}{'MFU':>6}{'peak':>7}{'plan':>7}{'x':>6}"
        f"{'loss off':>10}{'cosine':>10}"
    )
    model = shapes.build(scene.shape, scene.method, scene.device)
    first: tuple[float, torch.Tensor, float] | None = None
    for rung in ladder(scene):
        try:
            found = one(scene, rung, model)
        except (SkippedError, AfsError, ImportError) as error:
            print(f"{rung.name:<46}skipped: {error}", flush=True)
            continue
        except torch.OutOfMemoryError:
            print(f"{rung.name:<46}out of memory", flush=True)
            clean(model)
            continue
        loss, gradient, took = found
        first = first or (loss, gradient, took.trained)
        tell(scene, rung, found, first)
    if first is not None and scene.method == "lora":
        peers(scene, model, first)
    del model
    gc.collect()


def one(scene: Scene, rung: Rung, model: torch.nn.Module) -> tuple[float, torch.Tensor, Measure]:
    """Loss and gradient on the first batch, then the clock."""
    if time.monotonic() > scene.until:
        raise SkippedError("the time is up")
    shapes.recompute(model, rung.recompute)
    if rung.name.startswith("+ liger"):
        with_sdpa(model)
    rung.prepare(model)
    loss = rung.step(model, scene.batches[0])
    gradient = shapes.flat_gradient(model)
    model.zero_grad(set_to_none=True)
    return loss, gradient, shapes.measure(rung.step, model, scene.batches, scene.device, scene.seconds)


def clean(model: torch.nn.Module) -> None:
    """After a full memory."""
    model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def tell(
    scene: Scene, rung: Rung, found: tuple[float, torch.Tensor, Measure], first: tuple[float, torch.Tensor, float]
) -> None:
    """A rung's line."""
    loss, gradient, took = found
    cosine = float(torch.nn.functional.cosine_similarity(first[1].double(), gradient.double(), dim=0))
    setting = Setting(
        method=scene.method,
        micro_batch=1,
        length=(4 if scene.method == "lora" else 1) * scene.longest if rung.is_plain else scene.row,
        checkpointing=rung.recompute == "all",
        adam_bits=32,
        chunk=0 if rung.is_plain or "where learned" in rung.name else 512,
    )
    planned = (
        memory_estimate.total_bytes(
            memory_estimate.memory_lines(scene.shape, setting, activation_bytes(scene.shape, setting))
        )
        / GIB
    )
    peak = "n/a" if took.peak is None else f"{took.peak:.2f}"
    used = mfu(scene, took)
    print(
        f"{rung.name:<46}{took.trained:>10.0f}{took.read:>8.0f}{took.p50:>7.2f}{took.p95:>7.2f}{used:>6}"
        f"{peak:>7}{planned:>7.2f}{took.trained / first[2]:>6.2f}{abs(loss - first[0]):>10.1e}{cosine:>10.6f}",
        flush=True,
    )


def mfu(scene: Scene, took: Measure) -> str:
    """Share of the card's peak: arithmetic that learning needs (4 N, recomputation not counted as use)."""
    card = card_named(torch.cuda.get_device_name()) if scene.device == "cuda" else None
    if card is None:
        return "n/a"
    setting = Setting(method=scene.method, length=scene.longest // 8, checkpointing=False)
    per_second = memory_estimate.flops_per_token(scene.shape, setting) * took.read
    return f"{per_second / memory_estimate.gpu_named(card).tflops / 1e12:.2f}"


def peers(scene: Scene, model: torch.nn.Module, first: tuple[float, torch.Tensor, float]) -> None:
    """Unsloth in its own environment on the same weights; on a CPU the same road with plain transformers."""
    name = "unsloth" if scene.device == "cuda" else "hf"
    label = (
        "unsloth, in its own environment" if name == "unsloth" else "the road to a peer, with transformers at its end"
    )
    try:
        python = environment_python("unsloth", "", "unsloth") or sys.executable if name == "unsloth" else sys.executable
        if time.monotonic() > scene.until:
            raise SkippedError("the time is up")
    except (AfsError, SkippedError) as error:
        reason = f"not installed: {install_command('unsloth')}" if isinstance(error, AfsError) else str(error)
        print(f"{label:<46}skipped: {reason}")
        return
    with TemporaryDirectory() as folder:
        adapter = Path(folder) / "adapter.safetensors"
        tensors = {n: p.detach().float().cpu().contiguous() for n, p in model.named_parameters() if "lora_" in n}
        save_file(tensors, adapter)
        write_base(scene, Path(folder) / "base")
        order = list(tensors)
        clean(model.to("cpu"))
        size, steps = len(scene.batches[0]), len(scene.batches) - 1
        words = [folder + "/base", adapter, scene.longest, size, steps, scene.seconds, scene.method]
        told = subprocess.run(
            [python, str(Path(__file__).with_name("peer.py")), name, *map(str, words)],
            capture_output=True, text=True, timeout=300, check=False,
        )  # fmt: skip
        line = next((x for x in told.stdout.splitlines() if x.startswith("PEER ")), "")
        if not line:
            print(f"{label:<46}skipped: {(told.stderr.strip().splitlines() or ['it said nothing'])[-1][:160]}")
            return
        row = json.loads(line[5:])
        saved = load_file(row["gradient"])
        Path(row["gradient"]).unlink()
        gradient = torch.cat([saved[n].flatten() for n in order])
        tell(scene, Rung(label, lambda *_: 0.0), (row["loss"], gradient, Measure(*row["took"])), first)


def write_base(scene: Scene, folder: Path) -> None:
    """The same random base as a folder, with a tokenizer beside it."""
    torch.manual_seed(0)
    kind = torch.bfloat16 if scene.device == "cuda" else torch.float32
    torch.set_default_dtype(kind)
    with torch.device(scene.device):
        base = transformers.Qwen2ForCausalLM(shapes.hub_config(scene.shape))
    torch.set_default_dtype(torch.float32)
    base.save_pretrained(folder)
    tokenizer = learn_tokenizer([], Shape(vocabulary=300))
    tokenizer.chat_template = CHATML
    tokenizer.save_pretrained(folder)


def scenes(given: argparse.Namespace) -> list[Scene]:
    """What is climbed: on a GPU 7B with an adapter, 7B and 14B in 4 bits under 16 GB; on a CPU a tiny shape."""
    until = time.monotonic() + 60 * given.minutes
    if given.small:
        drawn = shapes.samples(16 * 5, 512, shapes.TINY.vocabulary)
        batches = [drawn[i : i + 16] for i in range(0, len(drawn), 16)]
        return [Scene("tiny shape, cpu, 1 thread", shapes.TINY, "lora", "cpu", 512, 1024, batches, 60.0, until)]
    where, found = torch.cuda.get_device_name(), []
    for name, method, size, row in (
        ("qwen2.5-7b", "lora", 64, 8192), ("qwen2.5-7b", "qlora", 16, 4096), ("qwen2.5-14b", "qlora", 16, 4096),
    ):  # fmt: skip
        shape = memory_estimate.known_shapes()[name]
        drawn = shapes.samples(size * 21, 4096 if method == "lora" else 2048, shape.vocabulary)
        batches = [drawn[i : i + size] for i in range(0, len(drawn), size)]
        longest = 4096 if method == "lora" else 2048
        found.append(Scene(f"{name}, {where}", shape, method, "cuda", longest, row, batches, given.seconds, until))
    return found


def main() -> None:
    """The ladders."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--small", action="store_true", help="a tiny shape on a CPU")
    parser.add_argument("--seconds", type=float, default=15.0, help="measured per rung")
    parser.add_argument("--minutes", type=float, default=9.0, help="after which no rung is begun")
    parser.add_argument("--cap", type=float, default=16.0, help="GiB the 4-bit ladders may use")
    given = parser.parse_args()
    if not torch.cuda.is_available():
        if not given.small:
            raise SystemExit("skipped: no GPU here; --small climbs the same rungs on a tiny shape")
        torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    for scene in scenes(given):
        if scene.method == "qlora":
            whole = torch.cuda.get_device_properties(0).total_memory
            torch.cuda.set_per_process_memory_fraction(min(1.0, given.cap * GIB / whole))
        climb(scene)


if __name__ == "__main__":
    main()
