"""The check `command`: a program judges the answer in the sandbox; exit code 0 is right.

A program that is missing, hangs, floods its output or passes another limit says nothing about the answer, unless the
task's reference passes under the same limits: then the answer is at fault.
"""

from __future__ import annotations

import re
import shlex
from pathlib import Path
from typing import ClassVar, Final

import msgspec

from afs.checks import program_lookup
from afs.checks.answer_code import extract_code
from afs.checks.carried_files import read_files, write_files
from afs.checks.verdicts import NO_ANSWER, judge_as, judge_unknown
from afs.config import Config, Positive
from afs.domains.base import strip_thinking
from afs.errors import AfsError, ConfigError
from afs.sandbox import ProgramResult, Sandbox, SandboxLimits, scratch
from afs.types import Json, Task, Verdict

_TASK_FILE: Final = "task.json"
_HOLES: Final = re.compile(r"\{(file|answer|task|folder)\}")
_QUOTED: Final = re.compile(r"""(['"])(\{(?:file|answer|task|folder)\})\1""")
_SHELL: Final = re.compile(r"[|&;<>`$*]")
_WORD: Final = re.compile(r"[\w./+-]+")
_ENDINGS: Final = (
    (r"\bpytest|\bpython|\bruff\b|\bmypy\b", "answer.py"),
    (r"\bsql", "answer.sql"),
    (r"\bnode\b|\bdeno\b|\beslint\b", "answer.js"),
    (r"\btsc\b", "answer.ts"),
    (r"\bg\+\+|\bclang\+\+", "answer.cpp"),
    (r"\bgcc\b|\bcc\b|\bclang\b", "answer.c"),
    (r"\brustc\b", "answer.rs"),
    (r"\bgo\b", "answer.go"),
    (r"\bsh\b|\bbash\b|\bshellcheck\b", "answer.sh"),
    (r"\bjq\b", "answer.json"),
)
"""What the answer's file is called, by the program that reads it."""
_CANNOT_RUN: Final = {126: "it cannot be executed", 127: "no such command"}
_PYTEST: Final = re.compile(r"\bpytest\b")
_PYTEST_CODES: Final = {3: "pytest had an internal error", 4: "pytest was called wrongly", 5: "pytest found no tests"}
_PYTEST_PASSED: Final = re.compile(r"\b\d+ passed\b")
"""An answer that ends the program early with code 0 has passed no test."""
_NO_MODULE: Final = re.compile(r": No module named [\w.]+\s*\Z")
_TELLING: Final = re.compile(r"^E  |\b\w*(?:Error|Exception)\b|\berror\b|\bFAILED\b", re.M)
_REASON: Final = 240


class CommandCheck(Config, frozen=True, kw_only=True):
    """Runs a command on the answer."""

    id: ClassVar[str] = "command"
    version: ClassVar[str] = "1"
    run: str
    """The command: `{file}` is a file with the answer's code, `{answer}` the whole answer, `{task}` a JSON file
    with the task, `{folder}` the folder they are in, which is also the working folder."""
    file: str = ""
    """Name of the answer's file; empty: by the program, such as `answer.py` for pytest."""
    copies: tuple[str, ...] = ()
    """Files and folders to put beside the answer, relative to where the check is written."""
    files: dict[str, str] = {}
    """Files to put beside the answer: name -> text; a task's own `spec.files` are put there too."""
    readable: tuple[str, ...] = ()
    """Additional folders that the program may read."""
    unknown: tuple[int, ...] = ()
    """Exit codes that say nothing about the answer."""
    timeout_s: Positive = 20
    """Seconds for one answer."""
    memory_mb: Positive = 1024
    """Memory of all its processes."""
    processes: Positive = 32
    """Processes it may start."""

    @property
    def longest_s(self) -> float:
        """The answer, the reference as a control, and the start of the sandbox."""
        return 3.0 * self.timeout_s + 20.0

    def find_problem(self) -> str:
        """A program that is not there, or no sandbox."""
        words = self._split(self.run)
        name = words[0] if words else ""
        if not program_lookup.find_program(name):
            return f"the check's command {name!r} is not installed"
        return program_lookup.find_sandbox_problem()

    def pack_files(self, folder: Path) -> CommandCheck:
        """The check with the files it names, and those its command names, inside itself."""
        if not _HOLES.search(self.run):
            raise ConfigError("check.run", f"{self.run!r} names neither {{file}} nor {{answer}} nor {{folder}}")
        named = sorted({word for word in _WORD.findall(_HOLES.sub(" ", self.run)) if _is_file(folder, word)})
        files = read_files(folder, (*self.copies, *named))
        return msgspec.structs.replace(self, copies=(), files={**files, **self.files}) if files else self

    def judge(self, task: Task, answer: str) -> Verdict:
        """What the command says of the answer."""
        code = extract_code(answer, task.prompt)
        if not code:
            return judge_as(task, False, stage="extract", reason=NO_ANSWER)
        if problem := self.find_problem():
            return judge_unknown(task, problem)
        try:
            found = self._run(task, answer, code)
            if not found.stopped_by:
                return self._read(task, found)
            return self._judge_stopped(task, found)
        except AfsError as error:
            return judge_unknown(task, f"the check cannot be run: {error}")

    def _judge_stopped(self, task: Task, found: ProgramResult) -> Verdict:
        """A program that a limit ended: the answer's fault only if the reference passes under the same limits."""
        limit = f"{self.timeout_s} s" if found.stopped_by == "timeout" else found.stopped_by
        reason = f"the check was stopped by its limit ({limit})"
        code = extract_code(task.reference, task.prompt)
        if found.stopped_by == "killed" or not code:
            return judge_unknown(task, reason)
        control = self._run(task, task.reference, code)
        if control.stopped_by or not self._read(task, control).ok:
            return judge_unknown(task, f"{reason}, and the reference does not pass either")
        return judge_as(task, False, stage="limit", reason=f"{reason}; the reference passes")

    def _run(self, task: Task, answer: str, code: str) -> ProgramResult:
        with scratch("check") as folder:
            name = self.file or next((n for p, n in _ENDINGS if re.search(p, self.run)), "answer.txt")
            extra = task.spec.get("files")
            write_files(folder, self.files)
            write_files(folder, extra if isinstance(extra, dict) else {})
            write_files(folder, {name: code + "\n", _TASK_FILE: msgspec.json.encode(_as_json(task)).decode()})
            holes = {
                "file": str(folder / name),
                "answer": strip_thinking(answer).strip(),
                "task": str(folder / _TASK_FILE),
                "folder": str(folder),
            }
            words = [_HOLES.sub(lambda hole: holes[hole[1]], word) for word in self._split(self.run)]
            program = program_lookup.find_program(words[0])
            limits = SandboxLimits(memory_mb=self.memory_mb, processes=self.processes, open_files=256)
            box = Sandbox(limits, program_lookup.list_readable(program, self.readable), folder)
            environment = {"PATH": program_lookup.search_path(), "PYTHONDONTWRITEBYTECODE": "1"}
            found = box.run([program, *words[1:]], timeout_s=self.timeout_s, environment=environment)
            return msgspec.structs.replace(
                found, stdout=_without(found.stdout, folder), stderr=_without(found.stderr, folder)
            )

    def _split(self, text: str) -> list[str]:
        """The command as words; one that uses the shell's signs is run by the shell, its holes as arguments."""
        if not _SHELL.search(_HOLES.sub("", text)):
            return shlex.split(text)
        text = _QUOTED.sub(r"\2", text)
        names = list(dict.fromkeys(_HOLES.findall(text)))
        script = _HOLES.sub(lambda hole: f'"${{{names.index(hole[1]) + 1}}}"', text)
        return ["sh", "-c", script, "check", *(f"{{{name}}}" for name in names)]

    def _read(self, task: Task, found: ProgramResult) -> Verdict:
        """The verdict of a program that ended by itself."""
        code, out = found.exit_code, (found.stdout + b"\n" + found.stderr).decode("utf-8", "replace").strip()
        is_pytest = bool(_PYTEST.search(self.run))
        if code in _CANNOT_RUN:
            return judge_unknown(task, f"the check's command: {_CANNOT_RUN[code]}: {_reason(out)}")
        if is_pytest and code in _PYTEST_CODES:
            return judge_unknown(task, _PYTEST_CODES[code])
        if code in self.unknown:
            return judge_unknown(task, f"exit code {code}")
        if code and (missing := _NO_MODULE.search(out)) and " -m " in self.run:
            return judge_unknown(task, f"the check's command{missing[0].strip()}")
        if code == 0 and is_pytest and not _PYTEST_PASSED.search(out):
            return judge_as(task, False, stage="run", reason="pytest ended without saying that a test passed")
        return judge_as(task, code == 0, stage="run", reason="" if code == 0 else _reason(out) or f"exit code {code}")


def _is_file(folder: Path, word: str) -> bool:
    return word[0] not in "-/" and ".." not in word and (folder / word).is_file()


def _as_json(task: Task) -> Json:
    spec = {key: value for key, value in task.spec.items() if key != "check"}
    return {"id": task.id, "prompt": task.prompt, "reference": task.reference, "spec": spec}


def _without(output: bytes, folder: Path) -> bytes:
    """Output that names no scratch folder: equal answers get equal verdicts."""
    return output.replace(f"{folder}/".encode(), b"").replace(str(folder).encode(), b".")


def _reason(out: str) -> str:
    """The line that says most."""
    lines = [line.strip() for line in out.splitlines() if line.strip()]
    telling = next((line for line in lines if _TELLING.search(line)), lines[-1] if lines else "")
    return telling.removeprefix("E ").strip()[:_REASON]
