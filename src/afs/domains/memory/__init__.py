"""The pack `memory`: a history into short notes, each of which names the messages it rests on."""

from afs.domains.memory.pack import DOMAIN

__all__ = ["DOMAIN"]
