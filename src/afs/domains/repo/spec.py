"""The task's own data: all that a check needs besides the snapshot."""

from __future__ import annotations

from afs.types import Value


class RepoSpec(Value, frozen=True, kw_only=True):
    """One task on one function of a snapshot."""

    snapshot: str
    """Digest of the files the answer is put into."""
    repository: str
    commit: str = ""
    license: str = ""
    date: str = ""
    """Day of the module's last change, or of the commit."""
    python: str = ""
    memory_mb: int = 1024
    path: str
    name: str
    """Qualified name of the function."""
    tests: tuple[str, ...] = ()
    kind: str = ""
    """What was changed, in `fix` and `test`."""
    fault: str = ""
    """The function with a fault in it."""
    call: str = ""
    """Arguments of the call to be predicted."""
    old: str = ""
    """The module before a historical fix: the answer is put into this text instead of the snapshot's."""
