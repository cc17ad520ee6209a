"""Tiny models for the tests of shipping: real folders with a locally trained tokenizer, random weights, no torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest
from safetensors.numpy import save_file
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

TEMPLATE = (
    "{%- for m in messages %}{%- if m.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}{%- generation %}"
    "{{- m.content + '<|im_end|>' }}{%- endgeneration %}{{- '\n' }}"
    "{%- else %}{{- '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEXTS = ["lda #$01 : sta $7E0010", "rep #$30 ; sixteen bits", "hello wonderful world, it's 42 o'clock", "jsl routine"]


def write_tokenizer(folder: Path) -> int:
    """Train a byte-level BPE tokenizer into a folder; its size."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN_SPLIT), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=320, special_tokens=SPECIALS, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_bytes(msgspec.json.encode(settings))
    return tokenizer.get_vocab_size()


def write_model(folder: Path, architecture: str = "Qwen2ForCausalLM", *, seed: int = 0, **changes: object) -> Path:
    """A model folder with random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config: dict[str, object] = {
        "architectures": [architecture],
        "model_type": "qwen2",
        "hidden_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "intermediate_size": 256,
        "vocab_size": write_tokenizer(folder),
        "max_position_embeddings": 512,
        "rms_norm_eps": 1e-6,
        "rope_parameters": {"rope_theta": 10000.0, "rope_type": "default"},
        "rope_theta": 10000.0,
        "tie_word_embeddings": True,
        **changes,
    }
    (folder / "config.json").write_bytes(msgspec.json.encode(config))
    save_file(random_tensors(config, np.random.default_rng(seed)), str(folder / "model.safetensors"))
    return folder


def random_tensors(config: dict[str, object], random: np.random.Generator) -> dict[str, np.ndarray]:
    """Weights of the right names and shapes."""
    hidden, inner, heads = (
        int(config["hidden_size"]),
        int(config["intermediate_size"]),
        int(config["num_attention_heads"]),
    )
    dim = int(config.get("head_dim", hidden // heads))
    kv = int(config["num_key_value_heads"]) * dim
    made: dict[str, np.ndarray] = {}

    def matrix(name: str, rows: int, columns: int) -> None:
        made[name] = (random.standard_normal((rows, columns)) * columns**-0.5).astype(np.float32)

    matrix("model.embed_tokens.weight", int(config["vocab_size"]), hidden)
    for layer in range(int(config["num_hidden_layers"])):
        at = f"model.layers.{layer}."
        for part, rows, columns in (
            ("self_attn.q_proj", heads * dim, hidden),
            ("self_attn.k_proj", kv, hidden),
            ("self_attn.v_proj", kv, hidden),
            ("self_attn.o_proj", hidden, heads * dim),
            ("mlp.gate_proj", inner, hidden),
            ("mlp.up_proj", inner, hidden),
            ("mlp.down_proj", hidden, inner),
        ):
            matrix(f"{at}{part}.weight", rows, columns)
            if part[-6] in "qkv" and part.startswith("self") and "Qwen2" in str(config["architectures"]):
                made[f"{at}{part}.bias"] = (random.standard_normal(rows) * 0.02).astype(np.float32)
        for norm in ("input_layernorm", "post_attention_layernorm"):
            made[f"{at}{norm}.weight"] = (1 + 0.1 * random.standard_normal(hidden)).astype(np.float32)
        if "Qwen3" in str(config["architectures"]):
            for norm in ("self_attn.q_norm", "self_attn.k_norm"):
                made[f"{at}{norm}.weight"] = (1 + 0.1 * random.standard_normal(dim)).astype(np.float32)
    made["model.norm.weight"] = (1 + 0.1 * random.standard_normal(hidden)).astype(np.float32)
    if not config["tie_word_embeddings"]:
        matrix("lm_head.weight", int(config["vocab_size"]), hidden)
    return made


def write_adapter(
    folder: Path, model: Path, *, seed: int = 1, rank: int = 8, size: float = 0.3, **settings: object
) -> Path:
    """A LoRA adapter on q_proj and down_proj of a model folder, as PEFT writes it."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    shape = msgspec.json.decode((model / "config.json").read_bytes())
    made = {}
    for layer in range(shape["num_hidden_layers"]):
        for part, rows, columns in (
            ("self_attn.q_proj", shape["hidden_size"], shape["hidden_size"]),
            ("mlp.down_proj", shape["hidden_size"], shape["intermediate_size"]),
        ):
            at = f"base_model.model.model.layers.{layer}.{part}"
            made[f"{at}.lora_A.weight"] = (random.standard_normal((rank, columns)) * columns**-0.5).astype(np.float32)
            made[f"{at}.lora_B.weight"] = (random.standard_normal((rows, rank)) * size).astype(np.float32)
            if settings.get("use_dora"):
                made[f"{at}.lora_magnitude_vector"] = (1 + random.random(rows)).astype(np.float32)
    save_file(made, str(folder / "adapter_model.safetensors"))
    table = {"peft_type": "LORA", "r": rank, "lora_alpha": 16, "base_model_name_or_path": "tiny", **settings}
    (folder / "adapter_config.json").write_bytes(msgspec.json.encode(table))
    return folder


@pytest.fixture(autouse=True)
def _short_probes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parity on the first tokens of each probe: tiny models need no more."""
    monkeypatch.setattr("afs.export.parity._PLACES", 8)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny Qwen2 folder."""
    return write_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture
def make_model(tmp_path: Path) -> Callable[..., Path]:
    """Makes further model folders."""
    return lambda name="model", *args, **changes: write_model(tmp_path / name, *args, **changes)


@pytest.fixture
def make_adapter(tmp_path: Path) -> Callable[..., Path]:
    """Makes adapters."""
    return lambda name, model, **settings: write_adapter(tmp_path / name, model, **settings)
