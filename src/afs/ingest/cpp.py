"""C++ APIs: documented functions with their signature, and calls of them found in the same tree."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from afs import licenses
from afs.config import Config
from afs.ingest import file_walk
from afs.ingest.base import Reading, Unit, assistant, user
from afs.source_code import cpp_calls
from afs.source_code.cpp_functions import CppFunction, find_functions
from afs.types import Dropped, Record

_HEADERS = (".h", ".hpp", ".hh", ".hxx")
_SOURCES = (*_HEADERS, ".cc", ".cpp", ".cxx", ".c")


class Cpp(Config, frozen=True, kw_only=True):
    """The headers of a tree."""

    version = "2"

    def units(self, place: Path) -> Iterator[Unit]:
        """Every header, with the tree's sources and tests of its name to look for calls."""
        sources = tuple(path for path in file_walk.walk_files(place, _SOURCES) if not path.is_symlink())
        for path in sources:
            if path.suffix.lower() in _HEADERS:
                named = {path.stem, f"{path.stem}_test", f"{path.stem}-test"}
                yield Unit(
                    path, file_walk.label_path(place, path), tuple(p for p in sources if p.stem in named and p != path)
                )

    def read(self, unit: Unit, reading: Reading) -> Iterator[Record | Dropped]:
        """A record per function."""
        text = file_walk.read_text(unit, reading)
        sources = [cpp_calls.CallSource(p.read_text("utf-8", "replace")) for p in unit.beside]
        license = licenses.find_tag(text) or reading.license
        found = list(find_functions(text))
        overloads = Counter(function.name for function in found if function.doc)
        for function in found:
            reading.count_found()
            others = [f.wanted for f in found if f.name == function.name and f.signature != function.signature]
            examples = cpp_calls.find_examples(function.wanted, others, sources)
            yield _build_record(function, examples, license, reading, overloaded=overloads[function.name] > 1)


def _build_record(
    function: CppFunction, examples: list[str], license: str, reading: Reading, *, overloaded: bool
) -> Record | Dropped:
    answer = f"```cpp\n{function.signature}\n```\n\n{function.doc}"
    if examples:
        answer += "\n\nFor example:\n\n```cpp\n" + "\n\n".join(examples) + "\n```"
    asked = f"{function.name}{function.wanted.parameters}" if overloaded else function.name
    access = (f"access:{function.access}",) if function.access else ()
    record = reading.build_record(
        "api",
        [user(f"What does the C++ function `{asked}` do, and how is it called?"), assistant(answer)],
        place=f"L{function.line}",
        origin={"license": license, "group": reading.uri()},
        extra={"tags": ("language:cpp", f"symbol:{function.name}", *access)},
    )
    return record if len(function.doc.split()) >= 3 else Dropped(record=record, reason="no documentation")
