"""What every family shares: ids, groups, fenced code, a choice of wordings."""

from __future__ import annotations

import random
import re
from typing import Final

from afs.domains.snes.task_specs import Spec, dump
from afs.types import Task, digest

DOMAIN: Final = "snes"
VERSION: Final = "1"
GROUPS: Final = 64
"""Tasks of a family fall into this many groups by their constants: the unit of a split."""


def make_task(family: str, prompt: str, reference: str, spec: Spec, *, group: str = "", about: str = "") -> Task:
    """A task; its id follows from what it asks, its group from the constants in `about` (else in the prompt)."""
    data = dump(spec)
    return Task(
        id=digest((DOMAIN, VERSION, family, prompt, data))[:16],
        domain=DOMAIN,
        family=family,
        prompt=prompt,
        reference=reference,
        spec=data,
        version=VERSION,
        group=group or constants_group(family, about or prompt),
    )


def constants_group(family: str, text: str) -> str:
    """The group of a prompt: by family and the set of constants in it, whatever the wording."""
    constants = sorted(set(re.findall(r"[$#][0-9A-Fa-f]+|\b\d+\b", text)))
    return f"{family}/{int(digest(constants)[:8], 16) % GROUPS}"


def fenced(code: str) -> str:
    """Code as a Markdown block."""
    return f"```asm\n{code.rstrip()}\n```"


def pick(rng: random.Random, wordings: tuple[str, ...], **values: object) -> str:
    """One of the wordings with its values put in."""
    return rng.choice(wordings).format(**values)
