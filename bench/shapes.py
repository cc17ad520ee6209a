"""Models of random weights with real shapes, for the benchmarks of shipping: written once, tensor by tensor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from afs.export.safetensors_files import Planned, write_safetensors
from afs.export.tokenizer_to_gguf import SPLITS

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def tokenizer(folder: Path) -> int:
    """A small trained tokenizer of Qwen's kind."""
    made = Tokenizer(models.BPE())
    split = next(pattern for pattern, name in SPLITS.items() if name == "qwen2")
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(split), "isolated"), byte_level])
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    made.train_from_iterator(["lda sta jsl rep sep"], trainer)
    made.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "tokenizer_class": "Qwen2Tokenizer"}
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(settings))
    return made.get_vocab_size()


def model(folder: Path, layers: int, *, hidden: int = 3584, inner: int = 18944, heads: int = 28, kv: int = 4) -> int:
    """Qwen2.5-7B's shapes with fewer layers, bf16; how many bytes."""
    folder.mkdir(parents=True)
    vocabulary = tokenizer(folder)
    dim = hidden // heads
    config = {
        "architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2", "hidden_size": hidden,
        "num_hidden_layers": layers, "num_attention_heads": heads, "num_key_value_heads": kv,
        "intermediate_size": inner, "vocab_size": vocabulary, "max_position_embeddings": 4096,
        "rms_norm_eps": 1e-6, "rope_theta": 1000000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
        "hidden_act": "silu",
    }  # fmt: skip
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(layers):
        at = f"model.layers.{layer}."
        shapes |= {
            f"{at}self_attn.q_proj.weight": (hidden, hidden), f"{at}self_attn.q_proj.bias": (hidden,),
            f"{at}self_attn.k_proj.weight": (kv * dim, hidden), f"{at}self_attn.k_proj.bias": (kv * dim,),
            f"{at}self_attn.v_proj.weight": (kv * dim, hidden), f"{at}self_attn.v_proj.bias": (kv * dim,),
            f"{at}self_attn.o_proj.weight": (hidden, hidden), f"{at}mlp.gate_proj.weight": (inner, hidden),
            f"{at}mlp.up_proj.weight": (inner, hidden), f"{at}mlp.down_proj.weight": (hidden, inner),
            f"{at}input_layernorm.weight": (hidden,), f"{at}post_attention_layernorm.weight": (hidden,),
        }  # fmt: skip
    shapes |= {"model.norm.weight": (hidden,), "lm_head.weight": (vocabulary, hidden)}
    random = np.random.default_rng(0)
    noise = (random.standard_normal(1 << 20).astype(np.float32) * 0.02).view(np.uint32) >> 16
    pool = np.tile(noise.astype(np.uint16), 4)

    def parts(shape: tuple[int, ...]) -> Iterator[np.ndarray]:
        left = int(np.prod(shape))
        while left:
            step = min(left, len(pool))
            yield pool[:step]
            left -= step

    rows = [Planned(name, "BF16", shape, lambda shape=shape: parts(shape)) for name, shape in shapes.items()]
    half = len(rows) // 2
    write_safetensors(folder / "model-00001-of-00002.safetensors", rows[:half])
    write_safetensors(folder / "model-00002-of-00002.safetensors", rows[half:])
    table = {row.name: f"model-0000{1 + (place >= half)}-of-00002.safetensors" for place, row in enumerate(rows)}
    index = {"metadata": {"total_size": sum(row.size for row in rows)}, "weight_map": table}
    (folder / "model.safetensors.index.json").write_bytes(msgspec.json.encode(index))
    return sum(row.size for row in rows)


def adapter(folder: Path, base: Path, rank: int = 16) -> None:
    """A LoRA adapter on all seven projections."""
    folder.mkdir(parents=True)
    config = msgspec.json.decode((base / "config.json").read_bytes())
    hidden, inner = config["hidden_size"], config["intermediate_size"]
    small = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    random = np.random.default_rng(1)
    rows = []
    for layer in range(config["num_hidden_layers"]):
        for part, out, into in (
            ("self_attn.q_proj", hidden, hidden), ("self_attn.k_proj", small, hidden),
            ("self_attn.v_proj", small, hidden), ("self_attn.o_proj", hidden, hidden),
            ("mlp.gate_proj", inner, hidden), ("mlp.up_proj", inner, hidden), ("mlp.down_proj", hidden, inner),
        ):  # fmt: skip
            at = f"base_model.model.model.layers.{layer}.{part}.lora_"
            for half, shape in (("A", (rank, into)), ("B", (out, rank))):
                values = (random.standard_normal(shape) * 0.01).astype(np.float32)
                rows.append(Planned(f"{at}{half}.weight", "F32", shape, lambda values=values: [values]))
    write_safetensors(folder / "adapter_model.safetensors", rows)
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": 2 * rank, "base_model_name_or_path": "base"}
    (folder / "adapter_config.json").write_bytes(msgspec.json.encode(settings))
