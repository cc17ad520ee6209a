"""`afs eval gate`: whether a model may become champion. What was not measured is unknown, and unknown does not pass.

The target must be significantly better than the base, guarded categories at most a margin worse, no item in the
training data, answers in form and of similar length, and the evaluated files must be the stored files.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from afs import jsonl
from afs.config import decode, load_toml, merge, to_table
from afs.errors import ConfigError, RefusedError
from afs.evaluate.gate_checks import CONDITIONS, Case, GateCheck, GateConfig, measured_digest, open_case
from afs.evaluate.report_store import StoredReport
from afs.manifests import file_entry, other_entries, write_manifest
from afs.plugins import suggest_name
from afs.registry import alpha_spending
from afs.registry.event_log import RegistryLog
from afs.runs import Run
from afs.types import Report
from afs.workspace import MANIFEST

__all__ = ["GateConfig", "all_passed", "eval_gate", "gate_reason"]

PRESETS = Path(__file__).parent / "gates"
CHECKS = "checks.jsonl"


def eval_gate(config: GateConfig, run: Run) -> Report:
    """Run every check and store the outcome; raises when the gate fails."""
    config = apply_preset(config)
    case = open_case(config, run.workspace)
    with run.phase("check"):
        checks = [check for find in CONDITIONS for check in find(case)]
    report = _store(case, checks, run)
    source = case.report
    alpha_spending.record_gate(
        RegistryLog(run.workspace),
        source.suite,
        report.ref,
        suite=source.suite_digest,
        results=source.results.sha256,
        seal=report.seal,
        subject=source.subject,
        passed=all_passed(checks),
    )
    if not all_passed(checks):
        raise RefusedError(f"{gate_reason(checks)}; the gate's report is {report.ref}\n{format_checks(checks)}")
    return report


def apply_preset(config: GateConfig) -> GateConfig:
    """The config, with the preset's values as defaults."""
    if not config.preset:
        return config
    path = Path(config.preset) if config.preset.endswith(".toml") else PRESETS / f"{config.preset}.toml"
    if not path.is_file():
        known = sorted(p.stem for p in PRESETS.glob("*.toml"))
        raise ConfigError("preset", f"no preset is called {config.preset!r}{suggest_name(config.preset, known)}")
    default = to_table(GateConfig(report=config.report))
    given = {key: value for key, value in to_table(config).items() if value != default[key]}
    return decode(GateConfig, merge(load_toml(path), {**given, "report": config.report}), file=str(path))


def all_passed(checks: Sequence[GateCheck]) -> bool:
    """Whether every check passed; unknown is not passed."""
    return all(check.passed for check in checks)


def gate_reason(checks: Sequence[GateCheck]) -> str:
    """The gate's verdict in one line."""
    bad = [check for check in checks if not check.passed]
    if not bad:
        return f"passed {len(checks)} checks"
    words = [f"{c.name} {'failed' if c.passed is False else 'unknown'} ({c.measured}, want {c.wanted})" for c in bad]
    return "the gate failed: " + "; ".join(words)


def format_checks(checks: Sequence[GateCheck]) -> str:
    """All checks as lines."""
    width = max(len(check.name) for check in checks)
    words = {True: "pass", False: "FAIL", None: "unknown"}
    return "\n".join(f"  {words[c.passed]:<8}{c.name:<{width}}  {c.measured}   (want {c.wanted})" for c in checks)


def _store(case: Case, checks: Sequence[GateCheck], run: Run) -> StoredReport:
    source = case.report
    name = f"{source.ref.partition('@')[0]}-gate"
    verdict = {"passed": all_passed(checks), "reason": gate_reason(checks), "checks": msgspec.to_builtins(checks)}
    words = "may be shipped" if all_passed(checks) else "may not be shipped"
    environment = {
        "verdict": f"{source.subject} {words}: {gate_reason(checks)}.",
        "notes": format_checks(checks).splitlines(),
        "gate": verdict,
        "report": source.ref,
        "subject_digest": measured_digest(source),
        "base": case.base,
        "config": to_table(case.config),
    }
    earlier = run.workspace.newest_of_run("report", name, run.id, StoredReport)
    if earlier and earlier.environment.get("gate") == verdict:
        return earlier  # this run was killed after it had stored its outcome
    with run.workspace.new_version("report", name) as (ref, folder):
        jsonl.write(folder / CHECKS, checks)
        made = StoredReport(
            ref=str(ref),
            subject=source.subject,
            suite=source.suite,
            suite_digest=source.suite_digest,
            results=file_entry(folder, folder / CHECKS, len(checks)),
            summary={key: value for key, value in source.summary.items() if key.startswith("difference")},
            environment=environment,
            run=run.id,
        )
        made = write_manifest(
            folder / MANIFEST, msgspec.structs.replace(made, files=other_entries(folder, [made.results]))
        )
    return made
