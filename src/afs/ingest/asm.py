"""Assembly trees: routines with the comments above them, their dialect, their contract and the symbols they use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from afs import licenses
from afs.config import Config
from afs.ingest import file_walk
from afs.ingest.asm_dialects import detect_dialect
from afs.ingest.asm_routines import Routine, find_routines
from afs.ingest.base import Reading, Unit, assistant, user
from afs.ingest.source_domains import place_units
from afs.types import Dropped, Record

ENDINGS = (".asm", ".s", ".65s", ".inc", ".a65", ".asar", ".s700", ".wla")
_MOST_SYMBOLS = 24


class Asm(Config, frozen=True, kw_only=True):
    """A tree of assembly sources."""

    version = "2"

    least: int = 3
    """Fewest operations of a routine."""
    most: int = 200
    """Most lines of a routine."""

    def units(self, place: Path) -> Iterator[Unit]:
        """Every assembly file."""
        return place_units(file_walk.list_units(place, ENDINGS))

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per routine."""
        text = file_walk.read_text(unit, reading)
        dialect = detect_dialect(text)
        license = licenses.find_tag(text) or reading.license
        for routine in find_routines(text, dialect):
            reading.count_found()
            yield self._build_record(routine, dialect, license, reading)

    def _build_record(self, routine: Routine, dialect: str, license: str, reading: Reading) -> Record | Dropped:
        contract = "".join(f"\n{line}" for line in routine.contract)
        asked = f"Write the assembly routine `{routine.name}`: {routine.comment}{contract}"
        symbols = routine.symbols[:_MOST_SYMBOLS]
        record = reading.build_record(
            "asm",
            [user(asked), assistant(f"```asm\n{routine.code}\n```")],
            place=f"L{routine.first}-{routine.last}",
            origin={"license": license, "group": reading.uri()},
            extra={"tags": (f"dialect:{dialect}", *(f"symbol:{name}" for name in symbols))},
        )
        if routine.operations < self.least:
            return Dropped(record=record, reason="too few operations", detail=str(routine.operations))
        if routine.last - routine.first >= self.most:
            return Dropped(record=record, reason="too long")
        if not routine.comment and not routine.contract:
            return Dropped(record=record, reason="no comment")
        return record
