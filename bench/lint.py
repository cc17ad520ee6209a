"""What lint finds without running anything: faults of the debug tasks, and false alarms on code that passes its check.

    python bench/lint.py [--small] [--also MAIN.asm]

Each faulty code is compared with the corrected code of the same task under the same contract. `--also` counts the
findings in another project.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections import Counter
from pathlib import Path

import msgspec

from afs.domains.snes.asm import TRUSTED, AsmError, assemble
from afs.domains.snes.lint import LintOptions, lint, lint_assembly, rules
from afs.domains.snes.task_specs import RoutineSpec
from afs.domains.snes.tasks import draw_tasks, list_families

SURE = 0.5
LABELS = Path(__file__).with_name("lint_labels.csv")


def loud(code: str, spec: RoutineSpec) -> list[str]:
    """Rules that speak up about a code."""
    found = lint(code, LintOptions(contract=spec.contract))
    return sorted({one.rule for one in found if one.sure >= SURE and one.severity != "info"})


def specs(family: str, seed: int, count: int) -> list[RoutineSpec]:
    """The routine tasks of a family."""
    made = (task.spec for task in draw_tasks(family, seed, count))
    return [msgspec.convert(spec, RoutineSpec) for spec in made if spec.get("check") == "routine"]


def debug_table(count: int) -> None:
    """Faults found, by category."""
    print(f"{'fault':<28} {'codes':>6} {'found':>6} {'share':>6} {'alarms on fixed':>17}  rules")
    total = [0, 0, 0]
    for family in list_families("debug"):
        rules: Counter[str] = Counter()
        found = alarms = codes = 0
        for spec in specs(family, 1, count):
            told, quiet = loud(spec.faulty, spec), loud(spec.code, spec)
            codes, found, alarms = codes + 1, found + bool(set(told) - set(quiet)), alarms + bool(quiet)
            rules.update(set(told) - set(quiet))
        total = [a + b for a, b in zip(total, (codes, found, alarms), strict=True)]
        names = ", ".join(name for name, _ in rules.most_common(3))
        name = family.partition("/")[2]
        print(f"{name:<28} {codes:>6} {found:>6} {found / max(codes, 1):>6.0%} {alarms:>17}  {names}")
    print(f"{'all':<28} {total[0]:>6} {total[1]:>6} {total[1] / max(total[0], 1):>6.0%} {total[2]:>17}")


def clean_table(count: int) -> None:
    """False alarms on code that is known to be right."""
    print(f"{'clean code':<28} {'codes':>6} {'alarms':>6}  rules")
    for kind in ("generate", "optimize"):
        rules: Counter[str] = Counter()
        made = specs(kind, 2, count)
        for spec in made:
            rules.update(loud(spec.code, spec)[:1])
        print(f"{kind:<28} {len(made):>6} {rules.total():>6}  {', '.join(f'{n} {c}' for n, c in rules.items())}")


def project(main: Path) -> None:
    """Findings in a whole project, by certainty."""
    source = main.read_text("utf-8", "replace")
    try:
        built = assemble(source, include_dirs=(main.parent,), limits=TRUSTED, file=str(main), rom=bytes(1 << 21))
    except AsmError as error:
        print(f"{main.name}: does not assemble here: {str(error).splitlines()[0]}")
        return
    started = time.perf_counter()
    found = list(lint_assembly(built, source, LintOptions(file=str(main))))
    seconds = time.perf_counter() - started
    count = Counter(one.severity for one in found if one.sure >= SURE)
    print(
        f"{main.parent.name}: {len(built.statements)} statements, {seconds:.1f} s, at least {SURE} sure: {dict(count)}"
    )


def precision_table() -> None:
    """Alarms on public code that were read by hand, by rule: those read after the rules were first calibrated."""
    with LABELS.open() as file:
        rows = [row for row in csv.DictReader(file) if row["sample"] != "before"]
    counts = Counter((row["rule"], row["label"]) for row in rows)
    print(f"{'rule':<20} {'right':>6} {'wrong':>6} {'unclear':>8}")
    total: Counter[str] = Counter()
    for rule in sorted({row["rule"] for row in rows}):
        right, wrong, unclear = (counts[rule, label] for label in ("right", "wrong", "unclear"))
        is_default = not rules()[rule].pedantic
        total.update({"right": right * is_default, "wrong": wrong * is_default})
        print(f"{rule:<20} {right:>6} {wrong:>6} {unclear:>8} {'' if is_default else ' pedantic'}")
    print(f"default rules: {total['right']} of {total['right'] + total['wrong']} right")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true")
    parser.add_argument("--also", type=Path, action="append", default=[])
    given = parser.parse_args()
    precision_table()
    print()
    debug_table(5 if given.small else 25)
    print()
    clean_table(20 if given.small else 200)
    for path in given.also:
        project(path)


if __name__ == "__main__":
    main()
