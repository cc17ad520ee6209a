"""Redaction: throughput per core, planted kinds found, false flags on assembly; beside detect-secrets when it is there.

    python bench/redact.py [--small] [--peers FOLDER] [--asm FOLDER]

FOLDER is what `pip install --target FOLDER detect-secrets` made; --asm names a tree of real assembly.
"""

from __future__ import annotations

import argparse
import importlib
import random
import sys
import time
from collections import Counter
from pathlib import Path

from planted import corpus

from afs.redaction import Redactor

HEX, WORD = "0123456789abcdef", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


def planted(rng: random.Random) -> dict[str, str]:
    """One secret of every kind."""

    def of(alphabet: str, n: int) -> str:
        return "".join(rng.choice(alphabet) for _ in range(n))

    return {
        "openrouter": f"sk-or-v1-{of(HEX, 64)}", "anthropic": f"sk-ant-api03-{of(WORD, 80)}", "openai": f"sk-proj-{of(WORD, 48)}",  # noqa: E501
        "google": f"AIza{of(WORD, 35)}", "aws": f"AKIA{of('ABCDEFGHIJKLMNOPQRSTUVWXYZ234567', 16)}", "github": f"ghp_{of(WORD, 36)}",  # noqa: E501
        "huggingface": f"hf_{of(WORD, 34)}", "slack": f"xoxb-{of('0123456789', 12)}-{of(WORD, 24)}", "jwt": f"eyJhbGciOiJI.eyJzdWIiOiIx.{of(WORD, 43)}",  # noqa: E501
        "bearer": f"Authorization: Bearer {of(WORD, 32)}", "private key": f"-----BEGIN PRIVATE KEY-----\n{of(WORD, 64)}\n-----END PRIVATE KEY-----",  # noqa: E501
        "assigned": f"API_KEY={of(WORD, 28)}", "email": f"{of('abcdefgh', 6)}@corp.org", "ipv4": f"10.{rng.randrange(256)}.{rng.randrange(40, 256)}.7",  # noqa: E501
        "url password": f"https://bob:{of(WORD, 12)}@host/x", "home path": f"/home/{of('abcdefgh', 7)}/src",
    }  # fmt: skip


def main() -> None:
    """Clean and planted texts through the rules."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--peers", default="")
    parser.add_argument("--asm", type=Path)
    given = parser.parse_args()
    texts = corpus(2_000 if given.small else 20_000).texts
    size = sum(len(t.encode()) for t in texts) / 1e6
    redactor = Redactor(salt=b"bench", names=())
    started = time.process_time()
    flagged = sum(redactor.text(t) != t for t in texts)
    clean = time.process_time() - started
    rng = random.Random(5)
    dirty = [
        (kind, secret, texts[i])
        for i in range(len(texts) // 10)
        for kind, secret in [list(planted(rng).items())[i % 16]]
    ]
    started = time.process_time()
    outputs = [redactor.text(f"{t}\n{s}\nend") for _, s, t in dirty]
    busy = time.process_time() - started
    found = Counter(k for (k, s, _), out in zip(dirty, outputs, strict=True) if s.split("=")[-1].split()[-1] not in out)
    total = Counter(k for k, *_ in dirty)
    print(
        "| tool | clean MB/s | planted MB/s | kinds found whole | recall | false flags |\n| --- | --- | --- | --- | --- | --- |"  # noqa: E501
    )
    whole = sum(found[k] == total[k] for k in total)
    recall = sum(found.values()) / len(dirty)
    print(
        f"| afs | {size / clean:.0f} | {size / 10 / busy:.0f} | {whole}/{len(total)} | {recall:.4f} | {flagged} of {len(texts):,} |"  # noqa: E501
    )
    show_density()
    if given.peers:
        sys.path.append(given.peers)
        detect_secrets([t for *_, t in dirty], dirty)
    if given.asm:
        real(given.asm, redactor)


def dense(rng: random.Random, gap: int, count: int) -> str:
    """A text with a secret of some kind every `gap` characters and a few."""
    words = ("player", "screen", "sprite", "lda", "sta", "table", "value", "of", "the", "copy")
    return "".join(
        " ".join(rng.choice(words) for _ in range(gap // 6)) + f"\n{list(planted(rng).values())[i % 16]}\n"
        for i in range(count)
    )


def show_density() -> None:
    """Throughput by density of secrets, and on one line of ten megabytes."""
    print("\n| text | MB | MB / CPU s |\n| --- | --- | --- |")
    rng = random.Random(3)
    texts = {
        f"a secret per {len(text) // count} characters": text
        for gap, count in ((24, 12_000), (250, 3_000), (1_400, 1_000))
        for text in [dense(rng, gap, count)]
    }
    texts |= {f"one line of `{part}`": part * (10_000_000 // len(part)) for part in ("a", "x" * 60 + " ", "key=a1b2, ")}
    for name, text in texts.items():
        redactor = Redactor(salt=b"bench", names=())
        redactor.text("x")
        started = time.process_time()
        redactor.text(text)
        print(f"| {name} | {len(text) / 1e6:.1f} | {len(text) / 1e6 / (time.process_time() - started):.1f} |")


def detect_secrets(clean: list[str], dirty: list[tuple[str, str, str]]) -> None:
    """detect-secrets, line by line, on a small part."""
    scan = importlib.import_module("detect_secrets.core.scan")
    settings = importlib.import_module("detect_secrets.settings")
    with settings.default_settings():
        part, planted_part = clean[:40], dirty[:160]
        started = time.process_time()
        false = sum(any(list(scan.scan_line(line)) for line in text.splitlines()) for text in part)
        spent = time.process_time() - started
        hits = Counter(
            kind for kind, secret, _ in planted_part if any(list(scan.scan_line(x)) for x in secret.splitlines())
        )
    total = Counter(kind for kind, *_ in planted_part)
    whole = sum(hits[k] == total[k] for k in total)
    rate = sum(len(t) for t in part) / 1e6 / spent
    recall = sum(hits.values()) / len(planted_part)
    print(f"| detect-secrets | {rate:.2f} | | {whole}/{len(total)} | {recall:.4f} | {false} of {len(part)} |")


def real(folder: Path, redactor: Redactor) -> None:
    """False flags on a real tree, to be read by a person."""
    hits: Counter[str] = Counter()
    files = [p for p in folder.rglob("*") if p.suffix.lower() in (".asm", ".s", ".inc", ".a65") and p.is_file()]
    size = 0
    for path in files:
        text = path.read_text("utf-8", "replace")
        size += len(text)
        hits.update(redactor.finds(text))
    print(f"real assembly: {len(files)} files, {size / 1e6:.1f} MB, flagged: {dict(hits)}")


if __name__ == "__main__":
    main()
