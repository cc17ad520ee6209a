"""One chat request with who answers it, and what its answer is shown and logged with."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from afs.council import Council
from afs.council.answer import RoutePlan
from afs.council.reply_check import footer
from afs.council.reply_log import LoggedReply
from afs.serve.chat_request import Chat
from afs.types import Expert, Usage, Verdict


def ignore_reply(_: LoggedReply) -> None:
    """Log nothing."""


class ChatTurn(NamedTuple):
    """A request with who answers it."""

    chat: Chat
    plan: RoutePlan
    name: str
    expert: Expert | None
    council: Council
    id: str
    began: float
    override: str = ""
    """The expert that the request named."""
    log: Callable[[LoggedReply], None] = ignore_reply
    owner: str = ""
    """Name of the token that asks."""
    facts: str = ""
    """What was looked up about the question."""

    @property
    def model(self) -> str:
        """The council's name of the model that answers."""
        return f"council/{self.name}" if self.name else "council"

    @property
    def repairs(self) -> int:
        """How often a refuted answer goes back; at least once where the request states its own check."""
        return max(self.council.repairs, 1) if self.chat.task else self.council.repairs

    @property
    def wants_tools(self) -> bool:
        """Whether the council calls tools for this answer; a client's own tools come first."""
        return self.council.tools == "steps" and self.chat.is_plain and not self.chat.is_side_job

    async def with_facts(self) -> ChatTurn:
        """The turn with facts about its question, where the council looks them up."""
        if self.council.tools == "off" or not self.chat.is_plain or self.chat.is_side_job:
            return self
        return self._replace(facts=await asyncio.to_thread(self.council.facts, self.chat.messages))

    def note(self, verdict: Verdict | None, attempts: int = 1) -> dict[str, Any]:
        """The contents of `afs` in the answer."""
        return {
            "route": self.plan.route,
            "asked": self.plan.names,
            "abstained": self.plan.abstained,
            "skipped": self.plan.skipped,
            "attempts": attempts,
            "verdict": msgspec.to_builtins(verdict),
        }

    async def judge(self, text: str) -> Verdict | None:
        """The verdict, unless text for a program was asked for."""
        chat = self.chat
        if chat.verify == "off" or not (chat.is_plain or chat.task) or chat.is_side_job:
            return None
        return await asyncio.to_thread(self.council.judge, chat.messages, text, chat.task, self.name)

    def footer(self, text: str, verdict: Verdict | None, attempts: int = 1) -> str:
        """The lines below an answer that a person reads: that no expert fitted, and the verdict.

        An answer that is one JSON object is read by a program (an editor's agent), which a line below it would break.
        """
        chat = self.chat
        if not chat.is_plain or chat.is_side_job or _is_object(text):
            return ""
        who = f"the expert {self.name}" if self.name else "the base model"
        unsure = f"▹ no expert was likely enough; {who} answered" if self.plan.abstained else ""
        line = footer(verdict, attempts) if verdict else ""
        return "\n\n".join(filter(None, (unsure, line)))

    def headers(self, verdict: Verdict | None = None) -> dict[str, str]:
        """The route in headers, and the verdict where it is known before the body."""
        found = {"x-expert": self.name or "fallback", "x-confidence": str(self.plan.route.get(self.name, 0))}
        return found | ({"x-afs-verdict": verdict.stage} if verdict else {})

    def finish(self, text: str, verdict: Verdict | None, usage: object = None, attempts: int = 1) -> LoggedReply:
        """Log the answer; titles and tags of a client's own are no answers."""
        counts = usage if isinstance(usage, dict) else {}
        reply = LoggedReply(
            id=self.id,
            at=time.time(),
            messages=tuple(self.chat.messages),
            answer=text,
            expert=self.name,
            route=self.plan.route,
            abstained=self.plan.abstained,
            override=self.override,
            artifact=self.council.artifacts.get(self.name, ""),
            verdict=verdict,
            attempts=attempts,
            usage=Usage(
                input_tokens=int(counts.get("prompt_tokens") or 0),
                output_tokens=int(counts.get("completion_tokens") or 0),
            ),
            seconds=time.monotonic() - self.began,
            task=self.chat.task,
            owner=self.owner,
        )
        if not self.chat.is_side_job:
            self.log(reply)
        return reply


def _is_object(text: str) -> bool:
    if not text.lstrip().startswith("{"):
        return False
    try:
        msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        return False
    return True
