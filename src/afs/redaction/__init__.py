"""Redaction: secrets and personal data become typed placeholders in every string of a record, metadata included.

A value always gets the same placeholder in one workspace (`<SECRET:github-token:3f2a>`), so joins survive; the value
itself is written nowhere. It runs before anything is stored, and again over what is exported.
"""

from __future__ import annotations

from afs.redaction.engine import Redaction, Redactor, load_salt
from afs.redaction.rules import Rule, load_rules, rules_digest

__all__ = ["Redaction", "Redactor", "Rule", "load_rules", "load_salt", "rules_digest"]
