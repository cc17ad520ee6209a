"""GGUF metadata -> the tokenizer files of a Hugging Face folder: the inverse of `gguf_vocabulary`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, cast

import msgspec

from afs import jsonl
from afs.errors import DataError
from afs.export.tokenizer_to_gguf import CONTROL, SPLITS, UNUSED, USER_DEFINED
from afs.types import Json

_SPECIAL = {"bos": "bos", "eos": "eos", "pad": "padding", "unk": "unknown", "eot": "eot"}
"""Special token -> its name in GGUF's `tokenizer.ggml.*_token_id`."""
_BYTE_LEVEL: Json = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
_IGNORES_MERGES = ("llama-bpe",)
"""Splitting rules whose models take a word that is in the vocabulary whole."""


class GgufVocabulary(NamedTuple):
    """A tokenizer as GGUF holds it."""

    model: str
    """gpt2 (byte-level BPE) or llama (SentencePiece with byte fallback)."""
    pre: str
    tokens: Sequence[str]
    kinds: Sequence[int]
    merges: Sequence[str]
    scores: Sequence[float]
    special: Mapping[str, int]
    add_bos: bool
    add_eos: bool
    add_space: bool
    template: str

    @staticmethod
    def read(values: Json, path: Path) -> GgufVocabulary:
        """The tokenizer in a file's metadata; one that cannot be rebuilt is a DataError."""
        model = str(values.get("tokenizer.ggml.model", "none"))
        if model not in ("gpt2", "llama"):
            raise DataError(f"{path}: a {model} tokenizer; byte-level BPE (gpt2) and SentencePiece (llama) are known")
        tokens = cast(list[str], values.get("tokenizer.ggml.tokens") or [])
        kinds = cast(list[int], values.get("tokenizer.ggml.token_type") or [1] * len(tokens))
        merges = cast(list[str], values.get("tokenizer.ggml.merges") or [])
        scores = cast(list[float], values.get("tokenizer.ggml.scores") or [])
        lacks = "merges" if model == "gpt2" and not merges else "scores" if model == "llama" and not scores else ""
        if not tokens or lacks:
            raise DataError(f"{path}: its tokenizer has no {lacks or 'tokens'}")
        found = {name: values.get(f"tokenizer.ggml.{key}_token_id") for name, key in _SPECIAL.items()}
        special = {name: number for name, number in found.items() if isinstance(number, int) and number < len(tokens)}
        if "eos" not in special:
            raise DataError(f"{path}: no end-of-text token is named (tokenizer.ggml.eos_token_id)")
        return GgufVocabulary(
            model,
            str(values.get("tokenizer.ggml.pre", "default")),
            tokens,
            kinds,
            merges,
            scores,
            special,
            add_bos=bool(values.get("tokenizer.ggml.add_bos_token", model == "llama")),
            add_eos=bool(values.get("tokenizer.ggml.add_eos_token", False)),
            add_space=bool(values.get("tokenizer.ggml.add_space_prefix", model == "llama")),
            template=str(values.get("tokenizer.chat_template", "")),
        )

    def generation_table(self) -> Json:
        """The `generation_config.json`: where an answer ends."""
        ends = list(dict.fromkeys(self.special[name] for name in ("eos", "eot") if name in self.special))
        others = {f"{name}_token_id": self.special[name] for name in ("bos", "pad") if name in self.special}
        return {"eos_token_id": ends if len(ends) > 1 else ends[0], **others}


def write_tokenizer(words: GgufVocabulary, target: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and the chat template."""
    settings: Json = {
        f"{name}_token": words.tokens[words.special[name]]
        for name in ("bos", "eos", "pad", "unk")
        if name in words.special
    }
    settings |= {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False}
    jsonl.replace(target / "tokenizer.json", msgspec.json.encode(tokenizer_table(words)))
    jsonl.replace(target / "tokenizer_config.json", msgspec.json.format(msgspec.json.encode(settings), indent=2))
    if words.template:
        jsonl.replace(target / "chat_template.jinja", words.template.encode())


def tokenizer_table(words: GgufVocabulary) -> Json:
    """The `tokenizer.json`."""
    byte_level = words.model == "gpt2"
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added_tokens(words),
        "normalizer": None if byte_level else space_normalizer(words),
        "pre_tokenizer": pre_tokenizer(words) if byte_level else None,
        "post_processor": post_processor(words),
        "decoder": _BYTE_LEVEL if byte_level else piece_decoder(words),
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": None if byte_level else words.tokens[words.special.get("unk", 0)],
            "continuing_subword_prefix": None,
            "end_of_word_suffix": None,
            "fuse_unk": not byte_level,
            "byte_fallback": not byte_level,
            "ignore_merges": words.pre in _IGNORES_MERGES,
            "vocab": {text: number for number, text in enumerate(words.tokens) if words.kinds[number] != UNUSED},
            "merges": [list(merge) for merge in split_merges(words)],
        },
    }


def added_tokens(words: GgufVocabulary) -> list[Json]:
    """Tokens that are recognized in text before it is split."""
    kept = {CONTROL: True, USER_DEFINED: False}
    return [
        {
            "id": number,
            "content": text,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": kept[words.kinds[number]],
        }
        for number, text in enumerate(words.tokens)
        if words.kinds[number] in kept
    ]


def pre_tokenizer(words: GgufVocabulary) -> Json:
    """How text is split before merging, by llama.cpp's name for it."""
    if words.pre == "smollm":
        return {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, _BYTE_LEVEL]}
    if words.pre in ("gpt-2", "default"):
        return _BYTE_LEVEL
    patterns = {name: pattern for pattern, name in SPLITS.items()}
    if words.pre not in patterns:
        known = ", ".join(["smollm", "gpt-2", *patterns])
        raise DataError(f"the tokenizer splits text by llama.cpp's rule {words.pre!r}; known: {known}")
    split = {"type": "Split", "pattern": {"Regex": patterns[words.pre]}, "behavior": "Isolated", "invert": False}
    return {"type": "Sequence", "pretokenizers": [split, {**_BYTE_LEVEL, "use_regex": False}]}


def space_normalizer(words: GgufVocabulary) -> Json:
    """SentencePiece writes spaces as a block character, and one before the text where the file says so."""
    replace: Json = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    steps = [{"type": "Prepend", "prepend": "▁"}, replace] if words.add_space else [replace]
    return {"type": "Sequence", "normalizers": steps}


def piece_decoder(words: GgufVocabulary) -> Json:
    """SentencePiece tokens back to text."""
    steps: list[Json] = [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ]
    if words.add_space:
        steps.append({"type": "Strip", "content": " ", "start": 1, "stop": 0})
    return {"type": "Sequence", "decoders": steps}


def post_processor(words: GgufVocabulary) -> Json | None:
    """The begin and end tokens that encoding adds by itself."""
    first = [words.tokens[words.special["bos"]]] if words.add_bos and "bos" in words.special else []
    last = [words.tokens[words.special["eos"]]] if words.add_eos else []
    if not first and not last:
        return None
    numbers = {text: words.tokens.index(text) for text in [*first, *last]}

    def sequence(name: str, kind: int) -> list[Json]:
        tokens: list[Json] = [{"SpecialToken": {"id": text, "type_id": kind}} for text in first]
        ends: list[Json] = [{"SpecialToken": {"id": text, "type_id": kind}} for text in last]
        return [*tokens, {"Sequence": {"id": name, "type_id": kind}}, *ends]

    return {
        "type": "TemplateProcessing",
        "single": sequence("A", 0),
        "pair": [*sequence("A", 0), *sequence("B", 1)],
        "special_tokens": {text: {"id": text, "ids": [number], "tokens": [text]} for text, number in numbers.items()},
    }


def split_merges(words: GgufVocabulary) -> list[tuple[str, str]]:
    """The merges in order; SentencePiece holds scores instead, whose order says which pair is merged first."""
    if words.model == "gpt2":
        return [(left, right) for left, _, right in (merge.partition(" ") for merge in words.merges)]
    ranks = {text: number for number, text in enumerate(words.tokens)}
    ordered = sorted(
        (number for number, text in enumerate(words.tokens) if len(text) > 1 and words.kinds[number] == 1),
        key=lambda number: -words.scores[number],
    )
    found: list[tuple[str, str]] = []
    for number in ordered:
        text = words.tokens[number]
        cuts = [(text[:at], text[at:]) for at in range(1, len(text)) if text[:at] in ranks and text[at:] in ranks]
        found += sorted(cuts, key=lambda pair: (ranks[pair[0]], ranks[pair[1]]))
    return found
