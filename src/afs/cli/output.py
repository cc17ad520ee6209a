"""The terminal: results on standard output, progress on standard error.

On a terminal, long work shows a live line (task, progress, rate, time left); piped output has no control codes.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO, cast, runtime_checkable

import msgspec

from afs import events
from afs.cli.campaign_view import campaign_table
from afs.cli.plain_output import print_own_text
from afs.cli.plain_output import print_problem as print_problem
from afs.cli.plain_output import print_text as print_text
from afs.command_options import OwnText
from afs.printable import escape_json_controls, show_controls
from afs.types import Artifact, Dataset

if TYPE_CHECKING:
    from rich.console import RenderableType

MIN_PHASE_S = 2.0
"""A phase shorter than this prints no line when it ends: it would only flicker past."""


def print_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """A warning as one line, without the source location that raised it."""
    print_problem(f"warning: {message}")


@runtime_checkable
class StreamedResult(Protocol):
    """A result whose text is shown as it comes; `reply` waits for the whole of it."""

    def pieces(self) -> Iterator[str]:
        """The text in pieces."""

    def reply(self) -> object:
        """The whole result."""


def _print_pieces(pieces: Iterable[str]) -> None:
    for piece in pieces:
        print(show_controls(piece), end="", flush=True)


def print_result(value: object, *, as_json: bool) -> None:
    """A verb's result: JSON, a table, its own text, or text as it comes."""
    if value is None:
        return
    if isinstance(value, StreamedResult):
        if not as_json:
            _print_pieces(value.pieces())
            return
        value = value.reply()
    if as_json:
        print(escape_json_controls(msgspec.json.encode(value, enc_hook=str).decode()))
        return
    if callable(getattr(value, "text", None)):
        print_own_text(cast(OwnText, value))
    else:
        print(show_controls(_result_text(value)))


def _result_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, Dataset):
        return dataset_text(value)
    if isinstance(value, Artifact):
        return artifact_text(value)
    if isinstance(value, list | tuple):
        return table([_row(item) for item in value])
    return listing(_row(value))


def dataset_text(dataset: Dataset) -> str:
    """The stored object in a few lines."""
    sides = ", ".join(f"{split.name} {split.count:,}" for split in dataset.splits)
    size = sum(shard.size for split in dataset.splits for shard in split.shards)
    lines = [
        f"{dataset.ref}  {sum(split.count for split in dataset.splits):,} records ({sides}), {size / 2**20:.1f} MiB"
    ]
    lines += [f"  {count:>8,}  {what.replace('dropped:', 'left out: ')}" for what, count in dataset.counts.items()]
    lines.append("licenses  " + ", ".join(f"{name} {count:,}" for name, count in dataset.licenses.items()))
    return "\n".join([*lines, f"run       {dataset.run}"])


def artifact_text(artifact: Artifact) -> str:
    """The stored object in a few lines."""
    size = sum(entry.size for entry in artifact.files)
    on = f" on {artifact.base}" if artifact.base else ""
    lines = [f"{artifact.ref}  {artifact.form}{on}, {len(artifact.files)} files, {size / 2**20:.1f} MiB"]
    lines += [f"  {name:<20} {cell(value)}" for name, value in artifact.facts.items()]
    return "\n".join([*lines, f"run  {artifact.run}"])


def _row(value: object) -> Mapping[str, object]:
    plain = msgspec.to_builtins(value, enc_hook=str)
    return cast(Mapping[str, object], plain) if isinstance(plain, dict) else {"value": plain}


def listing(row: Mapping[str, object]) -> str:
    """One object, one line per field."""
    width = max((len(key) for key in row), default=0)
    return "\n".join(f"{key:<{width}}  {cell(value)}" for key, value in row.items())


def table(rows: Sequence[Mapping[str, object]]) -> str:
    """Several objects, one line each, in aligned columns."""
    if not rows:
        return "no rows"
    columns = list(dict.fromkeys(key for row in rows for key in row))
    cells = [[cell(row.get(column)) for column in columns] for row in rows]
    widths = [max(len(column), *(len(row[i]) for row in cells)) for i, column in enumerate(columns)]
    lines = [
        "  ".join(f"{print_text:<{width}}" for print_text, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    ]
    head = "  ".join(f"{column:<{width}}" for column, width in zip(columns, widths, strict=True)).rstrip()
    return "\n".join([head, "  ".join("-" * width for width in widths), *lines])


def cell(value: object) -> str:
    """A value in a table; None is shown as unknown."""
    if value is None:
        return "unknown"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{key}={cell(item)}" for key, item in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(cell(item) for item in value)
    return str(value)


@contextmanager
def console(*, quiet: bool) -> Iterator[None]:
    """Show this process's events on standard error while the block runs."""
    if quiet:
        yield
        return
    view = LiveView() if sys.stderr.isatty() else PlainView()
    events.add_listener(view)
    try:
        yield
    finally:
        events.remove_listener(view)
        view.close()


class PlainView:
    """For pipes and logs: one line per phase and notice, and progress every ten seconds."""

    def __init__(self) -> None:
        self._last_progress = time.monotonic()

    def __call__(self, event: Mapping[str, object]) -> None:
        name = event["event"]
        if name == "progress":
            if time.monotonic() - self._last_progress < 10:
                return
            self._last_progress = time.monotonic()
        line = describe(event)
        if line:
            self.write(line)

    def write(self, line: str) -> None:
        """One finished line."""
        print(line, file=sys.stderr, flush=True)

    def close(self) -> None:
        """Nothing to close."""


class LiveView(PlainView):
    """For terminals: finished lines above, one live line below."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live
        from rich.text import Text

        self._text = Text
        self._console = Console(stderr=True, highlight=False)
        self._live = Live(console=self._console, refresh_per_second=8, transient=True)
        self._running = self._has_table = False

    def _show(self, content: RenderableType) -> None:
        if not self._running:
            self._live.start()
            self._running = True
        self._live.update(content)

    def __call__(self, event: Mapping[str, object]) -> None:
        line = describe(event)
        if event["event"] == "campaign.pulse":
            self._has_table = True
            self._show(campaign_table(event))
        elif event["event"] == "progress":
            if not self._has_table:  # a campaign's table says more
                self._show(self._text(line))
        elif line:
            self._console.print(self._text(line))

    def close(self) -> None:
        if self._running:
            self._live.stop()


def describe(event: Mapping[str, object]) -> str:
    """An event as a line of text that is safe to print; empty for events that are only written to the file."""
    return show_controls(_describe(event))


def _describe(event: Mapping[str, object]) -> str:
    name = event["event"]
    if name == "progress":
        return _progress_line(event)
    if name == "phase.start":
        return f"… {event['phase']}"
    if name == "phase.end":
        seconds = cast(float, event["seconds"])
        if event["outcome"] != "done":
            mark = "■" if event["outcome"] == "stopped" else "✗"
            return f"{mark} {event['phase']} {event['outcome']} after {span(seconds)}"
        return f"✓ {event['phase']} ({span(seconds)})" if seconds >= MIN_PHASE_S else ""
    if name == "notice":
        return str(event["text"])
    if name == "run.stopping":
        return "stopping at the next safe point; press Ctrl-C again to stop immediately"
    return ""


def _progress_line(event: Mapping[str, object]) -> str:
    done, total = cast(int, event["done"]), cast("int | None", event["total"])
    part = f"{done}/{total} ({done / total:.0%})" if total else str(done)
    line = f"  {event['what']}: {part}, {cast(float, event['rate']):.4g}/s"
    left = cast("float | None", event.get("eta_s"))
    return line + (f", {span(left)} left" if left else "")


def span(seconds: float) -> str:
    """A time span in words."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
