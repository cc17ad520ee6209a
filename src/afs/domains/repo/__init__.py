"""The pack `repo`: a Python repository with its tests, as tasks that its own tests judge."""

from afs.domains.repo.pack import DOMAIN

__all__ = ["DOMAIN"]
