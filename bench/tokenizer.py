"""Tokens per line: the pack's tokenizer against byte-level BPE of Qwen2's structure, same texts, same size.

    python bench/tokenizer.py [--small] [--size 8192] [--also DIR]

Texts are made by the pack's own task families and questions; what is measured was made from other seeds. `--also`
measures the sources below a folder too (they are not trained on).
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from afs.domains.snes.knowledge.fact_questions import draw_questions
from afs.domains.snes.tasks import draw_tasks
from afs.domains.snes.tokenizer import SPECIAL, sources, train

QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""How Qwen2 cuts a text before merges."""
FAMILIES = ("generate", "optimize", "debug", "explain", "translate")
CODE = re.compile(r"```\w*\n(.*?)```", re.DOTALL)


def qwen2_structure(texts: Iterable[str], size: int) -> Tokenizer:
    """Byte-level BPE as Qwen2 is built, trained here."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(QWEN2), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIAL),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def corpus(seed: int, per_family: int) -> Iterator[str]:
    """Prompts with their reference answers."""
    for family in FAMILIES:
        for task in draw_tasks(family, seed, per_family):
            yield f"{task.prompt}\n{task.reference}\n"
    for one in draw_questions(seed, per_family):
        yield f"{one.prompt}\n{one.answer}\n"


def measure(tokenizer: Tokenizer, texts: list[str]) -> tuple[int, float, bool]:
    """(tokens, characters per second in millions, does every text come back?)."""
    started = time.perf_counter()
    encoded = tokenizer.encode_batch(texts, add_special_tokens=False)
    seconds = time.perf_counter() - started
    back = all(
        tokenizer.decode(e.ids, skip_special_tokens=False) == text for e, text in zip(encoded, texts, strict=True)
    )
    return sum(len(e.ids) for e in encoded), sum(map(len, texts)) / seconds / 1e6, back


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--size", type=int, default=8192)
    parser.add_argument("--also", type=Path, action="append", default=[])
    given = parser.parse_args()
    count = 40 if given.small else 400
    learned = list(corpus(1, count))
    held = list(corpus(2, max(count // 4, 10)))
    mine = train(learned, given.size)
    size = mine.get_vocab_size()
    rows = {"pack": mine, "qwen2 structure": qwen2_structure(learned, size)}
    sets = {"tasks": held, "code of tasks": [code for text in held for code in CODE.findall(text)]}
    sets |= {folder.name: list(sources([folder], (".asm",))) for folder in given.also}
    print(f"trained on {len(learned)} texts, {sum(map(len, learned)) / 1e6:.2f} M characters; {size} tokens each")
    print(f"{'texts':<16} {'tokenizer':<16} {'lines':>7} {'tokens':>8} {'per line':>9} {'M chars/s':>10}  back")
    for name, texts in sets.items():
        lines = sum(1 for text in texts for line in text.splitlines() if line.strip())
        for label, tokenizer in rows.items():
            tokens, speed, back = measure(tokenizer, texts)
            row = f"{name:<16} {label:<16} {lines:>7} {tokens:>8} {tokens / max(lines, 1):>9.2f} {speed:>10.1f}"
            print(f"{row}  {'yes' if back else 'NO'}")


if __name__ == "__main__":
    main()
