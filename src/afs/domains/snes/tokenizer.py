"""A tokenizer for 65816 source: mnemonics, registers, directives and hex bytes are one token, the rest byte-level BPE.

Every text comes back as it was and no token is unknown: what no unit and no merge covers falls back to its bytes. The
result is an ordinary Hugging Face tokenizer folder.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from afs.domains.snes import isa
from afs.domains.snes.knowledge.registers import list_registers

SPECIAL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
_WORDS: Final = """
org base skip align pushpc pullpc db dw dl dd fill fillbyte fillword filllong pad padbyte table cleartable incsrc
incbin macro endmacro if elseif else endif while endwhile for endfor rep struct endstruct namespace pushns pullns
function print error warn assert warnpc lorom hirom exlorom exhirom sa1rom fullsa1rom sfxrom norom arch math check
include includeonce freecode freedata freespace autoclean prot pushtable pulltable undef optimize bank offset global
bankcross
"""
DIRECTIVES: Final = tuple(_WORDS.split())
"""Words of the assembler's language."""

_HEX: Final = "0-9A-Fa-f"


def _addresses() -> str:
    """Register addresses, each one token."""
    return "|".join(f"{one.address:04X}" for one in list_registers() if one.space == "cpu")


def _pattern() -> str:
    """How a text is cut before merges: an alternation, first match first."""
    end = "(?![A-Za-z0-9_])"
    return "|".join(
        (
            r"\r?\n[ \t]*",
            rf"\.[bwlBWL]{end}(?: #\$| \$| #| )?",
            r" ?#\$| ?\(\$| ?\[\$| \$|\$",
            rf"(?<=\$)(?i:{_addresses()})(?![{_HEX}])",
            *(rf"(?<=\$[{_HEX}]{{{n}}})[{_HEX}]{{2}}" if n else rf"(?<=\$)[{_HEX}]{{2}}" for n in (0, 2, 4)),
            rf",[sS]\),[yY]{end}|,[xX]\)|,[xysXYS]{end}|[)\]],[yY]{end}|,\$",
            r" ?[A-Za-z_][A-Za-z0-9_]*",
            r" ?[0-9]{1,3}",
            r" ?[^\sA-Za-z0-9_$#]+",
            r"[ \t]+(?=[ \t])|\s",
        )
    )


def units() -> list[str]:
    """Texts that are one token whatever the corpus: in both cases, with and without a space before."""
    words = [*sorted(isa.MNEMONICS), *DIRECTIVES]
    names = [name for one in list_registers() if one.space == "cpu" for name in (one.name, *one.aliases)]
    both = [*words, *(word.upper() for word in words), *names]
    operands = [" #$", " $", "#$", "$", " ($", " [$", ",x", ",y", ",s", "),y", "],y", ",s),y", ",x)", ",$"]
    suffixes = [f".{letter}{tail}" for letter in "bwlBWL" for tail in ("", " ", " $", " #$", " #")]
    breaks = ["\n", *("\n" + " " * n for n in (2, 4, 8)), "\n\t"]
    hexa = [f"{byte:02{case}}" for case in "Xx" for byte in range(256)]
    addresses = [format(one.address, f"04{case}") for case in "Xx" for one in list_registers() if one.space == "cpu"]
    spaced = [text for word in both for text in (word, f" {word}")]
    upper = [text.upper() for text in operands]
    return list(dict.fromkeys([*spaced, *operands, *upper, *suffixes, *breaks, *hexa, *addresses]))


def _empty() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_pattern()), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def _as_bytes(text: str) -> str:
    """How byte-level BPE writes a text in its vocabulary."""
    pieces = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return "".join(piece for piece, _ in pieces)


def train(texts: Iterable[str], size: int = 8192) -> Tokenizer:
    """Learn merges from texts; at most `size` tokens, units, bytes and special tokens included."""
    wanted = [_as_bytes(unit) for unit in units()]
    floor = len(wanted) + 256 + len(SPECIAL)
    tokenizer = _empty()
    trainer = trainers.BpeTrainer(
        vocab_size=max(size - len(wanted), 256 + len(SPECIAL)),
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    if size < floor:
        raise ValueError(f"size: want at least {floor} (units, bytes and special tokens), got {size}")
    tokenizer.train_from_iterator(texts, trainer)
    table = json.loads(tokenizer.to_str())
    vocab: dict[str, int] = table["model"]["vocab"]
    for unit in wanted:
        vocab.setdefault(unit, len(vocab))
    table["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(table))


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write a folder that `AutoTokenizer.from_pretrained` loads."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": None,
        "eos_token": SPECIAL[2],
        "pad_token": SPECIAL[3],
        "unk_token": None,
        "clean_up_tokenization_spaces": False,
        "add_prefix_space": False,
        "model_max_length": 32768,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", "utf-8")


def load(folder: Path) -> Tokenizer:
    """Read a folder that `save` wrote."""
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def sources(
    folders: Iterable[Path], suffixes: tuple[str, ...] = (".asm", ".s", ".inc", ".txt", ".md")
) -> Iterator[str]:
    """Texts below folders, in the order of their names."""
    for folder in folders:
        paths = [folder] if folder.is_file() else sorted(folder.rglob("*"))
        for path in paths:
            if path.is_file() and (path == folder or path.suffix.lower() in suffixes):
                yield path.read_bytes().decode("utf-8", "replace")
