"""The report of 2,000 items × 5 models: how large the page, how long it takes."""

from __future__ import annotations

import random
import sys
import time

import msgspec

from afs.evaluate import report
from afs.evaluate.result_rows import ResultRow, Table
from afs.evaluate.suite_types import Suite, SuiteItem
from afs.providers.base import Sampling
from afs.types import Task


def main() -> None:
    items = 200 if "--small" in sys.argv else 2000
    rng = random.Random(3)
    prompt = "Write a 65816 routine that adds the word at ${0:04X} to the word at ${1:04X}. " * 4
    answer = "Here it is:\n\n```asm\n" + "\n".join("    lda $%04X,x  ; word" for _ in range(30)) + "\n```\n"
    tasks = [
        Task(id=f"item-{i:05d}", domain="snes", family=f"f{i % 40}", prompt=prompt.format(i, i + 2),
             reference="x" * 300, group=str(i // 3))
        for i in range(items)
    ]  # fmt: skip
    suite = Suite(
        name="made", items=tuple(SuiteItem(task=t, category=f"category {i % 9}") for i, t in enumerate(tasks))
    )
    digest, rows = suite.digest, []
    for model, share in (("expert@2", 0.72), ("expert@1", 0.6), ("other@4", 0.55), ("third@1", 0.5), ("base@1", 0.48)):
        for item in suite.items:
            ok = rng.random() < share
            text = answer % tuple(rng.randrange(65536) for _ in range(30))
            rows.append(
                ResultRow(
                    suite=digest, item=item.id, family=item.task.family, category=item.category, cluster=item.cluster,
                    model=model, sampling=Sampling(), outcome="answered", score=float(ok), ok=ok, scorer="snes/1",
                    stage="contract", reason="" if ok else "differs at $12", output=text, seconds=rng.uniform(1, 5),
                    output_tokens=rng.randrange(50, 400), facts={"cycles": rng.randrange(20, 90), "bytes": 20},
                )
            )  # fmt: skip
    models = tuple({"model": m, "digest": "", "base": "", "form": "gguf"} for m in ("expert@2", "base@1"))
    facts = report.Facts(suite, models, "expert@2", "base@1", "solved", "unsolved", Sampling(), "afs eval run …", "run")
    started = time.monotonic()
    built = report.build_report(facts, Table(rows))
    seconds = time.monotonic() - started
    manifest = len(msgspec.json.encode(built.report)) / 1e6
    sizes = ", ".join(f"{name} {len(content) / 1e6:.2f} MB" for name, content in built.pages)
    print(f"{items} items × 5 models: {seconds:.2f} s; {sizes}; manifest {manifest:.2f} MB")


if __name__ == "__main__":
    main()
