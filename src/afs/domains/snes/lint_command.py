"""The pack's command `lint`: static remarks on a source, filtered, and in the form that is wanted."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import ClassVar, Literal

import msgspec

from afs import jsonl
from afs.config import Config
from afs.domains.base import Finding
from afs.domains.snes.asm.limits import TRUSTED
from afs.domains.snes.contract import Contract, parse_contract
from afs.domains.snes.lint import LintOptions, index, lint, page, rules
from afs.domains.snes.lint.report_formats import format_github, format_sarif
from afs.domains.snes.lint.suppressions import Known, drop_known, drop_suppressed, make_baseline
from afs.domains.snes.rom import strip_copier_header
from afs.domains.snes.routine_file import parse_address
from afs.errors import DataError, UsageError, boundary
from afs.types import Value


class CodeLintConfig(Config, frozen=True, kw_only=True):
    """What to check."""

    positional: ClassVar[tuple[str, ...]] = ("file",)
    short: ClassVar[dict[str, str]] = {"I": "include", "D": "define"}

    file: Path | None = None
    """A source file."""
    contract: Path | None = None
    """The contract of the routine at the start, as JSON; contracts in comments are read anyway."""
    origin: str = "008000"
    """Where code lies before the first `org`."""
    include: tuple[Path, ...] = ()
    """Folders for incsrc and incbin besides the file's own."""
    define: dict[str, str] = {}
    """Defines, name=value."""
    rom: Path | None = None
    """The ROM the source patches."""
    sure: float = 0.5
    """Report findings of at least this certainty, 0 to 1."""
    rule: tuple[str, ...] = ()
    """Run these rules only."""
    pedantic: bool = False
    """Report the rules that are often wrong, too, and remarks of severity info."""
    baseline: Path | None = None
    """Findings to leave out, a file that `--update-baseline` wrote."""
    update_baseline: bool = False
    """Write the findings to the baseline instead of reporting them."""
    format: Literal["text", "github", "sarif"] = "text"
    """text, or what GitHub's workflows (annotations) and code scanning (SARIF) read."""
    explain: str = ""
    """Show the page of a rule and exit; `all` lists the rules."""


class LintOutcome(Value, frozen=True, kw_only=True):
    """The findings in a file; `errors` counts those of severity error."""

    file: str
    findings: tuple[Finding, ...]
    errors: int
    note: str = ""
    """What was done instead of, or besides, reporting."""

    @property
    def exit_code(self) -> int:
        """3 when there are errors."""
        return 3 if self.errors else 0

    def text(self) -> str:
        """One line per finding, in the format of compilers."""
        lines = [
            f"{one.file}:{one.line}: {one.severity}: {one.message} [{one.rule}, sure {one.sure:.2f}]"
            for one in self.findings
        ]
        count = len(self.findings)
        total = f"{count} finding{'s' * (count != 1)}, {self.errors} error{'s' * (self.errors != 1)}"
        return "\n".join([*lines, *([self.note] if self.note else []), total])


def lint_file(config: CodeLintConfig) -> LintOutcome | str:
    """Run the lint rules over a file, or explain a rule."""
    if config.explain:
        return _explain(config.explain)
    if config.file is None:
        raise UsageError("want a file to check, or --explain RULE")
    unknown = [name for name in config.rule if name not in rules()]
    if unknown:
        raise UsageError(f"--rule: no rule {unknown[0]!r}{_hint(unknown[0])}")
    found = [
        msgspec.structs.replace(one, file=one.file or str(config.file)) for one in lint(*_source(config.file, config))
    ]
    kept = drop_suppressed((one for one in found if _is_wanted(one, config)), _source_text)
    note = ""
    if config.update_baseline:
        note, kept = _write_baseline(config, kept), []
    elif config.baseline is not None:
        known, before = _read_baseline(config.baseline), len(kept)
        kept = drop_known(kept, known, _source_text)
        note = f"{before - len(kept)} known findings left out" if len(kept) < before else ""
    if config.format != "text":
        return format_github(kept) if config.format == "github" else format_sarif(kept)
    errors = sum(one.severity == "error" for one in kept)
    return LintOutcome(file=str(config.file), findings=tuple(kept), errors=errors, note=note)


def _source(path: Path, config: CodeLintConfig) -> tuple[str, LintOptions]:
    options = LintOptions(
        contract=_contract(config.contract),
        origin=parse_address(config.origin, "--origin"),
        file=str(path),
        limits=TRUSTED,
        include_dirs=(path.parent, *config.include),
        defines=config.define,
        rom=strip_copier_header(_read(config.rom))[1] if config.rom else None,
    )
    return _read(path).decode("utf-8", "replace"), options


def _is_wanted(one: Finding, config: CodeLintConfig) -> bool:
    if config.rule:
        return one.rule in config.rule and one.sure >= config.sure
    rule = rules().get(one.rule)
    is_quiet = one.severity == "info" or (rule is not None and rule.pedantic)
    return one.sure >= config.sure and (config.pedantic or not is_quiet)


def _source_text(file: str) -> str:
    path = Path(file)
    return _read(path).decode("utf-8", "replace") if path.is_file() else ""


def _write_baseline(config: CodeLintConfig, findings: list[Finding]) -> str:
    if config.baseline is None:
        raise UsageError("--update-baseline: want --baseline FILE")
    known = make_baseline(findings, _source_text)
    try:
        jsonl.replace(config.baseline, msgspec.json.format(msgspec.json.encode(known), indent=1))
    except OSError as error:
        raise DataError(f"{config.baseline}: cannot be written: {error.strerror}") from error
    return f"wrote {len(findings)} findings to {config.baseline}"


def _read_baseline(path: Path) -> list[Known]:
    with boundary(DataError, str(path)):
        return msgspec.json.decode(_read(path), type=list[Known])


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}") from error


def _contract(path: Path | None) -> Contract | None:
    if path is None:
        return None
    with boundary(DataError, str(path)):
        return parse_contract(msgspec.json.decode(_read(path)))


def _explain(name: str) -> str:
    if name == "all":
        return index()
    if name not in rules():
        raise UsageError(f"--explain: no rule {name!r}{_hint(name)}")
    return page(name)


def _hint(name: str) -> str:
    close = difflib.get_close_matches(name, list(rules()), n=1)
    return f"; did you mean {close[0]!r}?" if close else f"; there are: {', '.join(rules())}"
