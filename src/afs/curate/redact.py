"""The step `redact`: once more over everything, so that what another tool brought in is clean too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import cast

import msgspec

from afs.config import Config
from afs.curate.step_context import RecordStream, StepContext
from afs.redaction import Redactor, load_rules, load_salt
from afs.types import Dropped, Json, Record


class Redact(Config, frozen=True, kw_only=True):
    """Hide secrets and personal data."""

    names: tuple[str, ...] = ()
    """Names to hide beside the rules."""
    allow: tuple[str, ...] = ()
    """Values left alone."""
    also: tuple[str, ...] = ()
    """Optional rules to apply: `phone`, `card`."""
    rules: str = ""
    """A gitleaks configuration whose rules are added."""

    def __call__(self, records: RecordStream, context: StepContext) -> Iterator[Record | Dropped]:
        """Every record without secrets; two that become equal are one."""
        redactor = Redactor(
            load_rules(Path(self.rules) if self.rules else None, self.also),
            salt=load_salt(context.workspace.root),
            names=self.names,
            allow=self.allow,
        )
        seen: set[str] = set()
        for record in records:
            clean, hits = redactor.record(record)
            if hits:
                context.keep("redactions.jsonl", (cast(Json, msgspec.to_builtins(hit)) for hit in hits))
                if clean.id in seen:
                    yield Dropped(record=clean, reason="duplicate: equal after redaction")
                    continue
            seen.add(clean.id)
            yield clean
        context.note("redact", **dict(redactor.counts))
