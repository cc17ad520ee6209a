"""The pack's command `tokenizer`: train a tokenizer for 65816 source and save it as a Hugging Face folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Final

from afs.config import Config
from afs.domains.snes.knowledge.fact_questions import draw_questions
from afs.domains.snes.tasks import draw_tasks
from afs.domains.snes.tokenizer import load, save, sources, train
from afs.errors import DataError, UsageError
from afs.types import Value

_KINDS: Final = ("generate", "debug", "explain", "translate")


class TokenizerConfig(Config, frozen=True, kw_only=True):
    """What to learn from."""

    positional: ClassVar[tuple[str, ...]] = ("sources",)
    short: ClassVar[dict[str, str]] = {"o": "out"}

    sources: tuple[Path, ...] = ()
    """Source files or folders of them; none: texts made by the pack's own task families."""
    out: Path
    """Folder to write."""
    size: int = 8192
    """Tokens at most; fewer when the texts hold no more to learn."""
    count: int = 200
    """Tasks per kind when there are no sources."""
    seed: int = 1
    """Seed of those tasks."""


class TokenizerCard(Value, frozen=True, kw_only=True):
    """A tokenizer that was written, measured on the texts it was trained on."""

    folder: str
    tokens: int
    texts: int
    lines: int
    per_line: float


def tokenizer(config: TokenizerConfig) -> TokenizerCard:
    """Train, save, load again and measure."""
    missing = [path for path in config.sources if not path.exists()]
    if missing:
        raise DataError(f"{missing[0]}: no such file or folder")
    texts = list(sources(config.sources)) if config.sources else list(_own(config))
    if not any(texts):
        raise UsageError("no text to learn from: the folders hold no .asm, .s, .inc, .txt or .md file")
    try:
        trained = train(texts, config.size)
    except ValueError as error:
        raise UsageError(f"--{error}") from error
    save(trained, config.out)
    ready = load(config.out)
    lines = sum(1 for text in texts for line in text.splitlines() if line.strip())
    tokens = sum(len(one.ids) for one in ready.encode_batch(texts, add_special_tokens=False))
    return TokenizerCard(
        folder=str(config.out),
        tokens=ready.get_vocab_size(),
        texts=len(texts),
        lines=lines,
        per_line=round(tokens / max(lines, 1), 2),
    )


def _own(config: TokenizerConfig) -> Iterator[str]:
    for kind in _KINDS:
        for task in draw_tasks(kind, config.seed, config.count):
            yield f"{task.prompt}\n{task.reference}\n"
    for one in draw_questions(config.seed, config.count):
        yield f"{one.prompt}\n{one.answer}\n"
