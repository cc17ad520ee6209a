"""The pack `repo` on a small project of its own: every reference passes, every planted wrong answer fails."""

from __future__ import annotations

import random
import subprocess
import venv
from pathlib import Path

import msgspec
import pytest

from afs.answer_verifier import Verifier
from afs.domains.repo import DOMAIN, test_runs
from afs.domains.repo.coverage_survey import Survey, survey
from afs.domains.repo.families import find_test
from afs.domains.repo.functions import (
    is_source,
    list_functions,
    put_answer,
    put_function,
    signature,
    stub,
)
from afs.domains.repo.mutants import list_mutants
from afs.domains.repo.options import RepoOptions
from afs.domains.repo.past_fixes import find_changed_function
from afs.domains.repo.prompt_context import (
    find_names,
    has_literal_assertion,
    hidden_constants,
    hidden_names,
    list_context,
    split_statements,
)
from afs.domains.repo.spec import RepoSpec
from afs.domains.repo.test_runs import Project, RunOutcome, TestJob
from afs.domains.repository_snapshot import read_snapshot
from afs.errors import ConfigError, DataError, UsageError
from afs.sandbox import available

walls = pytest.mark.skipif(not available(), reason="no sandbox here")

MODULE = '''"""Prices."""

import math

RATE = 3


class Basket:
    """Things to pay for."""

    def __init__(self, prices):
        self.prices = prices

    def total(self, least=0):
        """The sum of all prices above a limit."""
        return sum(p for p in self.prices if p > least)


def with_tax(price):
    """The price with tax, rounded up to a whole number."""
    if price < 0:
        raise ValueError("negative")
    return price + math.ceil(price * RATE / 10)


def suffix(path):
    """What follows the last dot."""
    return path.rpartition(".")[2]


def untested(a, b):
    """Nobody calls this."""
    return a * b + 1
'''
TESTS = """from shop.prices import Basket, suffix, with_tax
import pytest
import socket


def test_tax():
    assert with_tax(10) == 13
    assert with_tax(11) == 15
    assert with_tax(0) == 0


def test_negative():
    with pytest.raises(ValueError):
        with_tax(-1)


def test_suffix():
    assert suffix(__file__) == "py"


def test_total():
    assert Basket([1, 2, 5]).total() == 8
    assert Basket([1, 2, 5]).total(1) == 7
    assert Basket([1, 2, 5]).total(2) == 5


def test_network():
    socket.create_connection(("192.0.2.1", 80), timeout=5)
"""
LICENSE = (
    "Permission is hereby granted, free of charge. The above copyright notice and this permission notice shall stay."
)


def _git(folder: Path, *arguments: str) -> None:
    line = ["git", "-c", "user.name=t", "-c", "user.email=t@example.org", *arguments]
    subprocess.run(line, cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository whose last commit fixes a fault and adds the test that shows it."""
    folder = tmp_path_factory.mktemp("projects") / "shop"
    (folder / "shop").mkdir(parents=True)
    (folder / "tests").mkdir()
    (folder / "LICENSE").write_text(LICENSE)
    (folder / "shop" / "__init__.py").write_text("")
    (folder / "shop" / "prices.py").write_text(MODULE.replace("p > least", "p >= least"))
    (folder / "tests" / "test_prices.py").write_text(TESTS.replace("    assert Basket([1, 2, 5]).total(1) == 7\n", ""))
    _git(folder, "init", "-q", "-b", "main")
    _git(folder, "add", "-A")
    _git(folder, "commit", "-qm", "Prices")
    (folder / "shop" / "prices.py").write_text(MODULE)
    (folder / "tests" / "test_prices.py").write_text(TESTS)
    _git(folder, "commit", "-qam", "The limit itself does not count")
    return folder


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> object:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@walls
def test_every_reference_passes_and_every_wrong_answer_fails(project: Path) -> None:
    pack = DOMAIN.configure({"path": str(project), "mutants": 3})
    for family in pack.families:
        tasks = list(pack.tasks(family, 0, 1))
        assert tasks, family
        for task in tasks:
            spec = msgspec.convert(task.spec, RepoSpec)
            assert spec.license == "MIT" and len(spec.commit) == 40 and task.group.startswith("shop/shop/prices.py::")
            verdict = DOMAIN.check(task, task.reference)
            assert verdict.ok, (family, verdict)
            for kind, answer in DOMAIN.wrong_answers(task):
                assert DOMAIN.check(task, answer).ok is False, (family, kind)
    assert pack.license == "MIT"  # type: ignore[attr-defined]


@walls
def test_a_worker_of_the_verifier_judges_it_too(project: Path) -> None:
    task = next(DOMAIN.configure({"path": str(project), "mutants": 3}).tasks("complete", 0, 1))
    with Verifier() as verifier:
        assert verifier.verify(task, task.reference).ok


@walls
def test_tests_without_network_are_left_out_and_untested_functions_too(project: Path) -> None:
    found = survey(read_snapshot(project), RepoOptions(path=project))
    assert (found.passing, found.failing) == (4, 1)
    assert {s.function.name for s in found.subjects} == {"Basket.__init__", "Basket.total", "suffix", "with_tax"}
    assert next(s for s in found.subjects if s.function.name == "suffix").arguments == (), "the folder's name is chance"
    assert "10" in next(s for s in found.subjects if s.function.name == "with_tax").arguments


@walls
def test_a_suite_that_hangs_is_bounded_and_named(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text("def wait():\n    while True:\n        pass\n")
    (tmp_path / "test_slow.py").write_text("from slow import wait\n\n\ndef test_wait():\n    wait()\n")
    options = RepoOptions(path=tmp_path, test_s=1)
    with pytest.raises(DataError, match=r"no test passes in the sandbox.*test_wait.*"):
        survey(read_snapshot(tmp_path), options)


SLOW_TEST = """
from a import f, g

def test_a_slow():
    while True:
        f(1)

def test_g():
    assert g(2) == 1
"""


@walls
def test_functions_are_seen_after_a_test_that_was_stopped(tmp_path: Path) -> None:
    """The limit may strike inside the tracer, which Python then removes."""
    (tmp_path / "a.py").write_text("def f(x):\n    return x + 1\n\n\ndef g(x):\n    y = x - 1\n    return y\n")
    (tmp_path / "test_a.py").write_text(SLOW_TEST)
    found = survey(read_snapshot(tmp_path), RepoOptions(path=tmp_path, test_s=1))
    assert [subject.function.name for subject in found.subjects] == ["g"]


@walls
def test_a_hook_of_a_missing_plugin_is_named(tmp_path: Path) -> None:
    """pytest writes this error of its own to the standard output."""
    (tmp_path / "a.py").write_text("def f(x):\n    return x + 1\n")
    (tmp_path / "conftest.py").write_text("def pytest_of_no_plugin_at_all():\n    pass\n")
    (tmp_path / "test_a.py").write_text("from a import f\n\ndef test_f():\n    assert f(1) == 2\n")
    with pytest.raises(DataError, match=r"before the first test: .*unknown hook 'pytest_of_no_plugin_at_all'"):
        survey(read_snapshot(tmp_path), RepoOptions(path=tmp_path))


@walls
def test_a_missing_package_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.py").write_text("def f(x):\n    return x + 1\n")
    (tmp_path / "conftest.py").write_text("import no_such_package_of_anyone\n")
    (tmp_path / "test_a.py").write_text("from a import f\n\ndef test_f():\n    assert f(1) == 2\n")
    with pytest.raises(DataError, match=r"before the first test: ModuleNotFoundError.*no_such_package_of_anyone"):
        survey(read_snapshot(tmp_path), RepoOptions(path=tmp_path))


def test_outcomes_are_remembered_until_a_package_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    venv.create(tmp_path / "env", with_pip=False, symlinks=True)
    (packages,) = tmp_path.glob("env/lib/python*/site-packages")
    runs: list[int] = []

    def start(self: Project, files: object, jobs: list[TestJob]) -> list[RunOutcome]:
        runs.append(len(jobs))
        return [RunOutcome(problem="no plugin")] * len(jobs)

    monkeypatch.setattr(Project, "_start", start)
    project = Project(name="a", python=str(tmp_path / "env/bin/python"))
    for _ in range(2):
        project.run({}, [TestJob()], tmp_path / "runs.jsonl")
    assert runs == [1]
    (packages / "plugin-1.0.dist-info").mkdir()
    test_runs._interpreter.cache_clear()
    project.run({}, [TestJob()], tmp_path / "runs.jsonl")
    assert runs == [1, 1]


@walls
def test_a_task_whose_snapshot_is_gone_is_unknown(project: Path) -> None:
    pack = DOMAIN.configure({"path": str(project), "mutants": 3})
    task = next(pack.tasks("complete", 0, 1))
    lost = msgspec.structs.replace(task, spec={**task.spec, "snapshot": "gone"})
    verdict = DOMAIN.check(lost, task.reference)
    assert verdict.ok is None and "afs repo scan" in verdict.reason


def test_what_is_no_repository_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no Python files"):
        read_snapshot(tmp_path)
    with pytest.raises(ConfigError, match="name the repository"):
        next(DOMAIN.tasks("fix", 0, 1))
    with pytest.raises(ConfigError, match=r"options\.pat"):
        DOMAIN.configure({"pat": "x"})


def test_functions_are_found_and_replaced() -> None:
    functions = {f.name: f for f in list_functions("shop/prices.py", MODULE)}
    assert set(functions) == {"Basket.__init__", "Basket.total", "suffix", "with_tax", "untested"}
    total = functions["Basket.total"]
    assert put_function(MODULE, total, total.source) == MODULE
    assert signature(total) == 'def total(self, least=0):\n    """The sum of all prices above a limit."""\n'
    assert stub(total).endswith("    raise NotImplementedError\n")
    changed = put_answer(MODULE, total, "import os\n\ndef total(self, least=0):\n    return os.getpid()\n")
    assert "import os\nclass Basket:" in changed and "        return os.getpid()\n" in changed
    compile(changed, "prices.py", "exec")


def test_faults_change_one_place_and_keep_the_rest() -> None:
    source = (
        'def f(a, b):\n    """At most 3."""\n    # the limit\n    return max(a, b) if a < 3 and not b else f"{a + 1}"\n'
    )
    mutants = list_mutants(source, random.Random(0), 50)
    changes = {m.source.splitlines()[3].strip() for m in mutants}
    assert 'return max(a, b) if a <= 3 and not b else f"{a + 1}"' in changes
    assert 'return min(a, b) if a < 3 and not b else f"{a + 1}"' in changes
    assert 'return max(a, b) if a < 3 or not b else f"{a + 1}"' in changes
    assert all(m.source.splitlines()[:3] == source.splitlines()[:3] for m in mutants)
    assert list_mutants(source, random.Random(0), 3) == list_mutants(source, random.Random(0), 3)


def test_what_nobody_could_know_is_not_asked() -> None:
    source = 'def f(a):\n    """Doc."""\n    if a > 12345:\n        raise ValueError("too many of them")\n    return a + b"signer" + 7\n'
    assert sorted(hidden_constants(source, "def f(a)")) == ["12345", "signer"]
    assert hidden_constants(source, "12345 signer") == ["signer"]
    assert hidden_constants(source, "12345 'signer'") == []
    assert not is_source("test.py") and not is_source("pkg/tests/a.py") and is_source("pkg/testing_ground.py")


def test_none_and_truth_values_are_known() -> None:
    assert hidden_constants("def f(a):\n    return None if a is ... else True\n", "") == []


def test_attributes_that_nothing_shows_are_not_asked() -> None:
    source = "def __init__(self, size):\n    self.__order = []\n    self.size = size\n    self.clear()\n"
    assert hidden_names(source, "def __init__(self, size)") == ["__order"]
    assert hidden_names(source, "self.__order.append(key); cache.size") == []
    assert hidden_names("def get(self):\n    return self._box.get(1)\n", "box") == ["_box"]
    assert hidden_names("def get(box):\n    return box._value\n", "") == ["_value"]


def test_public_attributes_of_others_and_names_are_known_from_the_prompt_or_from_python() -> None:
    source = (
        "def rules(self, word):\n    return [r.ruler for r in self.all] + re.sub('a', kit.label, word).split(SEP)\n"
    )
    module = "import re\nfrom . import kit\nSEP = ','\n"
    assert hidden_names(source, "", module) == ["SEP", "all", "kit", "label", "ruler"]
    assert hidden_names(source, "self.all, r.ruler, SEP", module.replace("from . ", "")) == []
    assert hidden_names(source, "self.all, r.ruler, SEP, kit", module.replace("from . ", ""), "kit") == ["label"]
    local = (
        "def f(a, *b, **c):\n    import os\n    with open(a) as d:\n        return [e for e in b if os and c and d]\n"
    )
    assert hidden_names(local, "") == []


def test_a_test_says_what_a_function_does_when_it_states_a_value() -> None:
    assert has_literal_assertion("def test_f():\n    assert f(1) == 2\n")
    assert has_literal_assertion("def test_f():\n    assert not f('a')\n")
    assert not has_literal_assertion("def test_f():\n    assert load(dump(table)) == table\n")
    assert (
        split_statements("a = 1\ndef f():\n    pass\n") == ["a = 1", "def f():\n    pass"]
        and split_statements("(") == []
    )


def test_the_constructor_of_another_class_is_shown() -> None:
    module = "class Box:\n    def __init__(self, lid, size):\n        pass\ndef pack(a):\n    return Box(a, 1)\n"
    (function,) = list_functions("a.py", module)
    assert "def __init__(self, lid, size): ..." in list_context(module, function, 500)


def test_a_test_method_with_a_text_at_the_left_margin_is_shown_as_a_function(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "class TestA:\n    @mark\n    def test_f(self):\n        assert f() == '''\na\n  b'''\n        assert g()\n"
    )
    snapshot = read_snapshot(tmp_path)
    found = Survey(snapshot, Project(name="a"), RepoOptions(path=tmp_path), (), 0, 0, 0, 0, tmp_path)
    shown = find_test(found, "test_a.py::TestA::test_f")
    assert shown == "@mark\ndef test_f(self):\n    assert f() == '''\na\n  b'''\n    assert g()"
    assert {"f", "g", "mark"} <= find_names(shown) and find_names("def broken(:") == set()


def test_a_prompt_shows_optional_imports_fields_and_what_the_tests_name() -> None:
    module = (
        "try:\n    import wide\nexcept ImportError:\n    wide = None\nclass Box(NamedTuple):\n    width: int\n"
        "class Lid(Box):\n    def open(self):\n        ...\ndef measure(s):\n    return Box(wide.of(s))\n"
    )
    (function,) = [one for one in list_functions("a.py", module) if one.name == "measure"]
    assert list_context(module, function, 500) == "import wide\nclass Box(NamedTuple):\n    width: int"
    assert list_context(module, function, 500, "Lid().open()").endswith("class Lid(Box):\n    def open(self): ...")


def test_a_commit_counts_when_one_function_changed() -> None:
    old = MODULE.replace("p > least", "p >= least")
    pair = find_changed_function("shop/prices.py", old, MODULE)
    assert pair and pair[0].name == "Basket.total"
    assert find_changed_function("shop/prices.py", old.replace("RATE = 3", "RATE = 4"), MODULE) is None
    assert find_changed_function("shop/prices.py", MODULE.replace("The sum", "A sum"), MODULE) is None
