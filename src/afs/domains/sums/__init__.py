"""The pack `sums`: small number puzzles; the template for a pack of your own."""

from afs.domains.sums.pack import DOMAIN

__all__ = ["DOMAIN"]
