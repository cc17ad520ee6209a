"""What is a verdict worth? Runs the arms of docs/proof.md, a piece at a time; every finished piece is kept.

Run: `python bench/gpu/proof.py RECIPE WORKSPACE [--minutes N]`. Rerun to resume. Nothing is written into the page: the
table is printed from `proof-results.jsonl` of the workspace, which holds every run.
"""

from __future__ import annotations

import random
import resource
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from afs import answer_verifier, datasets, jsonl, models, verbs
from afs.config import Config, Plugin, decode, load_toml
from afs.providers.base import BatchProvider, Sampling
from afs.types import Origin, Record, Task, Value, Verdict, record_id
from afs.workspace import Workspace

DOMAIN = "snes"
RESULTS = "proof-results.jsonl"
BATCH = 64
BOOTSTRAPS = 2000


class ProofConfig(Config, frozen=True, kw_only=True):
    """One scale of the proof."""

    seeds: int
    arms: tuple[str, ...]
    doses: tuple[float, ...]
    easy: tuple[str, ...]
    hard: tuple[str, ...]
    unseen: tuple[str, ...]
    easy_tasks: int
    hard_tasks: int
    pool_tasks: int
    pool_answers: int
    samples: int
    rounds: int
    exam_tasks: int
    exam_answers: int
    max_tokens: int
    start: Plugin
    train: Plugin


class PoolAnswer(Value, frozen=True, kw_only=True):
    """One sampled answer with its verdict."""

    task: Task
    answer: str
    verdict: Verdict


class ArmResult(Value, frozen=True, kw_only=True):
    """One model's exam: solved greedily, and share solved of the sampled answers' best, by task."""

    arm: str
    seed: int
    solved: dict[str, float]
    """family/task -> 1 where the greedy answer is right."""
    best: dict[str, float]
    """family/task -> 1 where any sampled answer is right."""
    distinct: int
    samples: int
    cpu_s: float
    sampled_tokens: int


class Proof:
    """One seed's pieces: each is found by its name, or made."""

    def __init__(self, config: ProofConfig, workspace: Workspace, seed: int, deadline: float) -> None:
        self.config, self.workspace, self.seed, self.deadline = config, workspace, seed, deadline
        self.results = workspace.root / RESULTS
        self.sampled_tokens = 0

    def tasks(self, families: Iterable[str], seed: int, count: int) -> list[Task]:
        pack = answer_verifier.load_pack(DOMAIN)
        return [task for family in families for task in pack.tasks(family, seed * 1000 + self.seed, count)]

    def check_time(self) -> None:
        """Stop between pieces, not within one."""
        if time.monotonic() > self.deadline:
            sys.exit("time is up; rerun to resume")

    def train(self, name: str, records: Sequence[Record], settings: Plugin, **more: object) -> None:
        """Store the records as a dataset and train on them."""
        if self.workspace.versions("artifact", name):
            return
        self.check_time()
        if not self.workspace.versions("dataset", name):
            with datasets.write_dataset(self.workspace, name, "dataset", splits=("train",)) as pending:
                for number, record in enumerate(records):
                    again = msgspec.structs.replace(record.origin, uri=str(number))
                    pending.add(
                        "train", msgspec.structs.replace(record, id=f"{record.id[:24]}{number:08x}", origin=again)
                    )
        table = {**settings, "name": name, "dataset": name, "seed": self.seed, "tensorboard": False, **more}
        table |= {"checkpoints": {"every": 100_000, "keep": 1}, "threads": 1}
        verbs.do("train", decode(verbs.config_class(verbs.VERBS["train"]), table), self.workspace)

    def ask(self, name: str, tasks: Sequence[Task], sampling: Sampling) -> list[str]:
        """One answer per task."""
        model = models.open_model(self.workspace, name)
        turns = [datasets.task_messages(task.prompt, task.system) for task in tasks]
        answers: list[str] = []
        for start in range(0, len(turns), BATCH):
            part = turns[start : start + BATCH]
            now = msgspec.structs.replace(sampling, seed=sampling.seed + start)
            many = isinstance(model, BatchProvider)
            made = model.complete_many(part, now) if many else [model.complete(one, now) for one in part]
            self.sampled_tokens += sum(one.usage.output_tokens for one in made)
            answers += [one.text for one in made]
        return answers

    def judge(self, pairs: Sequence[tuple[Task, str]]) -> list[Verdict]:
        with answer_verifier.Verifier(jobs=self.workspace.jobs) as verifier:
            return list(verifier.verify_all(pairs))

    def pool(self, name: str, model: str) -> list[PoolAnswer]:
        """Answers of a model to the hard tasks, drawn once; empty ones teach nothing and are left out."""
        path = self.workspace.root / f"proof-pool-{name}.jsonl"
        if not path.exists():
            self.check_time()
            config = self.config
            tasks = self.tasks(config.hard, 2, config.pool_tasks)
            asked = [task for task in tasks for _ in range(config.pool_answers)]
            sampling = Sampling(temperature=1.0, max_tokens=config.max_tokens, seed=self.seed * 100_000 + 1)
            answers = self.ask(model, asked, sampling)
            verdicts = self.judge(list(zip(asked, answers, strict=True)))
            rows = zip(asked, answers, verdicts, strict=True)
            jsonl.write(path, [PoolAnswer(task=t, answer=a, verdict=v) for t, a, v in rows])
        return [one for one in jsonl.read(path, PoolAnswer) if one.answer.strip()]

    def start(self) -> str:
        """S0."""
        name, config = f"proof-s0-{self.seed}", self.config
        tasks = self.tasks(config.easy, 1, config.easy_tasks) + self.tasks(config.hard, 1, config.hard_tasks)
        self.train(name, [build_record(task, task.reference) for task in tasks], config.start)
        return name

    def arm(self, arm: str, start: str) -> None:
        """One arm: choose, train, examine."""
        config, name = self.config, f"proof-{arm.lower().replace('.', '')}-{self.seed}"
        begun, tokens = cpu_s(), self.sampled_tokens
        chosen = self.choose(arm, start)
        if chosen:
            self.train(name, chosen, config.train, base=start)
        elif arm == "S0":
            name = start
        elif arm == "G":
            steps = -(-config.samples // int(config.train["batch_size"])) * int(config.train["epochs"]) * config.rounds
            preference = {"generations": config.pool_answers, "max_tokens": config.max_tokens}
            tasks = self.tasks(config.hard, 2, config.pool_tasks)
            settings = {**config.train, "method": "grpo", "max_steps": steps, "preference": preference}
            self.train(name, [build_record(task, task.reference) for task in tasks], settings, base=start)
        else:
            print(f"{arm}: no sample to train on")
            return
        self.examine(arm, name, chosen, cpu_s() - begun, self.sampled_tokens - tokens)

    def choose(self, arm: str, start: str) -> list[Record]:
        """The samples of an arm, always as many."""
        config, rng = self.config, random.Random(f"{arm}:{self.seed}")
        if arm in ("S0", "G"):
            return []
        if arm == "O":
            tasks = self.tasks(config.hard, 2, config.pool_tasks)
            return fill([build_record(task, task.reference) for task in tasks], config.samples, rng)
        if arm == "R":
            return self.repeat(start, rng)
        pool = self.pool(f"s0-{self.seed}", start)
        if arm.startswith("D"):
            return mix(pool, float(arm[1:]), config.samples, rng)
        return fill([record_of(one) for one in CHOICES[arm](pool, rng)], config.samples, rng)

    def repeat(self, start: str, rng: random.Random) -> list[Record]:
        """The last of several rounds; the earlier ones are trained here."""
        config, model, chosen = self.config, start, []
        for number in range(config.rounds):
            pool = self.pool(f"r{number}-{self.seed}" if number else f"s0-{self.seed}", model)
            chosen = fill([record_of(one) for one in undecided(pool)], config.samples, rng)
            if not chosen:
                return chosen
            if number < config.rounds - 1:
                model = f"proof-r-{self.seed}-round{number}"
                self.train(model, chosen, config.train, base=start)
        return chosen

    def examine(self, arm: str, name: str, chosen: Sequence[Record], spent: float, tokens: int) -> None:
        """Ask the exam greedily and by sampling, judge, and keep the result."""
        self.check_time()
        config = self.config
        tasks = self.tasks((*config.hard, *config.unseen, *config.easy), 3, config.exam_tasks)
        greedy = self.ask(name, tasks, Sampling(max_tokens=config.max_tokens))
        many = [task for task in tasks for _ in range(config.exam_answers)]
        sampling = Sampling(temperature=1.0, max_tokens=config.max_tokens, seed=7 + self.seed)
        drawn = self.ask(name, many, sampling)
        first = self.judge(list(zip(tasks, greedy, strict=True)))
        rest = self.judge(list(zip(many, drawn, strict=True)))
        best: dict[str, float] = defaultdict(float)
        for task, verdict in zip(many, rest, strict=True):
            best[key_of(task)] = max(best[key_of(task)], float(verdict.ok is True))
        result = ArmResult(
            arm=arm, seed=self.seed, best=dict(best), samples=len(chosen), cpu_s=round(spent, 1), sampled_tokens=tokens,
            solved={key_of(task): float(one.ok is True) for task, one in zip(tasks, first, strict=True)},
            distinct=len({datasets.answer_text(record) for record in chosen}),
        )  # fmt: skip
        jsonl.append(self.results, [result])

    def run(self) -> None:
        """Every arm that has no result yet."""
        done = {(row.arm, row.seed) for row in read_results(self.workspace)}
        start = self.start()
        for arm in ("S0", *self.config.arms, *(f"D{dose}" for dose in self.config.doses)):
            if (arm, self.seed) not in done:
                self.arm(arm, start)


def key_of(task: Task) -> str:
    return f"{task.family} {task.id}"


def build_record(task: Task, answer: str) -> Record:
    """A sample."""
    messages = datasets.task_messages(task.prompt, task.system, answer)
    origin = Origin(source="proof", license="CC0-1.0", group=task.group)
    key = record_id(DOMAIN, messages)
    return Record(id=key, domain=DOMAIN, kind=task.family, messages=messages, origin=origin, task=task)


def record_of(one: PoolAnswer) -> Record:
    return build_record(one.task, one.answer)


def fill(records: Sequence[Record], count: int, rng: random.Random) -> list[Record]:
    """Exactly `count`, some of them again where there are too few."""
    if not records:
        return []
    found: list[Record] = []
    while len(found) < count:
        found += rng.sample(list(records), min(len(records), count - len(found)))
    return found


def assembles(one: PoolAnswer) -> bool:
    """What a linter could know: it assembles, and it is not longer than twice the reference."""
    early = one.verdict.stage in ("extract", "parse", "assemble", "limit")
    return not early and len(one.answer) <= 2 * len(one.task.reference)


def shuffled(pool: Sequence[PoolAnswer], rng: random.Random) -> list[PoolAnswer]:
    """As many samples as pass, by verdicts that belong to others."""
    flags = [one.verdict.ok is True for one in pool]
    rng.shuffle(flags)
    return [one for one, flag in zip(pool, flags, strict=True) if flag]


CHOICES: dict[str, Callable[[Sequence[PoolAnswer], random.Random], list[PoolAnswer]]] = {
    "U": lambda pool, rng: list(pool),
    "H": lambda pool, rng: [one for one in pool if assembles(one)],
    "V": lambda pool, rng: [one for one in pool if one.verdict.ok is True],
    "X": shuffled,
}


def undecided(pool: Sequence[PoolAnswer]) -> list[PoolAnswer]:
    """Right answers to tasks that neither all samples solve nor none."""
    right = Counter(one.task.id for one in pool if one.verdict.ok is True)
    every = Counter(one.task.id for one in pool)
    return [one for one in pool if one.verdict.ok is True and right[one.task.id] < every[one.task.id]]


def mix(pool: Sequence[PoolAnswer], dose: float, count: int, rng: random.Random) -> list[Record]:
    """Right answers with a share of wrong ones."""
    wrong = round(count * dose)
    right = fill([record_of(one) for one in pool if one.verdict.ok is True], count - wrong, rng)
    return [*right, *fill([record_of(one) for one in pool if one.verdict.ok is False], wrong, rng)] if right else []


def read_results(workspace: Workspace) -> list[ArmResult]:
    path = workspace.root / RESULTS
    return list(jsonl.read(path, ArmResult)) if path.exists() else []


def cpu_s() -> float:
    """CPU seconds of this process and its children."""
    found = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in found)


def table_lines(config: ProofConfig, rows: Sequence[ArmResult]) -> Iterator[str]:
    """Every arm against S0: hard, unseen and easy families, and pass@k of the hard ones."""
    by_arm = {arm: {row.seed: row for row in rows if row.arm == arm} for arm in dict.fromkeys(row.arm for row in rows)}
    scopes = (("hard", config.hard), ("unseen", config.unseen), ("easy", config.easy))
    yield "| arm | seeds | " + " | ".join(f"{name} − S0" for name, _ in scopes) + " | hard pass@k | distinct | CPU-s |"
    yield "|---|---|" + "---|" * (len(scopes) + 3)
    for arm, mine in by_arm.items():
        cells = [difference(mine, by_arm.get("S0", {}), set(families)) for _, families in scopes]
        best = [v for row in mine.values() for key, v in row.best.items() if key.split()[0] in config.hard]
        distinct = sum(row.distinct for row in mine.values()) / len(mine)
        spent = sum(row.cpu_s for row in mine.values()) / len(mine)
        ends = f"{sum(best) / len(best):.3f} | {distinct:.0f} | {spent:.0f}"
        yield f"| {arm} | {len(mine)} | {' | '.join(cells)} | {ends} |"


def difference(mine: dict[int, ArmResult], base: dict[int, ArmResult], families: set[str]) -> str:
    """Share solved, and the difference in points with an interval over seeds, families and tasks."""
    pairs: dict[tuple[int, str], list[tuple[float, float]]] = defaultdict(list)
    for seed in mine.keys() & base.keys():
        for key, value in mine[seed].solved.items():
            if key.split()[0] in families:
                pairs[seed, key.split()[0]].append((value, base[seed].solved[key]))
    if not pairs:
        return "unknown"
    rng, cells = random.Random(0), list(pairs.values())
    draws = sorted(resample(cells, rng) for _ in range(BOOTSTRAPS))
    flat = [pair for cell in cells for pair in cell]
    share = sum(a for a, _ in flat) / len(flat)
    gain = sum(a - b for a, b in flat) / len(flat)
    low, high = draws[int(0.025 * BOOTSTRAPS)], draws[int(0.975 * BOOTSTRAPS)]
    return f"{share:.3f} ({100 * gain:+.1f} [{100 * low:+.1f}, {100 * high:+.1f}])"


def resample(cells: Sequence[Sequence[tuple[float, float]]], rng: random.Random) -> float:
    """One draw: cells of a seed and a family, then their tasks."""
    total = number = 0.0
    for cell in rng.choices(cells, k=len(cells)):
        drawn = rng.choices(cell, k=len(cell))
        total += sum(a - b for a, b in drawn)
        number += len(drawn)
    return total / number


def main() -> None:
    arguments = sys.argv[1:]
    minutes = float(arguments[arguments.index("--minutes") + 1]) if "--minutes" in arguments else 600.0
    config = decode(ProofConfig, load_toml(Path(arguments[0])), file=arguments[0])
    workspace = Workspace.create(Path(arguments[1]))
    deadline = time.monotonic() + 60 * minutes
    for seed in range(config.seeds):
        Proof(config, workspace, seed, deadline).run()
    print("\n".join(table_lines(config, read_results(workspace))))


if __name__ == "__main__":
    main()
