"""One rung in another environment: unsloth (or, to try the road itself, plain transformers) on the same weights.

    python bench/gpu/peer.py unsloth|hf FOLDER ADAPTER LONGEST SIZE STEPS SECONDS METHOD     started by train.py

Prints one line of JSON: what the rung took, its loss, and where its gradient lies.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from tempfile import NamedTemporaryFile

peer = sys.argv[1]
if peer == "unsloth":
    import unsloth  # first: it patches the others

import torch
import transformers
from safetensors.torch import load_file, save_file

sys.path.insert(0, str(Path(__file__).parent))
import shapes

from afs.train.backends import model_loading
from afs.train.backends.token_encoding import Sample
from afs.train.backends.token_loss import IGNORED, collate


def load(folder: str, adapter: str, method: str, longest: int) -> torch.nn.Module:
    """The model with the ladder's own adapter on it."""
    if peer == "unsloth":
        model, _ = unsloth.FastLanguageModel.from_pretrained(
            folder, max_seq_length=longest, load_in_4bit=method == "qlora", use_exact_model_name=True
        )
        model = unsloth.FastLanguageModel.get_peft_model(
            model, r=16, lora_alpha=32, lora_dropout=0, bias="none", use_gradient_checkpointing="unsloth"
        )
    else:
        kind = torch.bfloat16 if torch.cuda.is_available() else torch.float32
        base = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=kind, use_cache=False)
        model = shapes.adapted(base.to("cuda" if torch.cuda.is_available() else "cpu"))
    saved = load_file(adapter)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(saved[name])
    return model.train()


def main() -> None:
    """Measure and tell."""
    _, _, folder, adapter, longest, size, steps, seconds, method = sys.argv
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cpu":
        torch.set_num_threads(1)
    model = load(folder, adapter, method, int(longest))
    drawn = shapes.samples(int(size) * (int(steps) + 1), int(longest), model.config.vocab_size)
    batches = [drawn[i : i + int(size)] for i in range(0, len(drawn), int(size))]

    def step(model: torch.nn.Module, batch: list[Sample]) -> float:
        ranked = sorted(batch, key=lambda sample: len(sample.ids))
        total = sum(sum(sample.trained[1:]) for sample in ranked)
        loss = 0.0
        for start in range(0, len(ranked), 4):
            rows = collate(ranked[start : start + 4], 0, device)
            labels = torch.full_like(rows.ids, IGNORED)
            labels[:, 1:] = rows.labels[:, :-1]
            with model_loading.autocast(device):
                found = model(input_ids=rows.ids, labels=labels, num_items_in_batch=total).loss
            found.backward()
            loss += float(found.detach())
        return loss

    loss = step(model, batches[0])
    names = {name: p.grad.detach().float().cpu() for name, p in model.named_parameters() if p.grad is not None}
    with NamedTemporaryFile(suffix=".safetensors", delete=False) as file:
        save_file({name: tensor.contiguous() for name, tensor in names.items()}, file.name)
    model.zero_grad(set_to_none=True)
    took = shapes.measure(step, model, batches, device, float(seconds))
    print("PEER " + json.dumps({"loss": loss, "gradient": file.name, "took": took}))


main()
