"""A campaign as the engine's work: claims candidates cell by cell, says how each is asked, and judges the answers.

A cell never has more candidates in flight than samples it still wants, so its accepted samples are exactly those asked
for. An outage is no answer, a checker that cannot decide leaves an answer waiting, and no gate is ever loosened.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence

import msgspec

from afs import datasets
from afs.answer_verifier import Verifier, load_pack
from afs.generate.attempts import Attempt, Attempts, encode_attempts, read_attempts
from afs.generate.cells import Arm, CampaignCell, load_counts
from afs.generate.config import GenerateConfig
from afs.generate.duplicate_index import TextIndex, sample_text
from afs.generate.thompson_sampling import Steering
from afs.generate.tool_dialogues import OPEN, extend_dialogue, with_hint, without_state
from afs.intervals import share_interval
from afs.model_calls.engine import NO_MODEL
from afs.model_calls.store import CallStore, Piece, State
from afs.model_calls.target_pool import TargetPool
from afs.model_calls.work_protocol import Answered, Decision, Request
from afs.providers.base import Sampling
from afs.types import Message, Task, record_id

CUT = "cut"
REFUSED = "refused"
DUPLICATE = "duplicate"
NEAR_DUPLICATE = "near duplicate"
NO_AGREEMENT = "no agreement"
HOPELESS = 0.05
"""A cell whose acceptance is below this with certainty stops and is reported."""
_ENOUGH = 60
"""Candidates before a cell can be called hopeless."""
_CHUNK = 256
"""Tasks put into the file at once: the first answer must not wait for the last task."""
_LONGEST_CHUNK_S = 0.2
"""Making a task can take a tenth of a second, and the answers of others must not wait for it."""
_LONGEST_GROWTH = 4
"""A cut answer is asked again with twice the tokens, up to so many times the limit."""
_encode_task = msgspec.msgpack.Encoder().encode
_decode_task = msgspec.msgpack.Decoder(Task).decode


class Campaign:
    """The work of one campaign."""

    def __init__(
        self,
        config: GenerateConfig,
        cells: Sequence[CampaignCell],
        store: CallStore,
        pool: TargetPool,
        verifier: Verifier,
        *,
        texts: TextIndex | None = None,
    ) -> None:
        self._texts = texts
        self.config, self.cells, self.store, self.pool = config, list(cells), store, pool
        self.by_id = {cell.id: cell for cell in cells}
        self._verifier = verifier
        self._turn = 0
        self._seen: set[str] = set()
        self._steering = {cell.id: Steering(len(cell.arms), config.seed) for cell in cells}
        self._arm_of: dict[int, int] = {}
        self._turns: dict[int, tuple[Message, ...]] = {}
        """Open dialogues with what their providers want back."""
        self._load()

    def _load(self) -> None:
        """Where an earlier run left each cell, and what it learned."""
        load_counts(self.store, self.cells)
        for cell in self.cells:
            for piece, state, _ in self.store.results(cell.id, ("accepted", "rejected")):
                attempts = read_attempts(piece.result)
                if state == "accepted":
                    task = _decode_task(piece.payload)
                    self._seen.add(self._record_key(task, attempts[-1]))
                    if self._texts is not None:
                        self._texts.admit([sample_text(task, attempts[-1].text)])
                for attempt in attempts:
                    self._learn(cell, attempt)

    def reopen(self) -> int:
        """Ask again for answers cut by a smaller limit than today's, and for what every model rejected."""
        with self.store.transaction():
            count = 0
            for cell in self.cells:
                opened = self.store.reopen(cell.id, CUT, self.config.sampling.max_tokens)
                if not self.store.fact("finished"):
                    opened += self.store.reopen_failed(cell.id, NO_MODEL)
                cell.tried -= opened
                count += opened
        return count

    def unjudged(self) -> list[Answered]:
        """Answers that were paid for and not judged: a killed run left them, or a checker that could not decide."""
        found = []
        for cell in self.cells:
            for state in ("answered", "waiting"):
                for piece in self.store.claim(cell.id, 0, 1 << 30, state):
                    cell.pending += 1
                    last = self.store.last_answer(piece.id)
                    found.append(
                        Answered(piece, last.completion, last.call, last.target, last.cost)
                        if last
                        else Answered(piece, None, 0)
                    )
        return found

    # The engine's questions

    def claim(self, count: int) -> list[Piece]:
        """Candidates of the next cells that want some, in turn."""
        found: list[Piece] = []
        for _ in range(len(self.cells)):
            cell = self.cells[self._turn % len(self.cells)]
            self._turn += 1
            wanted = min(cell.wanted, count - len(found))
            if wanted > 0:
                found += self._claim_from(cell, wanted)
            if len(found) >= count:
                break
        return found

    def _claim_from(self, cell: CampaignCell, wanted: int) -> list[Piece]:
        pieces = self.store.claim(cell.id, cell.after, wanted)
        if len(pieces) < wanted and self._add_tasks(cell, wanted - len(pieces)):
            after = pieces[-1].id if pieces else cell.after
            pieces += self.store.claim(cell.id, after, wanted - len(pieces))
        if pieces:
            cell.after = pieces[-1].id
        cell.pending += len(pieces)
        return pieces

    def _add_tasks(self, cell: CampaignCell, wanted: int) -> bool:
        """More tasks into the file; False when the cell has no more."""
        if cell.is_exhausted:
            return False
        if not cell.is_begun:
            cell.is_begun = True
            for _ in itertools.islice(cell.tasks, cell.stored):
                pass  # those of earlier runs
        tasks: list[Task] = []
        until = time.monotonic() + _LONGEST_CHUNK_S
        while len(tasks) < min(_CHUNK, wanted) and not (tasks and time.monotonic() > until):
            task = next(cell.tasks, None)
            if task is None:
                cell.is_exhausted = True
                break
            tasks.append(task)
        keys = (
            (f"{cell.id}/{cell.stored + place:07d}/{task.id}", _encode_task(task)) for place, task in enumerate(tasks)
        )
        self.store.add(cell.id, keys)
        cell.stored += len(tasks)
        return bool(tasks)

    def request(self, piece: Piece) -> Request:
        """How a candidate is asked: by the arm that steering chose, after the attempts it had."""
        cell = self.by_id[piece.cell]
        task = _decode_task(piece.payload)
        if self.config.agreement > 1:
            piece.excluded |= agreeing(read_attempts(piece.result))
        arm = self._choose(cell, piece)
        if not arm.teacher:
            return Request((), self.config.sampling, (), ())
        attempts = read_attempts(piece.result)
        messages: tuple[Message, ...] = arm.template.messages(task, cell.example)
        if self.config.dialogue_turns:
            messages = (*with_hint(messages), *self._open_turns(piece, attempts))
        elif self.config.repair and attempts and attempts[-1].verdict is not None:
            messages = (*messages, *repair_turns(attempts[-1]))
        return Request(messages, self._sampling(attempts), task.tools, self.pool.chain(arm.teacher))

    def _open_turns(self, piece: Piece, attempts: Attempts) -> tuple[Message, ...]:
        """A dialogue so far; after a restart without what its provider kept."""
        is_open = bool(attempts) and attempts[-1].problem == OPEN
        return self._turns.get(piece.id, attempts[-1].turns) if is_open else ()

    def _choose(self, cell: CampaignCell, piece: Piece) -> Arm:
        steering = self._steering[cell.id]
        open_arms = [
            place
            for place, arm in enumerate(cell.arms)
            if not arm.teacher or any(t.name not in piece.excluded for t in self.pool.chain(arm.teacher))
        ]
        last = read_attempts(piece.result)[-1:]
        if last and last[0].problem == OPEN:  # a dialogue is not continued by another
            same = [place for place in open_arms if cell.arms[place].label == last[0].arm]
            open_arms = same or open_arms
        place = self._arm_of[piece.id] = steering.choose(open_arms or list(range(len(cell.arms))))
        steering.records[place].pending += 1
        return cell.arms[place]

    def _sampling(self, attempts: Attempts) -> Sampling:
        base = self.config.sampling
        cuts = sum(attempt.problem == CUT for attempt in attempts)
        growth = min(_LONGEST_GROWTH, 2**cuts)
        return msgspec.structs.replace(base, seed=base.seed + len(attempts), max_tokens=base.max_tokens * growth)

    def judge(self, answered: Sequence[Answered]) -> list[Decision]:
        """Judge answers together; every answer is noted with its verdict and its receipt."""
        attempts = [self._attempt(one) for one in answered]
        pairs = [
            (place, (_decode_task(one.piece.payload), attempt.text))
            for place, (one, attempt) in enumerate(zip(answered, attempts, strict=True))
            if not attempt.problem
        ]
        verdicts = dict(zip((place for place, _ in pairs), self._verifier.verify_all(p for _, p in pairs), strict=True))
        return [
            self._decision(one.piece, msgspec.structs.replace(attempt, verdict=verdicts.get(place)))
            for place, (one, attempt) in enumerate(zip(answered, attempts, strict=True))
        ]

    def _attempt(self, one: Answered) -> Attempt:
        cell, got = self.by_id[one.piece.cell], one.completion
        if got is None:
            task = _decode_task(one.piece.payload)
            pack = load_pack(task.domain)
            return Attempt(text=task.reference, maker=f"{pack.name}/{pack.version}")
        arm = cell.arms[self._arm_of.get(one.piece.id, 0)]
        target = next((t for t in self.pool.every if t.name == one.target), None)
        text = datasets.completion_text(got)
        problem = (
            CUT if got.finish == "length" else REFUSED if got.finish == "filter" else "" if text.strip() else "empty"
        )
        earlier = read_attempts(one.piece.result)
        turns: tuple[Message, ...] = ()
        cost = one.cost
        if self.config.dialogue_turns and not problem:
            task = _decode_task(one.piece.payload)
            so_far = self._open_turns(one.piece, earlier)
            turn = extend_dialogue(load_pack(task.domain), task, so_far, got, self.config.dialogue_turns)
            self._turns[one.piece.id], turns, text = turn.turns, without_state(turn.turns), turn.text
            problem = OPEN if turn.is_open else problem
            if so_far and cost is not None:
                cost += earlier[-1].cost or 0
        return Attempt(
            text=text,
            maker=_maker(one.target, got.answered_by),
            target=one.target,
            cost=cost,
            arm=arm.label,
            turns=turns,
            template=arm.template.label,
            thinking=got.thinking if self.config.keep_thinking else "",
            call=one.call,
            prices=target.price_source if target else "",
            problem=problem,
            is_repair=bool(self.config.repair and earlier and earlier[-1].verdict is not None),
        )

    def _decision(self, piece: Piece, attempt: Attempt) -> Decision:
        cell, verdict = self.by_id[piece.cell], attempt.verdict
        if verdict is not None and verdict.ok is None:
            return Decision(piece, "waiting", verdict.reason[:300])
        earlier = read_attempts(piece.result)
        if earlier and earlier[-1].problem == OPEN:
            earlier = earlier[:-1]
        piece.result = encode_attempts((*earlier, attempt))
        if attempt.problem == OPEN:
            piece.tries -= 1  # one attempt has several answers
            return Decision(piece, "open")
        self._turns.pop(piece.id, None)
        self._learn(cell, attempt)
        if verdict is not None and verdict.ok and len(agreeing((*earlier, attempt))) < self.config.agreement:
            piece.excluded |= agreeing((*earlier, attempt))
            is_open = self._has_other_model(cell, piece) and piece.tries < self.config.attempts + self.config.agreement
            return Decision(piece, "open") if is_open else Decision(piece, "rejected", NO_AGREEMENT)
        if verdict is not None and verdict.ok:
            task = _decode_task(piece.payload)
            key = self._record_key(task, attempt)
            if key in self._seen:
                return Decision(piece, "rejected", DUPLICATE)
            self._seen.add(key)
            if self._texts is not None and self._texts.admit([sample_text(task, attempt.text)])[0]:
                return Decision(piece, "rejected", NEAR_DUPLICATE)
            return Decision(piece, "accepted")
        if attempt.problem == REFUSED:
            piece.excluded.add(attempt.target)
        has_model = attempt.problem != REFUSED or self._has_other_model(cell, piece)
        most = self.config.attempts + (attempt.problem == REFUSED) + len(agreeing(earlier))
        if attempt.call and piece.tries < most and has_model:
            return Decision(piece, "open")
        if agreeing(earlier):
            return Decision(piece, "rejected", NO_AGREEMENT)
        reason = attempt.problem or (f"verdict:{verdict.stage}" if verdict else "")
        return Decision(piece, "failed" if reason == REFUSED else "rejected", reason)

    def _has_other_model(self, cell: CampaignCell, piece: Piece) -> bool:
        names = {target.name for arm in cell.arms if arm.teacher for target in self.pool.chain(arm.teacher)}
        return bool(names - piece.excluded)

    def _learn(self, cell: CampaignCell, attempt: Attempt) -> None:
        """What steering knows of the arm that made an attempt."""
        if len(cell.arms) < 2 or not attempt.call:
            return
        names = [[t.name for t in self.pool.chain(arm.teacher)] if arm.teacher else [] for arm in cell.arms]
        for place, arm in enumerate(cell.arms):
            if arm.template.label == attempt.template and attempt.target in names[place]:
                accepted = bool(attempt.verdict and attempt.verdict.ok)
                self._steering[cell.id].settle(place, accepted=accepted, dollars=(attempt.cost or 0) / 1e9)
                return

    def settled(self, piece: Piece, state: State) -> None:
        """Count where a candidate ended."""
        place = self._arm_of.pop(piece.id, None)
        cell = self.by_id[piece.cell]
        if place is not None:
            record = self._steering[cell.id].records[place]
            record.pending = max(0, record.pending - 1)
        if state == "open":
            return
        cell.pending -= 1
        if state == "waiting":
            cell.waiting += 1
            return
        cell.tried += 1
        cell.accepted += state == "accepted"
        self._stop_if_hopeless(cell)

    def _stop_if_hopeless(self, cell: CampaignCell) -> None:
        if cell.tried < _ENOUGH or cell.stopped or cell.accepted / cell.tried >= HOPELESS:
            return
        if all(not arm.teacher for arm in cell.arms):
            return
        interval = share_interval(cell.accepted, cell.tried)
        if (interval.high or 0.0) < 2 * HOPELESS:
            cell.stopped = f"only {cell.accepted} of {cell.tried} candidates were accepted"

    def _record_key(self, task: Task, attempt: Attempt) -> str:
        return record_id(task.domain, datasets.task_messages(task.prompt, task.system, attempt.text))


def agreeing(attempts: Attempts) -> set[str]:
    """The models whose answers to a task passed."""
    return {one.target for one in attempts if one.verdict is not None and one.verdict.ok}


def repair_turns(last: Attempt) -> tuple[Message, Message]:
    """The rejected answer and what the check said about it."""
    verdict = last.verdict
    assert verdict is not None
    reason = verdict.reason or f"it failed at the step {verdict.stage}"
    text = f"This answer was checked and rejected: {reason}\n\nCorrect it, and give the complete answer again."
    return Message(role="assistant", text=last.text), Message(role="user", text=text)


def _maker(target: str, answered_by: str) -> str:
    """The model that really answered, under the provider that was asked."""
    kind, colon, model = target.partition(":")
    return f"{kind}:{answered_by}" if colon and answered_by and answered_by != model else target
