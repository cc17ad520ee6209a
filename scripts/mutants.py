"""Changes one small thing in the code at a time and asks the tests: a change that no test notices is a survivor.

    python scripts/mutants.py draw --seed 1301 --count 150 > scripts/mutants-1.jsonl    (committed before any is run)
    python scripts/mutants.py run scripts/mutants-1.jsonl --results results.jsonl [--seconds 240]

`scripts/mutants.toml` says which tests guard which module, and which wider ones are asked about a survivor. Everything
happens in a copy of the tree, one mutant after the other, each in a forked child with a time limit; `run` resumes after
the last result. A survivor that changes nothing a user could see is listed in `scripts/mutants.toml` with the reason.
"""

from __future__ import annotations

import argparse
import ast
import compileall
import json
import os
import random
import resource
import shutil
import signal
import sys
import tempfile
import time
import tomllib
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import msgspec  # noqa: F401  imported before the fork, so that each mutant does not pay for it
import numpy  # noqa: F401
import pytest

ROOT = Path(__file__).parents[1]
TABLE = tomllib.loads((ROOT / "scripts/mutants.toml").read_text())
COMPARED: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE), ast.LtE: (ast.Lt, ast.Gt), ast.Gt: (ast.GtE, ast.LtE), ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,),
}  # fmt: skip
"""The boundary and the opposite of each comparison."""
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.FloorDiv, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult, ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr, ast.LShift: ast.RShift, ast.RShift: ast.LShift,
    ast.Pow: ast.Mult,
}  # fmt: skip
MOST_BYTES = 4 << 30


class Mutant(NamedTuple):
    """One change: the text from one place to another in a module, and what stands there instead."""

    module: str
    line: int
    column: int
    end_line: int
    end_column: int
    operator: str
    old: str
    new: str


class Finder(ast.NodeVisitor):
    """Every mutant of a module. Annotations, docstrings and imports are left alone."""

    def __init__(self, module: str, source: str) -> None:
        self.module, self.lines = module, source.encode().splitlines(keepends=True)
        self.found: list[Mutant] = []
        self.visit(ast.parse(source))

    def add(self, node: ast.expr | ast.stmt, operator: str, new: str) -> None:
        assert node.end_lineno is not None and node.end_col_offset is not None
        place = (node.lineno, node.col_offset, node.end_lineno, node.end_col_offset)
        self.found.append(Mutant(self.module, *place, operator, cut(self.lines, *place), new))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for part in (*node.args.defaults, *(d for d in node.args.kw_defaults if d), *node.body):
            self.visit(part)

    def visit_Import(self, _: ast.Import) -> None:
        pass

    def visit_ImportFrom(self, _: ast.ImportFrom) -> None:
        pass

    def visit_Compare(self, node: ast.Compare) -> None:
        for number, kind in enumerate(node.ops):
            for other in COMPARED[type(kind)]:
                ops = [*node.ops[:number], other(), *node.ops[number + 1 :]]
                changed = ast.Compare(node.left, ops, node.comparators)
                self.add(node, "comparison", f"({ast.unparse(changed)})")
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        other = ast.And() if isinstance(node.op, ast.Or) else ast.Or()
        self.add(node, "boolean", f"({ast.unparse(ast.BoolOp(other, node.values))})")
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not | ast.USub):
            self.add(
                node, "boolean" if isinstance(node.op, ast.Not) else "arithmetic", f"({ast.unparse(node.operand)})"
            )
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        if other := COMPUTED.get(type(node.op)):
            self.add(node, "arithmetic", f"({ast.unparse(ast.BinOp(node.left, other(), node.right))})")
        self.generic_visit(node)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if other := COMPUTED.get(type(node.op)):
            self.add(node, "arithmetic", ast.unparse(ast.AugAssign(node.target, other(), node.value)))
        self.add(node, "removed", "pass")
        self.visit(node.value)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self.add(node, "constant", str(not node.value))
        elif isinstance(node.value, int | float):
            self.add(node, "constant", f"({node.value + 1})")
            self.add(node, "constant", f"({node.value - 1})")

    def visit_JoinedStr(self, _: ast.JoinedStr) -> None:
        """The places in a formatted text are not those of the source before Python 3.12."""

    def visit_Return(self, node: ast.Return) -> None:
        if node.value is not None and not (isinstance(node.value, ast.Constant) and node.value.value is None):
            self.add(node, "return", "return None")
        self.generic_visit(node)

    def visit_Raise(self, node: ast.Raise) -> None:
        self.add(node, "removed", "pass")
        self.generic_visit(node)

    def visit_Expr(self, node: ast.Expr) -> None:
        if not isinstance(node.value, ast.Constant):
            self.add(node, "removed", "pass")
            self.generic_visit(node)

    def visit_If(self, node: ast.If | ast.IfExp) -> None:
        self.add(node.test, "negated", f"(not ({ast.unparse(node.test)}))")
        self.generic_visit(node)

    def visit_IfExp(self, node: ast.IfExp) -> None:
        self.visit_If(node)

    def visit_comprehension(self, node: ast.comprehension) -> None:
        for test in node.ifs:
            self.add(test, "negated", f"(not ({ast.unparse(test)}))")
        self.generic_visit(node)


def cut(lines: list[bytes], line: int, column: int, end_line: int, end_column: int) -> str:
    """The text between two places; columns count bytes, as in `ast`."""
    if line == end_line:
        return lines[line - 1][column:end_column].decode()
    inner = b"".join(lines[line : end_line - 1])
    return (lines[line - 1][column:] + inner + lines[end_line - 1][:end_column]).decode()


def mutate(source: str, mutant: Mutant) -> str:
    """The module with the change; it is looked for near its place, as lines above it may have come or gone."""
    lines = source.encode().splitlines(keepends=True)
    rows = mutant.end_line - mutant.line
    at = sorted(range(1, len(lines) - rows + 1), key=lambda line: abs(line - mutant.line))
    for line in at:
        if cut(lines, line, mutant.column, line + rows, mutant.end_column) == mutant.old:
            before = b"".join(lines[: line - 1]) + lines[line - 1][: mutant.column]
            after = lines[line + rows - 1][mutant.end_column :] + b"".join(lines[line + rows :])
            return (before + mutant.new.encode() + after).decode()
    raise LookupError(f"{mutant.module}:{mutant.line}: {mutant.old!r} is not there any more")


def all_mutants() -> Iterator[Mutant]:
    """Every mutant of every module of the table, in a fixed order."""
    for module in sorted(TABLE["tests"]):
        yield from Finder(module, (ROOT / module).read_text()).found


class Bench:
    """A copy of the tree in which mutants are tried."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        skip = shutil.ignore_patterns("__pycache__", "*.pyc", ".git")
        for name in ("src", "tests", "scripts", "recipes", "bench", "docs", "pyproject.toml"):
            source = ROOT / name
            shutil.copytree(source, folder / name, ignore=skip) if source.is_dir() else shutil.copy2(source, folder)
        compileall.compile_dir(folder / "src", quiet=1)
        self._limits: dict[str, float] = {}

    def limit_s(self, module: str) -> float:
        """How long a module's tests may take with a change; they must pass without one."""
        if module not in self._limits:
            started = time.monotonic()
            if self.run(TABLE["tests"][module], 900) != 0:
                raise SystemExit(f"{module}: its tests fail unchanged:\n{(self.folder / 'log').read_text()[-3000:]}")
            self._limits[module] = 30 + 4 * (time.monotonic() - started)
        return self._limits[module]

    def is_noticed(self, mutant: Mutant) -> bool:
        """Whether a test fails, or does not end, with the change."""
        limit_s = self.limit_s(mutant.module)
        path = self.folder / mutant.module
        source = path.read_text()
        compiled = list((path.parent / "__pycache__").glob(f"{path.stem}.*.pyc"))
        try:
            path.write_text(mutate(source, mutant))
            for file in compiled:
                file.unlink()
            tests, wider = TABLE["tests"][mutant.module], TABLE["wider"].get(mutant.module, [])
            return self.run(tests, limit_s) != 0 or (bool(wider) and self.run(wider, 600) != 0)
        finally:
            path.write_text(source)

    def run(self, tests: list[str], limit_s: float) -> int:
        """The exit code of tests in a forked child; -9 when they do not end."""
        child = os.fork()
        if child == 0:
            code = 70
            try:
                code = self._run_tests(tests)
            finally:
                os._exit(code)
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            done, status = os.waitpid(child, os.WNOHANG)
            if done:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.killpg(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return -signal.SIGKILL

    def _run_tests(self, tests: list[str]) -> int:
        os.setsid()
        log = os.open(self.folder / "log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        resource.setrlimit(resource.RLIMIT_FSIZE, (MOST_BYTES, MOST_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.environ |= {"PYTHONPATH": str(self.folder / "src"), "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        sys.dont_write_bytecode = True
        sys.path.insert(0, str(self.folder / "src"))
        os.chdir(self.folder)
        options = ["-q", "-x", "-p", "no:cacheprovider", "-m", "not fault_long", "--basetemp", str(self.folder / "tmp")]
        code = pytest.main([*options, *tests])
        sys.stdout.flush()
        return int(code)


def draw(seed: int, count: int) -> None:
    """Print mutants drawn at random, with the seed."""
    everything = list(all_mutants())
    print(json.dumps({"seed": seed, "count": count, "of": len(everything)}))
    for mutant in sorted(random.Random(seed).sample(everything, count)):
        print(json.dumps(mutant._asdict()))


def run(drawn: Path, results: Path, seconds: float, modules: str) -> None:
    """Try what has no result yet, as long as there is time."""
    mutants = [Mutant(**json.loads(line)) for line in drawn.read_text().splitlines()[1:]]
    known = [json.loads(line) for line in results.read_text().splitlines()] if results.is_file() else []
    tried = {Mutant(*row["mutant"]) for row in known}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        for mutant in mutants:
            used = resource.getrusage(resource.RUSAGE_CHILDREN)
            if mutant in tried or modules not in mutant.module or used.ru_utime + used.ru_stime > seconds:
                continue
            row = {"mutant": mutant, "noticed": bench.is_noticed(mutant)}
            known.append(row)
            with results.open("a") as target:
                target.write(json.dumps(row) + "\n")
    report(mutants, known)


def report(mutants: list[Mutant], known: list[dict[str, object]]) -> None:
    """Print the survivors and the count."""
    last = {Mutant(*row["mutant"]): bool(row["noticed"]) for row in known}  # type: ignore[misc]
    equal = {(row["module"], row["old"], row["new"]): row["reason"] for row in TABLE.get("equivalent", [])}
    found: Counter[str] = Counter()
    for mutant in mutants:
        word = {True: "noticed", False: "survived", None: "not tried"}[last.get(mutant)]
        reason = equal.get((mutant.module, mutant.old, mutant.new))
        word = "equivalent" if word == "survived" and reason else word
        found[word] += 1
        if word == "survived":
            print(f"{mutant.module}:{mutant.line}: {mutant.operator}: {mutant.old!r} -> {mutant.new!r}")
    print(", ".join(f"{count} {word}" for word, count in found.most_common()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    drawing, running = (verbs.add_parser(name) for name in ("draw", "run"))
    drawing.add_argument("--seed", type=int, required=True)
    drawing.add_argument("--count", type=int, default=150)
    running.add_argument("drawn", type=Path)
    running.add_argument("--results", type=Path, required=True)
    running.add_argument("--seconds", type=float, default=240, help="processor time after which no mutant is begun")
    running.add_argument("--modules", default="", help="only modules whose path holds this text")
    words = parser.parse_args()
    if words.verb == "draw":
        draw(words.seed, words.count)
    else:
        run(words.drawn, words.results, words.seconds, words.modules)


if __name__ == "__main__":
    main()
