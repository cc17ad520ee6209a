"""Replies without a task: wrong ones refuted, right ones accused, time: python bench/council_verdicts.py

The questions are the prompts of the pack's own tasks; the verdict sees the words and the code, never the task. Wrong
answers without code (empty, prose, the question echoed) get `no code` and are counted apart. Times are CPU time.
10,000 wrong answers: --count 420 --seed 11, a family at a time.
"""

from __future__ import annotations

import argparse
import random
import re
import time
from collections import Counter
from pathlib import Path

from afs import answer_verifier
from afs.domains.base import NO_CODE, REFUTED, SAME_EFFECT
from afs.intervals import share_interval

NO_CODE_KINDS = {"empty", "prose", "echo"}


ROUTINE = re.compile(r"(^[A-Za-z_.][\w.]*:[^\n]*\n(?:[^\n]*\n){1,40}?\s*(?:rts|rtl|RTS|RTL)\b[^\n]*\n)", re.M)


def judge_sources(folder: Path, count: int) -> None:
    """Routines cut out of a project that works: whoever is accused is accused wrongly, or was cut wrongly."""
    pack = answer_verifier.load_pack("snes")
    files = sorted(folder.rglob("*.asm"))
    found = [match for file in files for match in ROUTINE.findall(file.read_text("utf-8", "replace"))]
    random.Random(1).shuffle(found)
    stages: Counter[str] = Counter()
    for code in found[:count]:
        stages[pack.check_reply("Show me a routine that does this.", f"Here:\n\n```asm\n{code}```\n").stage] += 1
    print(f"{folder.name}: {len(found[:count])} routines: {dict(stages)}")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--count", type=int, default=80)
    parser.add_argument("--seed", type=int, default=3)
    parser.add_argument("--families", nargs="*", default=["optimize", "generate", "debug"])
    parser.add_argument("--show", type=int, default=0)
    parser.add_argument("--sources", type=Path, nargs="*", help="folders of projects whose routines are right")
    options = parser.parse_args()
    if options.sources:
        for folder in options.sources:
            judge_sources(folder, options.count)
        return
    pack = answer_verifier.load_pack("snes")
    seconds: list[float] = []
    for family in options.families:
        caught: Counter[str] = Counter()
        planted: Counter[str] = Counter()
        stages: Counter[str] = Counter()
        accused, false_same, right = [], [], 0
        for task in pack.tasks(family, options.seed, options.count):
            started = time.process_time()
            verdict = pack.check_reply(task.prompt, task.reference)
            seconds.append(time.process_time() - started)
            right += 1
            stages[verdict.stage] += 1
            if verdict.stage == REFUTED:
                accused.append((task.prompt, task.reference, verdict.reason))
            for kind, answer in pack.wrong_answers(task):
                started = time.process_time()
                verdict = pack.check_reply(task.prompt, answer)
                seconds.append(time.process_time() - started)
                planted[kind] += 1
                caught[kind] += verdict.stage in (REFUTED, *([NO_CODE] if kind in NO_CODE_KINDS else []))
                if verdict.stage == SAME_EFFECT:
                    false_same.append((task.prompt, answer, verdict.reason))
        code = sum(n for kind, n in planted.items() if kind not in NO_CODE_KINDS)
        found = sum(n for kind, n in caught.items() if kind not in NO_CODE_KINDS)
        share = share_interval(found, code)
        print(f"{family}: {sum(planted.values())} wrong answers")
        print(f"{family}: refuted {found}/{code} = {share.value:.1%} ({share.low:.1%}-{share.high:.1%})")
        print("   ", ", ".join(f"{kind} {caught[kind]}/{n}" for kind, n in planted.items()))
        print(
            f"    right: {dict(stages)}; accused {len(accused)}/{right}; wrong called `same effect` {len(false_same)}"
        )
        for prompt, answer, reason in [*accused, *false_same][: options.show]:
            print(f"    ---\n{prompt}\n>>>\n{answer}\n=> {reason}")
    seconds.sort()
    print(f"time: p50 {seconds[len(seconds) // 2] * 1e3:.1f} ms, p99 {seconds[int(len(seconds) * 0.99)] * 1e3:.1f} ms")


if __name__ == "__main__":
    main()
