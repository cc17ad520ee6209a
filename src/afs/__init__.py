"""afs: a factory for councils of small expert models whose every claim is checked by execution.

    import afs

    task = afs.make_tasks("sums", "add", 1)[0]
    afs.verify(task, task.reference).ok

The names of `afs.api` are here too; they load when they are first used, so that `import afs` stays cheap.
"""

from __future__ import annotations

import importlib

__version__ = "0.1.0"
_API = (
    "ExpertAnswer",
    "AfsError",
    "ConfigError",
    "DataError",
    "Factory",
    "ProviderError",
    "RefusedError",
    "UsageError",
    "list_domains",
    "list_families",
    "make_tasks",
    "open_workspace",
    "verify",
)


def __getattr__(name: str) -> object:
    """The public API, loaded on first use."""
    if name in _API:
        return getattr(importlib.import_module("afs.api"), name)
    raise AttributeError(f"module 'afs' has no attribute {name!r}")
