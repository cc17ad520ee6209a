"""What the headers of public C++ libraries give the pack `cpp`: functions that become tasks, calls that are rejected.

    python bench/cpp_tasks.py FOLDER … [--headers PATTERN …] [--sample 10]

A folder holds a library's headers. All wrong calls are planted by the survey and compiled in large batches; of a sample
of tasks per family the reference and every wrong answer are checked one by one, as answers of a model are.
"""

from __future__ import annotations

import argparse
import resource
from collections import Counter
from pathlib import Path

from afs.domains.cpp import DOMAIN
from afs.domains.cpp.families import FAMILIES, iterate_tasks
from afs.domains.cpp.options import CppOptions
from afs.domains.cpp.survey import CppSurvey, survey


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--headers", nargs="*", default=())
    parser.add_argument("--sample", type=int, default=10)
    options = parser.parse_args()
    for folder in options.folders:
        started = _cpu_s()
        found = survey(CppOptions(path=folder, headers=tuple(options.headers)))
        report(found, _cpu_s() - started)
        check_sample(found, options.sample)


def report(found: CppSurvey, cpu_s: float) -> None:
    """A library's functions and planted calls."""
    planted = sum(one.planted for one in found.usable)
    refuted = sum(len(one.faults) for one in found.usable)
    plain = found.found - found.left_out.get("operators and destructors", 0)
    print(
        f"{found.name}: {len(found.headers.headers)} headers; {found.found} public functions, {plain} without operators"
        f" and destructors; {len(found.usable)} become tasks ({100 * len(found.usable) / plain:.0f} %);"
        f" left out {found.left_out}; planted wrong calls {planted}, rejected {refuted}; {cpu_s:.0f} CPU s",
        flush=True,
    )


def check_sample(found: CppSurvey, sample: int) -> None:
    """References that pass and wrong answers that are rejected, by family and by kind."""
    started, references, wrong, accepted = _cpu_s(), Counter[str](), Counter[str](), Counter[str]()
    for family in FAMILIES:
        for task in iterate_tasks(found, family, 7, sample):
            references[f"{family} {DOMAIN.check(task, task.reference).ok}"] += 1
            for kind, answer in DOMAIN.wrong_answers(task):
                wrong[kind] += 1
                accepted[kind] += DOMAIN.check(task, answer).ok is not False
    print(f"  references: {dict(references)}")
    print(
        f"  wrong answers: {dict(wrong)}; not rejected: {dict(+accepted)}; {_cpu_s() - started:.0f} CPU s", flush=True
    )


def _cpu_s() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
