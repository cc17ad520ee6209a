"""Routers on real questions: python bench/world/router_real.py [--encoder FOLDER] [--fresh]

The questions are those of src/afs/council/real_questions.jsonl: asked in public threads, in our words, each with its
address. A router never learned from the thread it is asked about. Beside it: the commonest answer, the founding keyword
table, and the same router without real questions. All were collected and labeled before any of their batch was routed.
--fresh: routers that learned the first batch alone are asked the second, which nothing was tuned on.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Sequence

import numpy as np

from afs import answer_verifier
from afs.council.keyword_router import open_keyword_router
from afs.council.real_questions import RealQuestion, load_questions
from afs.council.router import Router
from afs.council.train_router import (
    ABSTAINS,
    FOLDS,
    Examples,
    fit_router,
    learn_sentences,
    learn_tfidf,
    off_topic_examples,
    real_examples,
    train_calibrated,
)
from afs.intervals import share_interval
from afs.providers.base import embedder
from afs.registry.rosters import load_roster
from afs.types import Interval, digest

TAGS = ("optimize", "generate", "debug", "explain")
Route = Callable[[str], tuple[str, bool]]
"""question -> (likeliest label, whether the router abstains)."""


def generated(count: int = 84) -> Examples:
    """The recipe's own training questions: tasks of the pack, by kind."""
    pack = answer_verifier.load_pack("snes")
    rows = [(task.prompt, tag, f"{tag}{task.family}") for tag in TAGS for task in pack.tasks(tag, 0, count)]
    return Examples(*([row[column] for row in rows] for column in range(3)))


def keywords() -> Examples:
    """The founding keyword lists as weak examples."""
    rows = [(word, m.tags[0], "k") for m in load_roster("triforce").experts for word in m.keywords if m.tags[0] in TAGS]
    return Examples(*([row[column] for row in rows] for column in range(3)))


def fold_of(question: RealQuestion) -> int:
    """Questions of one thread are in one fold."""
    return int(digest(question.address)[:8], 16) % FOLDS


def by_router(router: Router) -> Route:
    """A trained router as a route."""

    def route(text: str) -> tuple[str, bool]:
        choices = router.choose(text)
        return choices[0].label, router.abstains(choices)

    return route


def by_keywords() -> Route:
    """The founding table, expert names as tags."""
    table = open_keyword_router("triforce")
    tags = {member.name: member.tags[0] for member in load_roster("triforce").experts if member.tags}

    def route(text: str) -> tuple[str, bool]:
        choices = table.choose(text)
        return tags[choices[0].label], table.abstains(choices)

    return route


def print_row(name: str, questions: Sequence[RealQuestion], said: Sequence[tuple[str, bool]]) -> None:
    """Forced, lenient, balanced, and what happens when the router may abstain."""
    right = [label == q.label for (label, _), q in zip(said, questions, strict=True)]
    lenient = [label in (q.label, q.also) for (label, _), q in zip(said, questions, strict=True)]
    spoke = [at for at, (_, silent) in enumerate(said) if not silent]
    by_tag = [[ok for ok, q in zip(right, questions, strict=True) if q.label == tag] for tag in TAGS]
    balanced = sum(sum(part) / len(part) for part in by_tag) / len(TAGS)
    wrong = share_interval(sum(not lenient[at] for at in spoke), len(spoke))
    cells = [_cell(share_interval(sum(right), len(right))), _cell(share_interval(sum(lenient), len(lenient)))]
    print(f"| {name} | {' | '.join(cells)} | {balanced:.0%} | {len(spoke)} | {_cell(wrong)} |")


def _cell(value: Interval) -> str:
    return "unknown" if value.value is None else f"{value.value:.0%} ({value.low:.0%}-{value.high:.0%})"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--encoder", default="", help="folder of a sentence encoder, compared with words alone")
    parser.add_argument("--fresh", action="store_true")
    given = parser.parse_args()
    if given.fresh or given.encoder:
        return compare_fresh(given.encoder)
    questions = load_questions()
    print(f"{len(questions)} questions of {len({q.address for q in questions})} threads")
    print("| router | forced, strict | forced, lenient | mean over tags | answered | wrong of those |")
    print("|---|---|---|---|---|---|")
    print_row("always debug", questions, [("debug", False)] * len(questions))
    table = by_keywords()
    print_row("founding keywords", questions, [table(q.text) for q in questions])
    ours, weak = generated(), keywords()
    plain = fit_router(*ours.joined(weak).joined(off_topic_examples())[:2])
    print_row("packs' questions only", questions, [by_router(plain)(q.text) for q in questions])
    print_row("with other threads", questions, _held_out_routes(questions, ours.joined(weak)))
    _print_shipped(train_calibrated(ours, weak=weak))


def compare_fresh(encoder: str) -> None:
    """The second batch, asked of routers that learned the first; with an encoder, the paired difference.

    Few generated questions beside them: an encoder needs half a second for each of those long prompts.
    """
    first = [q for q in load_questions() if q.batch == 1]
    second = [q for q in load_questions() if q.batch == 2]
    known = Examples([q.text for q in first], [q.label for q in first], [q.address for q in first])
    train = known.joined(generated(12)).joined(keywords()).joined(off_topic_examples())
    rows = {"always debug": [("debug", False)] * len(second)}
    learners = {"words": learn_tfidf}
    if encoder:
        learners["words and sentences"] = learn_sentences(embedder(encoder))
    for name, learn in learners.items():
        router = fit_router(train.texts, train.labels, learn)
        rows[name] = [by_router(router)(q.text) for q in second]
    for name, said in rows.items():
        print_row(name, second, said)
    if encoder:
        pairs = zip(rows["words"], rows["words and sentences"], second, strict=True)
        gaps = np.array([float(b[0] == q.label) - float(a[0] == q.label) for a, b, q in pairs])
        draws = gaps[np.random.default_rng(0).integers(0, len(gaps), (4000, len(gaps)))].mean(axis=1)
        low, high = np.quantile(draws, (0.025, 0.975))
        print(f"the encoder adds {gaps.mean():+.0%} [{low:+.0%}, {high:+.0%}] of {len(gaps)} fresh questions")


def _held_out_routes(questions: Sequence[RealQuestion], always: Examples) -> list[tuple[str, bool]]:
    real = real_examples(TAGS)
    folds = [fold_of(q) for q in questions]
    routers = []
    for fold in range(FOLDS):
        train = real.part(at for at, one in enumerate(folds) if one != fold).joined(always)
        routers.append(fit_router(*train.joined(off_topic_examples())[:2]))
    return [by_router(routers[fold])(q.text) for fold, q in zip(folds, questions, strict=True)]


def _print_shipped(router: Router) -> None:
    """The figures on the router's own card, and its time."""
    card = router.card
    assert card.figures is not None
    row = card.figures.confusion
    answered = card.figures.answered
    print(f"\nshipped: forced {_cell(card.figures.accuracy)}, answers {_cell(card.figures.coverage)}, right of those")
    print(f"{_cell(answered)}; off-topic abstained {_cell(card.off_topic)}; threshold {card.abstain_below:.2f}")
    print("\n".join(f"{true:<10} {dict(sorted(found.items()))}" for true, found in row.items() if true != ABSTAINS))
    began = time.process_time()
    for question in load_questions():
        router.choose(question.text)
    print(f"{(time.process_time() - began) / len(load_questions()) * 1e3:.2f} ms CPU a question")


if __name__ == "__main__":
    main()
