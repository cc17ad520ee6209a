"""The core alone: without any extra, every command explains itself, and what needs no extra works."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from afs.lazy_import import EXTRA_OF

DRIVER = f"""
import sys
for name in {sorted(EXTRA_OF)!r}:
    sys.modules[name] = None
from afs.cli.main import main
from afs.verbs import VERBS
from afs.domains.snes.asm import assemble

failed = []
def run(*words, code=0):
    try:
        got = main(list(words))
    except SystemExit as stop:
        got = stop.code
    if got != code:
        failed.append((words, got))

for verb in VERBS:
    run(*verb.split(), "--help", code=int(verb in {{"models import", "eval screenshot", "eval accept"}}))
run("doctor", "Python")
run("init", "w")
run("generate", "--domain", "sums", "--name", "raw", "--count", "8", "--workspace", "w", "--quiet")
run("curate", "raw", "--name", "set", "--workspace", "w", "--quiet")
run("data", "show", "set", "--workspace", "w")
run("eval", "run", "sums:add", "--model", "echo:x", "--base", "none", "--count", "2", "--workspace", "w", "--quiet")
run("models", "list", "--workspace", "w")
run("snes", "register", "INIDISP")
run("train", "--dataset", "set", "--name", "t", "--method", "scratch", "--workspace", "w", code=1)
run("serve", "--workspace", "w", code=1)
print("failed:", failed)
"""


def test_without_any_extra(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", DRIVER], cwd=tmp_path, capture_output=True, text=True)
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    assert done.stdout.rstrip().endswith("failed: []"), done.stdout[-500:] + done.stderr[-2000:]
    assert "pip install 'afs-factory[train]'" in done.stderr
