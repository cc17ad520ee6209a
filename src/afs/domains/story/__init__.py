"""The pack for stories: answers are checked against a canon that the user has declared."""

from afs.domains.story.pack import DOMAIN

__all__ = ["DOMAIN"]
