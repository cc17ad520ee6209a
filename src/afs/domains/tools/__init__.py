"""The pack `tools`: tool calls that are executed in a file tree held in memory."""

from afs.domains.tools.pack import DOMAIN

__all__ = ["DOMAIN"]
