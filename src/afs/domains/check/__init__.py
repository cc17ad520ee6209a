"""The pack of tasks that carry their own check: a command, a schema, a pattern, an exact answer, a Python function."""

from afs.domains.check.pack import DOMAIN

__all__ = ["DOMAIN"]
