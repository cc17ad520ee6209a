"""Attacks by a command with a folder of its own: the 23 of the outside attack, and variants. The control is last."""

from __future__ import annotations

import os
import signal
import string
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from afs.errors import ProcessError, UsageError
from afs.sandbox import Rung, Sandbox, SandboxLimits, scratch
from afs.sandbox.interpreter import interpreter
from afs.sandbox.sandboxed_command import SYSTEM

from .conftest import KEY, Host, is_alive

PYTHON = (interpreter().path, "-I", "-S", "-c")
LIMITS = SandboxLimits(processes=32, memory_mb=512, file_mb=16, files_mb=32)
ATTACKS = {
    "01 read /etc/passwd": "print(open('/etc/passwd').read()); print('GAINED')",
    "02 list /root": "import os; print(os.listdir('/root')); print('GAINED')",
    "02 list /home": "import os; print(os.listdir('/home')); print('GAINED')",
    "03 read a file outside": "print(open('$secret').read())",
    "04 write outside": "open('$folder/gained', 'w'); print('GAINED')",
    "05 symlink out": "import os; os.symlink('$secret', 'link'); print(open('link').read())",
    "06 dots out": "import os; print(os.listdir('..')); print(open('../' + '$secret'.split('/tmp/')[-1]).read())",
    "07 hard link out": "import os; os.link('$secret', 'link'); print('GAINED')",
    "07 rename in": "import os; os.rename('$secret', 'stolen'); print('GAINED')",
    "08 tcp": "import socket; socket.create_connection(('127.0.0.1', $tcp), 2); print('GAINED')",
    "09 udp": "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', $udp)); print('GAINED')",
    "10 environment of init": "print(open('/proc/1/environ').read()); print('GAINED')",
    "11 root of init": "import os; print(os.listdir('/proc/1/root')); print('GAINED')",
    "12 signal another process": "import os; os.kill($victim, 9); print('GAINED')",
    "12 signal afs": "import os; os.kill($parent, 0); print('GAINED')",
    "13 block device": "import os; os.mknod('disk', 0o60600, os.makedev(254, 0)); print('GAINED')",
    "13 fifo": "import os; os.mkfifo('pipe'); print('GAINED')",
    "14 raw disk": "import glob\nfor disk in ('/dev/vda', '/dev/sda', '/dev/nvme0n1', '/dev/mem', '/dev/kmsg'):\n    try:\n        open(disk, 'rb'); print('GAINED')\n    except OSError: pass",
    "15 user namespace": "import ctypes; print('GAINED' if ctypes.CDLL(None).unshare(0x10000000) >= 0 else '')",
    "15 user namespace by clone": "import ctypes; print('GAINED' if ctypes.CDLL(None).syscall(56, 0x10000000 | 17, 0, 0, 0, 0) >= 0 else '')",
    "15 user namespace by unshare": "import os; print('GAINED' if os.system('unshare -U true') == 0 else '')",
    "16 mount": "import ctypes; print('GAINED' if ctypes.CDLL(None).mount(b'none', b'.', b'tmpfs', 0, None) >= 0 else '')",
    "17 ptrace": "import ctypes; print('GAINED' if ctypes.CDLL(None).ptrace(16, $victim, 0, 0) >= 0 else '')",
    "17 memory of others": "import ctypes; print('GAINED' if ctypes.CDLL(None).process_vm_readv($victim, 0, 0, 0, 0, 0) >= 0 else '')",
    "18 abstract socket": "import socket; socket.socket(socket.AF_UNIX).connect('$abstract'); print('GAINED')",
    "18 unix socket": "import socket; socket.socket(socket.AF_UNIX).connect('$unix'); print('GAINED')",
    "19 type into the terminal": "import fcntl\nfor n in range(3):\n    try:\n        fcntl.ioctl(n, 0x5412, b'x'); print('GAINED')\n    except OSError: pass",
    "19 type into the terminal, high bits": "import ctypes; print('GAINED' if ctypes.CDLL(None).ioctl(0, ctypes.c_ulong(0x100005412), b'x') >= 0 else '')",
    "20 large file": "f = open('big', 'wb')\nfor _ in range(64):\n    f.write(bytes(1 << 20))\nprint('GAINED')",
    "21 memory": "x = bytearray(3 << 30); print('GAINED')",
    "v1 set-user-id": "import os; open('x', 'w'); os.chmod('x', 0o4755); print('GAINED')",
    "v2 change modes outside": "import os; os.chmod('$secret', 0o600); print('GAINED')",
    "v3 prlimit": "import resource; resource.prlimit($victim, resource.RLIMIT_CPU, (0, 0)); print('GAINED')",
    "v4 signal by a file's owner": "import fcntl, os; r, w = os.pipe(); fcntl.fcntl(r, fcntl.F_SETOWN, $victim); print('GAINED')",
    "v5 inherited descriptors": "import os\nfor n in range(3, 256):\n    try:\n        os.fstat(n); print('GAINED', n)\n    except OSError: pass",
    "v6 key in the environment": "import os; print(dict(os.environ))",
    "v7 shell in the folder": "import os; open('run', 'w').write('#!/bin/sh\\ncat $secret\\n'); os.chmod('run', 0o755); os.system('./run')",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_an_attack_gains_nothing(rung: Rung, host: Host, attack: str) -> None:
    before = host.listing()
    with scratch() as folder:
        source = string.Template(ATTACKS[attack]).substitute(host.names())
        outcome = Sandbox(limits=LIMITS, writable=folder, rung=rung).run([*PYTHON, source], timeout_s=20)
        assert b"GAINED" not in outcome.stdout and KEY.encode() not in outcome.stdout, outcome
        assert not any(path.is_symlink() for path in folder.iterdir())
    assert host.listing() == before and host.secret.read_text() == "GAINED the secret"
    assert host.secret.stat().st_mode & 0o777 == 0o666
    assert is_alive(host.victim)


def test_writing_inside_works(rung: Rung) -> None:
    """The control: walls that refuse everything would pass every attack."""
    script = "mkdir a && echo one > a/x && mv a/x b && cat b && cp b c && rm b && ls && echo two | tee $TMPDIR/t && sh -c 'exit 3'"
    with scratch() as folder:
        (folder / "given").write_text("of the host")
        outcome = Sandbox(limits=LIMITS, writable=folder, rung=rung).run(["sh", "-c", script], timeout_s=20)
        assert outcome.stdout == b"one\na\nc\ngiven\ntwo\n" and (outcome.exit_code, outcome.stopped_by) == (3, ""), (
            outcome
        )
        assert (folder / "c").read_text() == "one\n"


def test_an_interpreter_below_tmp_is_readable(rung: Rung) -> None:
    """A clone, and its environment with it, may lie below /tmp."""
    with tempfile.TemporaryDirectory(dir="/tmp") as place, scratch() as folder:
        os.chmod(place, 0o755)
        (Path(place) / "given").write_text("of the host")
        sandbox = Sandbox(limits=LIMITS, writable=folder, readable=(*SYSTEM, place), rung=rung)
        outcome = sandbox.run(["sh", "-c", f"cat {place}/given; echo x 2>/dev/null > {place}/new"], timeout_s=20)
        assert outcome.stdout.startswith(b"of the host")
        assert os.listdir(place) == ["given"]


def test_a_crowd_of_processes_is_limited_and_ended(rung: Rung) -> None:
    """22, and 17, 18 of the other list."""
    bomb = "import os, time\nmade = 0\ntry:\n    for _ in range(200):\n        if not os.fork():\n            time.sleep(60)\n            os._exit(0)\n        made += 1\nexcept OSError: pass\nprint(made)"
    with scratch() as folder:
        outcome = Sandbox(limits=LIMITS, writable=folder, rung=rung).run([*PYTHON, bomb], timeout_s=20)
    assert int(outcome.stdout) <= 40 and outcome.seconds < 20, outcome


def test_a_grandchild_neither_blocks_nor_outlives(rung: Rung) -> None:
    """18, 19: it left for a session of its own where it can, and holds standard output."""
    program = "import os, time\nif not os.fork():\n    try: os.setsid()\n    except OSError: pass\n    time.sleep(2); open('late', 'w'); time.sleep(60)\nprint('done')"
    with scratch() as folder:
        outcome = Sandbox(limits=LIMITS, writable=folder, rung=rung).run([*PYTHON, program], timeout_s=30)
        assert outcome.stdout == b"done\n" and outcome.stopped_by == "" and outcome.seconds < 20
        assert not _running_in(folder)


def test_limits_count_the_whole_tree(rung: Rung) -> None:
    """21: four times 300 MB under a limit of 512 for all."""
    program = "import os, time\nfor _ in range(3):\n    if not os.fork(): break\nx = bytearray(b'x') * (300 << 20); time.sleep(30); print('GAINED')"
    with scratch() as folder:
        outcome = Sandbox(limits=LIMITS, writable=folder, rung=rung).run([*PYTHON, program], timeout_s=60)
    assert outcome.stopped_by == "memory" and outcome.exit_code == -9, outcome


def test_all_files_together_are_limited(rung: Rung) -> None:
    """22: many files of a size that is allowed."""
    program = "import time\nfor n in range(400):\n    open(f'f{n}', 'wb').write(bytes(8 << 20)); time.sleep(0.02)\nprint('GAINED')"
    with scratch() as folder:
        outcome = Sandbox(limits=LIMITS, writable=folder, rung=rung).run([*PYTHON, program], timeout_s=60)
    assert outcome.stopped_by == "files" and b"GAINED" not in outcome.stdout, outcome


def test_output_and_time_are_limited(rung: Rung) -> None:
    sandbox = Sandbox(limits=SandboxLimits(output_mb=1), rung=rung)
    outcome = sandbox.run([*PYTHON, "while True: print('x' * 10000)"], timeout_s=30)
    assert outcome.stopped_by == "output" and len(outcome.stdout) <= 1 << 20
    outcome = sandbox.run([*PYTHON, "import time; time.sleep(60)"], timeout_s=0.5)
    assert (outcome.stopped_by, outcome.exit_code) == ("timeout", -9) and outcome.seconds < 20


def test_standard_input_and_codes(rung: Rung) -> None:
    sandbox = Sandbox(rung=rung)
    assert sandbox.run(["cat"], stdin=b"x" * 200_000, timeout_s=20).stdout == b"x" * 200_000
    assert sandbox.run([*PYTHON, "import ctypes; ctypes.string_at(0)"], timeout_s=20).exit_code == -signal.SIGSEGV
    assert sandbox.run(["true"], stdin=b"x" * 200_000, timeout_s=20).exit_code == 0
    with pytest.raises(ProcessError, match="no-such-program cannot be run in the sandbox"):
        sandbox.run(["no-such-program"], timeout_s=20)


def test_a_folder_of_the_host_is_not_taken_over(rung: Rung, tmp_path: Path) -> None:
    if os.geteuid():
        pytest.skip("only root hands folders over")
    with pytest.raises(UsageError, match="only in folders made for it"):
        Sandbox(writable=tmp_path, rung=rung).run(["true"], timeout_s=5)
    assert tmp_path.stat().st_uid == 0


def test_it_ends_with_afs(rung: Rung) -> None:
    """A killed afs leaves no program behind."""
    with scratch() as folder:
        source = f"from afs.sandbox import *; from pathlib import Path\nSandbox(rung={rung!r}, writable=Path({str(folder)!r})).run(['sh', '-c', 'echo > here; exec sleep 600'], timeout_s=600)"
        with subprocess.Popen([sys.executable, "-c", source]) as afs:
            while not (folder / "here").exists():
                time.sleep(0.05)
            assert _running_in(folder)
            afs.kill()
        deadline = time.monotonic() + 20
        while _running_in(folder) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert not _running_in(folder)


def _running_in(folder: Path) -> list[str]:
    """Processes of ours or of the sandbox's user whose working folder this is."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.readlink(process / "cwd") == str(folder):
                found.append(process.name)
        except OSError:
            continue
    return found
