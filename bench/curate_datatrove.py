"""datatrove's side of `curate_road.py --peer PYTHON`, run by an interpreter that has it: JSONL FOLDER.

Redact (e-mail and IP addresses), score by heuristics, near duplicates by MinHash, write. The thresholds of the
heuristics are such that no row is dropped by them, since Gopher's are for prose. It has no decontamination without
lighteval, no split, and no record of who replaced whom. Prints rows kept and CPU seconds without the imports.
"""

import resource
import sys
from pathlib import Path

from datatrove.executor import LocalPipelineExecutor
from datatrove.pipeline.dedup import (
    MinhashDedupBuckets,
    MinhashDedupCluster,
    MinhashDedupFilter,
    MinhashDedupSignature,
)
from datatrove.pipeline.dedup.minhash import MinhashConfig
from datatrove.pipeline.filters import GopherQualityFilter, GopherRepetitionFilter
from datatrove.pipeline.formatters import PIIFormatter
from datatrove.pipeline.readers import JsonlReader
from datatrove.pipeline.writers import JsonlWriter

rows, folder = Path(sys.argv[1]), Path(sys.argv[2])
config = MinhashConfig()


def run(*steps, tasks=1):
    """One pipeline in this process."""
    logs = str(folder / "logs" / type(steps[-1]).__name__)
    LocalPipelineExecutor(list(steps), tasks=tasks, workers=1, logging_dir=logs, skip_completed=False).run()


def read(place):
    return JsonlReader(str(place), compression=None)


def cpu_seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


started = cpu_seconds()
one = 1.0
clean, signatures, buckets, removed, out = (folder / name for name in ("clean", "sigs", "buckets", "removed", "out"))
run(
    read(rows.parent),
    PIIFormatter(),
    GopherRepetitionFilter(
        one, one, one, one, tuple((n, 9.0) for n in (2, 3, 4)), tuple((n, 9.0) for n in range(5, 11))
    ),
    GopherQualityFilter(0, 10**9, 0, 10**9, 9.0, 9.0, 9.0, 0.0, 0),
    JsonlWriter(str(clean), compression=None),
)
run(read(clean), MinhashDedupSignature(str(signatures), config))
run(MinhashDedupBuckets(str(signatures), str(buckets), config=config), tasks=config.num_buckets)
run(MinhashDedupCluster(str(buckets), str(removed), config))
run(read(clean), MinhashDedupFilter(str(removed)), JsonlWriter(str(out), compression=None))
spent = cpu_seconds() - started
kept = sum(1 for path in out.glob("*.jsonl") for _ in path.open("rb"))
print(f"{kept} {spent:.2f}")
