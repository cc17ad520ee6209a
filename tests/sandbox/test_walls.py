"""What is said of a machine's walls: tried, with the reason and the command where one is missing."""

from __future__ import annotations

import email
import os

import pytest

from afs import sandbox
from afs.doctor import DoctorConfig, doctor
from afs.errors import NoWallsError, ProcessError
from afs.sandbox import Rung, Sandbox, SandboxLimits, enclosure, isolation_support, policy, seccomp_filters, syscalls


def row() -> tuple[str, str, str]:
    part = next(part for part in doctor(DoctorConfig()).parts if part.name == "sandbox")
    return part.state, part.detail, part.remedy


def test_doctor_says_which_walls_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    problems: dict[str, str] = {"bubblewrap": "bubblewrap is not installed", "landlock": ""}
    monkeypatch.setattr(isolation_support, "problem_of", problems.__getitem__)
    assert row() == (
        "weak",
        "Landlock, seccomp, limits (bubblewrap: bubblewrap is not installed)",
        "sudo apt-get install bubblewrap",
    )
    problems["bubblewrap"] = ""
    assert row() == ("ok", "bubblewrap, Landlock, seccomp, limits", "")
    problems |= {"bubblewrap": "denied", "landlock": "the kernel has no Landlock"}
    state, detail, remedy = row()
    assert state == "missing" and "answer unknown" in detail and "bubblewrap" in remedy


def test_nothing_runs_without_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(isolation_support, "problem_of", lambda rung: "denied")
    assert sandbox.available().rung is None
    for start in (lambda: Sandbox().run(["true"], timeout_s=5), sandbox.PythonPool):
        with pytest.raises(NoWallsError, match=r"not run without walls .*denied"):
            start()


def test_a_wall_that_does_not_stand_stops_the_start(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails closed: Landlock with rights this kernel does not know, and a filter that is none."""
    monkeypatch.setattr(seccomp_filters, "program", lambda groups, architecture: b"\xff" * 8)
    with pytest.raises(ProcessError, match=r"walls do not stand.*seccomp"):
        Sandbox(rung=rung).run(["true"], timeout_s=5)
    monkeypatch.undo()
    monkeypatch.setattr(enclosure, "DEVICES", ("/dev/null",))
    monkeypatch.setattr(enclosure, "landlock_abi", lambda: 99)
    real = enclosure._script()
    monkeypatch.setattr(enclosure, "_script", lambda: real.replace("1 << 15 if", "1 << 60 if"))
    with pytest.raises(ProcessError, match=r"walls do not stand.*Landlock"):
        Sandbox(rung=rung).run(["true"], timeout_s=5)


@pytest.mark.parametrize("abi", [1, 2, 3, 4, 5])
def test_older_landlocks_are_made_up_for(abi: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older kernel does not look at, the filter refuses: truncation, signals, device calls."""
    if isolation_support.problem_of("landlock"):
        pytest.skip(isolation_support.problem_of("landlock"))
    monkeypatch.setattr(enclosure, "landlock_abi", lambda: abi)
    with sandbox.scratch() as outside, sandbox.scratch() as inside:
        target = outside / "file"
        target.write_text("kept")
        target.chmod(0o666)
        script = f'python3() {{ {isolation_support.interpreter().path} -I -S -c "$1"; }}; python3 "import os; os.truncate(\'{target}\', 0)"; python3 "import os; os.open(\'{target}\', 512)"; kill -0 {os.getppid()} || kill -0 1; echo x > {outside}/new; echo $?; echo ok > here; cat here'
        result = Sandbox(rung="landlock", writable=inside, limits=SandboxLimits(processes=16)).run(
            ["bash", "-c", script], timeout_s=30
        )
        assert target.read_text() == "kept" and [p.name for p in outside.iterdir()] == ["file"]
        assert result.stdout == b"1\nok\n", result
        assert result.stderr.count(b"not permitted") + result.stderr.count(b"denied") >= 4, result


@pytest.mark.parametrize("architecture", syscalls.MACHINES)
def test_filters_hold_together_on_every_architecture(architecture: str) -> None:
    """Jumps stay inside, every path ends in a return, and the groups only ever add calls."""
    small = seccomp_filters.program(frozenset(), architecture)
    large = seccomp_filters.program(policy.groups("bubblewrap", SandboxLimits(processes=9), 7), architecture)
    for code in (small, large):
        steps = [code[i : i + 8] for i in range(0, len(code), 8)]
        assert len(steps) < 4096 and steps[-1][0] == 0x06
        for at, step in enumerate(steps):
            if step[0] & 7 == 5:
                assert at + 1 + max(step[2], step[3]) < len(steps)
    numbers = [syscalls.numbers(group, architecture) for group in syscalls._TABLE]
    every = [number for table in numbers for number in table.values()]
    assert len(every) == len(set(every)) and max(every) <= syscalls.NEWEST
    names = {name for table in numbers for name in table}
    for never in (
        "mount",
        "ptrace",
        "bpf",
        "unshare",
        "setns",
        "io_uring_setup",
        "memfd_create",
        "socket",
        "symlinkat",
    ):
        assert never not in names


def test_what_is_hidden_is_carved_out_of_what_may_be_read() -> None:
    with sandbox.scratch() as folder:
        for name in ("lib/a", "lib/site-packages/afs", "other"):
            (folder / name).mkdir(parents=True)
        root = str(folder)
        listable, readable = policy.carve([root], [f"{root}/lib/site-packages"])
        assert listable == (root, f"{root}/lib") and readable == (f"{root}/lib/a", f"{root}/other")
        assert policy.outermost([root, f"{root}/lib", f"{root}/none"]) == (root,)


def test_packages_inside_the_standard_library_are_hidden(rung: Rung, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where afs is installed below its own interpreter, its reference answers are not seen; all else still is."""
    python = enclosure.interpreter()
    hidden = os.path.dirname(email.__file__)
    monkeypatch.setattr(enclosure, "interpreter", lambda: python._replace(hidden=(*python.hidden, hidden)))
    program = f"import sqlite3\ntry: print(open({email.__file__!r}).read())\nexcept OSError as error: print(type(error).__name__)"
    result = Sandbox(rung=rung).run([python.path, "-I", "-S", "-c", program], timeout_s=20)
    assert result.stdout in (b"PermissionError\n", b"FileNotFoundError\n"), result


def test_a_system_without_the_unprivileged_user_has_no_walls(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(22, "Invalid argument")

    if isolation_support.problem_of("landlock"):
        pytest.skip(isolation_support.problem_of("landlock"))
    monkeypatch.setattr(enclosure.subprocess, "Popen", refuse)
    assert "Invalid argument" in isolation_support.problem_of.__wrapped__("landlock")
    monkeypatch.setattr(enclosure, "mkdtemp", refuse)
    assert "Invalid argument" in isolation_support.problem_of.__wrapped__("landlock")
