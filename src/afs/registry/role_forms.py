"""Forms that a name's role permits: a council is not an adapter. The rosters in `presets/` say which name has which."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib import resources

from afs.errors import RefusedError
from afs.types import Artifact

_STRUCTURES = ("council", "router")
"""Forms that route questions instead of answering them; as words of a name they state its form."""


def refuse_other_form(name: str, artifact: Artifact) -> None:
    """Raise when the role of a name asks for another form than the artifact has."""
    words = name.split("-")
    forms = _roster_forms().get(name) or tuple(form for form in _STRUCTURES if form in words)
    structures = tuple(form for form in forms if form in _STRUCTURES)
    if structures and artifact.form not in structures:
        wanted = " or ".join(structures)
    elif forms and not structures and artifact.form in _STRUCTURES:
        wanted = "model that answers"
    else:
        return
    raise RefusedError(
        f"{name} is the name of a {wanted}; {artifact.ref} has the form {artifact.form}: register it under another name"
    )


@cache
def _roster_forms() -> dict[str, tuple[str, ...]]:
    """Name -> forms, of every roster member."""
    return {
        row["name"]: tuple(row.get("forms", ("adapter",)))
        for entry in (resources.files("afs.registry") / "presets").iterdir()
        if entry.name.endswith(".toml")
        for row in tomllib.loads(entry.read_text(encoding="utf-8"))["experts"]
    }
