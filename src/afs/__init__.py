"""afs: a factory for councils of small expert models whose every claim is checked by execution."""

__version__ = "0.1.0"
