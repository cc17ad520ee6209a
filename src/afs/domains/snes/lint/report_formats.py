"""Findings as other tools read them: GitHub's annotations, SARIF 2.1.0."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from afs.domains.base import Finding
from afs.domains.snes.lint.rule import rules

_LEVELS: Final = {"error": "error", "warning": "warning", "info": "note"}
_GITHUB: Final = {"error": "error", "warning": "warning", "info": "notice"}
_SCHEMA: Final = "https://json.schemastore.org/sarif-2.1.0.json"


def format_github(findings: Sequence[Finding]) -> str:
    """One workflow command per finding."""
    return "\n".join(
        f"::{_GITHUB[one.severity]} file={_property(one.file)},line={max(one.line, 1)},title={_property(one.rule)}"
        f"::{_escaped(one.message)}"
        for one in findings
    )


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _escaped(text).replace(":", "%3A").replace(",", "%2C")


def format_sarif(findings: Sequence[Finding]) -> str:
    """One run with the rules it names."""
    table = rules()
    names = sorted({one.rule for one in findings})
    described = [
        {"id": name, "shortDescription": {"text": table[name].title if name in table else name}} for name in names
    ]
    results = [
        {
            "ruleId": one.rule,
            "ruleIndex": names.index(one.rule),
            "level": _LEVELS[one.severity],
            "message": {"text": one.message},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": one.file.replace("\\", "/")},
                        "region": {"startLine": max(one.line, 1)},
                    }
                }
            ],
        }
        for one in findings
    ]
    driver = {"name": "afs snes lint", "rules": described}
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}
    return msgspec.json.format(msgspec.json.encode(log), indent=2).decode()
