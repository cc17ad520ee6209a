"""What every family shares: ids, groups, fenced code, a choice of wordings."""

from __future__ import annotations

import re
from typing import Final

from afs.domains.snes.system_prompts import PROMPTS
from afs.domains.snes.task_specs import Spec, dump_spec
from afs.types import Task, digest

DOMAIN: Final = "snes"
VERSION: Final = "2"
"""Version of every family but the tiny ones, whose wording is unchanged since the first."""
_TINY: Final = "1"
GROUPS: Final = 64
"""Tasks of a family fall into this many groups by their constants: the unit of a split."""


def make_task(family: str, prompt: str, reference: str, spec: Spec, *, group: str = "", about: str = "") -> Task:
    """A task; its id follows from what it asks, its group from the constants in `about` (else in the prompt)."""
    data = dump_spec(spec)
    version = _TINY if family.startswith("tiny/") else VERSION
    return Task(
        id=digest((DOMAIN, version, family, prompt, data))[:16],
        domain=DOMAIN,
        family=family,
        prompt=prompt,
        reference=reference,
        spec=data,
        version=version,
        group=group or group_by_constants(family, about or prompt),
        system=PROMPTS.get(family.partition("/")[0], ""),
    )


def group_by_constants(family: str, text: str) -> str:
    """The group of a prompt: by family and the set of constants in it, whatever the wording."""
    constants = sorted(set(re.findall(r"[$#][0-9A-Fa-f]+|\b\d+\b", text)))
    return f"{family}/{int(digest(constants)[:8], 16) % GROUPS}"


def fence_code(code: str) -> str:
    """Code as a Markdown block."""
    return f"```asm\n{code.rstrip()}\n```"
