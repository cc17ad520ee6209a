"""Trajectories of research agents: OpenHands' event lists and SWE-agent's `.traj` files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from afs.ingest import chats, file_walk, row_files
from afs.ingest.base import Reading, Unit, as_dict, as_list, text_of
from afs.ingest.session_records import build_records
from afs.ingest.session_turns import SessionOptions
from afs.ingest.turn_collector import TurnLog
from afs.types import Dropped, Json, Record

_SILENT = ("system", "change_agent_state", "agent_state_changed", "recall", "null", "condensation", "state")


class OpenHands(SessionOptions, frozen=True, kw_only=True):
    """Event lists, and the `output.jsonl` of its benchmarks."""

    version = "1"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every JSON file."""
        return file_walk.list_units(place, (".json", ".jsonl", ".jsonl.gz"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per typed turn of each trajectory."""
        if (unit.member or unit.path.name).endswith(".json"):
            value = row_files.read_whole(unit, reading)
            rows = [("", {"history": value} if isinstance(value, list) else as_dict(value))]
        else:
            rows = list(row_files.read_objects(unit, reading))
        for place, row in rows:
            events = as_list(row.get("history")) or as_list(row.get("trajectory"))
            if not events and not reading.unreadable:
                reading.add_unreadable(place, "no trajectory: want a list of events or `history`")
            log = TurnLog(reading)
            for number, event in enumerate(events):
                for item in event if isinstance(event, list) else [event]:
                    _read_event(as_dict(item), f"{place}[{number}]", log, reading)
            group = text_of(row.get("instance_id")) or unit.label
            yield from build_records(log.turns, reading, self, origin={"group": group})


def _read_event(event: Json, place: str, log: TurnLog, reading: Reading) -> None:
    """An action of the user or the agent, or the observation it caused."""
    action, observed = text_of(event.get("action")), text_of(event.get("observation"))
    arguments = as_dict(event.get("args"))
    key = text_of(as_dict(event.get("tool_call_metadata")).get("tool_call_id"))
    if action == "message":
        text = text_of(arguments.get("content")) or text_of(event.get("message"))
        if event.get("source") == "user":
            log.add_user(place, text)
        else:
            log.add_answer(place, text, text_of(arguments.get("thought")))
    elif action == "finish":
        outputs = as_dict(arguments.get("outputs"))
        text = (
            text_of(arguments.get("final_thought"))
            or text_of(arguments.get("thought"))
            or text_of(outputs.get("content"))
        )
        log.add_answer(place, text or text_of(event.get("message")))
    elif action in _SILENT or observed in _SILENT:
        reading.counts[f"entries:{action or observed}"] += 1
    elif action:
        given = {k: v for k, v in arguments.items() if k not in ("thought", "hidden", "blocking", "confirmation_state")}
        metadata = as_dict(event.get("tool_call_metadata"))
        call = log.make_call(text_of(metadata.get("function_name")) or action, given, f"event-{event.get('id')}")
        log.add_answer(place, text_of(arguments.get("thought")), calls=[call])
    elif observed:
        cause = f"event-{event.get('cause')}"
        log.add_result(place, cause, text_of(event.get("content")), failed=observed == "error")
    else:
        reading.add_unknown(f"event {key}" if key else "event", place, event)


class SweAgent(SessionOptions, frozen=True, kw_only=True):
    """Files `*.traj`."""

    version = "1"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every trajectory."""
        return file_walk.list_units(place, (".traj", ".traj.json"))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per trajectory: the task, then its actions and observations."""
        value = as_dict(row_files.read_whole(unit, reading))
        log = TurnLog(reading)
        history = [as_dict(item) for item in as_list(value.get("history"))]
        task = [m for m in history if m.get("role") == "user" and m.get("is_demo") is not True]
        if task:
            log.add_user("history", _message_text(task[0]))
        for number, item in enumerate(as_list(value.get("trajectory"))):
            _read_step(as_dict(item), f"[{number}]", log)
        if not log.turns and not reading.unreadable:
            reading.add_unreadable("", "no trajectory: want `history` and `trajectory`")
        yield from build_records(log.turns, reading, self, origin={"group": unit.label})


def _message_text(message: Json) -> str:
    content = message.get("content")
    parts = [text_of(as_dict(part).get("text")) for part in as_list(content)]
    return "\n".join(filter(None, parts)) or text_of(content)


def _read_step(step: Json, place: str, log: TurnLog) -> None:
    action, thought = text_of(step.get("action")).strip(), text_of(step.get("thought")).strip()
    native = [as_dict(call) for call in as_list(step.get("tool_calls"))]
    if native:
        functions = [as_dict(call.get("function")) for call in native]
        calls = [log.make_call(text_of(f.get("name")), chats.parse_arguments(f.get("arguments"))) for f in functions]
    else:
        calls = [log.make_call("shell", {"command": action})] if action else []
    log.add_answer(place, thought or ("" if action else text_of(step.get("response"))), calls=calls)
    for call in calls:
        log.add_result(place, call.id, text_of(step.get("observation")))
