"""A Hugging Face tokenizer as GGUF metadata: tokens, merges, special ids, splitting rule and chat template."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from tokenizers import Tokenizer

from afs.chat_template import read_template
from afs.errors import DataError, boundary
from afs.export.model_families import read_json

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6
"""Kinds of tokens in GGUF."""
_WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
_REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPLITS: Mapping[str, str] = {
    _WORDS + r"\p{N}" + _REST: "qwen2",
    _WORDS + r"\p{N}{1,3}" + _REST: "llama-bpe",
}
"""Pattern by which text is split before merging -> what llama.cpp calls it."""
_BYTE_TOKEN = re.compile(r"^<0x[0-9A-F]{2}>$")
_GENERATION = re.compile(r"(\{%[-+]?\s*)(end)?generation(\s*[-+]?%\})")


class Vocabulary(NamedTuple):
    """A tokenizer as llama.cpp reads it."""

    model: str
    pre: str
    tokens: list[str]
    kinds: list[int]
    merges: list[str]
    scores: list[float]
    special: dict[str, int]
    """bos, eos, pad, eot, unk -> id."""
    add_bos: bool
    add_eos: bool
    add_space: bool
    template: str


def read_vocabulary(folder: Path, size: int) -> Vocabulary:
    """Read the tokenizer of a model folder for an embedding of `size` rows."""
    table = read_json(folder / "tokenizer.json")
    model = table.get("model", {})
    if model.get("type") != "BPE":
        raise DataError(f"{folder / 'tokenizer.json'}: a {model.get('type')} tokenizer; only BPE is known here")
    pieces = bool(model.get("byte_fallback"))
    tokens, kinds = token_list(table, model["vocab"], size, folder)
    settings = read_json(folder / "tokenizer_config.json") if (folder / "tokenizer_config.json").is_file() else {}
    special = special_ids(folder, settings, tokens)
    starts, ends = added_ends(folder, special)
    return Vocabulary(
        model="llama" if pieces else "gpt2",
        pre="default" if pieces else pre_tokenizer_name(table, folder),
        tokens=tokens,
        kinds=kinds,
        merges=[" ".join(merge) if isinstance(merge, list) else merge for merge in model.get("merges", [])],
        scores=[float(-number) for number in range(size)] if pieces else [],
        special=special,
        add_bos=starts,
        add_eos=ends,
        add_space=pieces and prepends_space(table),
        template=serving_template(folder),
    )


def token_list(table: dict[str, Any], vocab: dict[str, int], size: int, folder: Path) -> tuple[list[str], list[int]]:
    tokens = [f"[PAD{number}]" for number in range(size)]
    kinds = [UNUSED] * size
    added = {entry["content"]: entry for entry in table.get("added_tokens", [])}
    named = {**vocab, **{text: entry["id"] for text, entry in added.items()}}
    for text, number in named.items():
        if number >= size:
            raise DataError(f"{folder}: token {text!r} has id {number}, the model's embedding has {size} rows")
        tokens[number] = text
        if text in added:
            kinds[number] = CONTROL if added[text].get("special") else USER_DEFINED
        else:
            kinds[number] = BYTE if _BYTE_TOKEN.match(text) else NORMAL
    return tokens, kinds


def pre_tokenizer_name(table: dict[str, Any], folder: Path) -> str:
    """What llama.cpp calls this tokenizer's way of splitting text."""
    rules = flatten_rules(table.get("pre_tokenizer") or {})
    patterns = [rule.get("pattern", {}).get("Regex", "") for rule in rules if rule["type"] == "Split"]
    if patterns:
        if patterns[0] in SPLITS:
            return SPLITS[patterns[0]]
        raise DataError(
            f"{folder / 'tokenizer.json'}: splits text by a pattern llama.cpp has no name for here: {patterns[0]}; "
            "copy tokenizer.json from the base model unless tokens were added"
        )
    if any(rule["type"] == "Digits" for rule in rules):
        return "smollm"
    if any(rule["type"] == "ByteLevel" and rule.get("use_regex", True) for rule in rules):
        return "gpt-2"
    raise DataError(f"{folder / 'tokenizer.json'}: no rule for splitting text was recognized")


def flatten_rules(rule: dict[str, Any]) -> list[dict[str, Any]]:
    if rule.get("type") == "Sequence":
        return [inner for part in rule.get("pretokenizers", []) for inner in flatten_rules(part)]
    return [rule] if rule else []


def special_ids(folder: Path, settings: dict[str, Any], tokens: list[str]) -> dict[str, int]:
    """The ids of special tokens: the tokenizer's settings first, the model's config for what they leave open."""
    ids = {text: number for number, text in enumerate(tokens)}
    found: dict[str, int] = {}
    for name in ("bos", "eos", "pad", "unk"):
        value = settings.get(f"{name}_token")
        text = value.get("content") if isinstance(value, dict) else value
        if text in ids:
            found[name] = ids[text]
    for file in ("generation_config.json", "config.json"):
        table = read_json(folder / file) if (folder / file).is_file() else {}
        for name in ("bos", "eos", "pad"):
            value = table.get(f"{name}_token_id")
            value = value[0] if isinstance(value, list) and value else value
            if isinstance(value, int) and 0 <= value < len(tokens):
                found.setdefault(name, value)
    if found.get("eos") is None:
        raise DataError(f"{folder}: no end-of-text token is named; set eos_token in tokenizer_config.json")
    for text in ("<|im_end|>", "<|eot_id|>", "<|end|>"):
        if text in ids:
            found.setdefault("eot", ids[text])
    return found


def added_ends(folder: Path, special: dict[str, int]) -> tuple[bool, bool]:
    """Whether encoding puts the begin and end tokens round a text by itself, found by encoding one."""
    with boundary(DataError, str(folder / "tokenizer.json")):
        ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("a").ids
    return bool(ids) and ids[0] == special.get("bos"), bool(ids) and ids[-1] == special.get("eos")


def prepends_space(table: dict[str, Any]) -> bool:
    text = str(table.get("normalizer")) + str(table.get("pre_tokenizer"))
    return "'Prepend'" in text or "'prepend_scheme': 'always'" in text or "'prepend_scheme': 'first'" in text


def serving_template(folder: Path) -> str:
    """The template of training with its generation marks made neutral: llama.cpp does not know them."""
    return _GENERATION.sub(lambda m: f"{m[1]}endif{m[3]}" if m[2] else f"{m[1]}if true{m[3]}", read_template(folder))
