"""Rules for model names, and whether a name matches its artifact.

`project-domain-vN` · `oracle-NAME-ROLE[-BASE-DATE]` · a short name (`din`) · detail tags (`2026-01-07-1562samples`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

from afs.errors import RefusedError, UsageError
from afs.types import Artifact

NAME = re.compile(r"^[a-z0-9]+(?:[-.][a-z0-9]+)*$")
DETAIL = re.compile(r"^[a-z0-9][a-z0-9.-]*$")
_BASES = re.compile(r"(qwen|gemma|llama|mistral|phi|deepseek|smollm|codellama|starcoder)-?(\d(?:\.?\d)?)?(-coder)?")
_SIZE = re.compile(r"(?<![a-z0-9.])(\d+(?:\.\d+)?)b(?![a-z0-9])")
_SAMPLES = re.compile(r"(\d+)samples")
_SIZE_TOLERANCE = 0.25
"""A model called `7b` may have 7.6 billion parameters; a `14b` must not be called `7b`."""


class NameClaims(NamedTuple):
    """What a name claims about its model; None where it claims nothing."""

    base: str | None
    size_b: float | None
    samples: int | None


def check_name(name: str) -> None:
    """Refuse a name that fits no naming scheme."""
    if not NAME.match(name):
        raise UsageError(
            f"{name!r}: names are lower-case words joined by `-`: project-domain-vN, oracle-NAME-ROLE, or a short name"
        )


def check_detail(detail: str) -> None:
    """Refuse a detail tag that cannot follow `name:`."""
    if detail and (not DETAIL.match(detail) or detail in ("champion", "candidate", "previous")):
        raise UsageError(f"{detail!r}: a detail tag is lower-case letters, digits, `.` and `-`, and no alias")


def read_name_claims(text: str) -> NameClaims:
    """Parse what a name or tag claims."""
    low = text.lower()
    size, samples = _SIZE.search(low), _SAMPLES.search(low)
    return NameClaims(
        base=max((_family(match) for match in _BASES.finditer(low)), key=len, default=None),
        size_b=float(size[1]) if size else None,
        samples=int(samples[1]) if samples else None,
    )


def _family(match: re.Match[str]) -> str:
    number = (match[2] or "").replace(".", "")
    return f"{match[1]}{number}{match[3] or ''}"


def find_contradictions(
    text: str, artifact: Artifact, base_facts: Mapping[str, object], samples: int | None
) -> list[str]:
    """Where a name contradicts the files: base, size or number of samples."""
    claimed = read_name_claims(text)
    found = []
    real = read_name_claims(_origin(artifact, base_facts))
    if claimed.base and real.base and not _same_base(claimed.base, real.base):
        found.append(f"it claims {claimed.base}, the base is {real.base}")
    parameters = base_facts.get("parameters")
    if claimed.size_b and isinstance(parameters, int) and parameters:
        size = parameters / 1e9
        if not 1 - _SIZE_TOLERANCE <= size / claimed.size_b <= 1 + _SIZE_TOLERANCE:
            found.append(f"it claims {claimed.size_b:g}b, the base has {size:.3g} billion parameters")
    elif claimed.size_b and real.size_b and claimed.size_b != real.size_b:
        found.append(f"it claims {claimed.size_b:g}b, the base is called {real.size_b:g}b")
    if claimed.samples is not None and samples is not None and claimed.samples != samples:
        found.append(f"it claims {claimed.samples} samples, the training set has {samples}")
    return found


def _origin(artifact: Artifact, base_facts: Mapping[str, object]) -> str:
    return str(base_facts.get("name") or artifact.facts.get("base") or artifact.base)


def _same_base(claimed: str, real: str) -> bool:
    """Whether the shorter of two base names is the beginning of the other (`qwen` fits `qwen25-coder`)."""
    short, long = sorted((claimed, real), key=len)
    return long.startswith(short)


def refuse_contradictions(name: str, detail: str, found: list[str]) -> None:
    """Raise when a name contradicts its artifact."""
    if found:
        full = f"{name}:{detail}" if detail else name
        raise RefusedError(f"{full}: the name contradicts the artifact: {'; '.join(found)}")
