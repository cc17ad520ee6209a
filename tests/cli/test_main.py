"""The command line as a user meets it."""

from __future__ import annotations

import errno
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from afs.cli.command_runner import find_command, read_config, sort_words
from afs.cli.main import main
from afs.evaluate import EvalRunConfig
from afs.providers.base import Sampling
from afs.workspace import Workspace


def afs(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main(list(words))
    told = capsys.readouterr()
    return code, told.out, told.err


def test_help_names_every_verb_and_option(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = afs(capsys, "--help")
    assert code == 0 and "generate" in out and "Exit codes" in out
    code, out, _ = afs(capsys, "generate", "--help")
    assert code == 0 and "--domain  (text, required)" in out and "The pack that sets the tasks" in out
    code, out, _ = afs(capsys, "models")
    assert code == 0 and "models promote" in out


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["generat"], "no verb 'generat'; did you mean 'generate'?"),
        (["models", "lst"], "no verb 'lst'; did you mean 'list'?"),
        (["generate", "--nme", "x"], "--nme: unknown option; did you mean 'name'?"),
        (["generate", "--count"], "--count needs a value"),
        (["generate", "--count", "many"], "--count: want int, got 'many'"),
        (["generate"], "domain: missing; want text"),
        (["generate", "word"], "unexpected: word"),
        (["generate", "@nowhere.toml"], "nowhere.toml: no such file"),
        (["sums", "fly"], "afs sums has no verb 'fly'"),
    ],
)
def test_mistakes_are_one_line_and_exit_2(capsys: pytest.CaptureFixture[str], words: list[str], wanted: str) -> None:
    code, out, err = afs(capsys, *words)
    assert (code, out) == (2, "")
    assert wanted in err and err.count("\n") == 1


def test_a_file_under_flags_and_json_on_standard_output(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "g.toml").write_text('[generate]\ndomain = "sums"\nname = "from-file"\ncount = 3\n')
    where = ("--workspace", str(workspace.root))
    code, out, err = afs(capsys, "generate", "@g.toml", "--name", "from-flag", "--json", *where)
    made = json.loads(out)
    assert code == 0 and made["ref"] == "from-flag@1" and made["splits"][0]["count"] == 30
    assert "\x1b" not in err, "piped output has no control codes"


def test_verify_says_what_is_wrong_and_exits_3(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    task = {
        "id": "t",
        "domain": "sums",
        "family": "add",
        "prompt": "add 2 2",
        "reference": "4",
        "spec": {"numbers": [2, 2]},
    }
    (tmp_path / "t.json").write_text(json.dumps(task))
    (tmp_path / "a.txt").write_text("5")
    assert afs(capsys, "verify", "t.json")[:2] == (0, "ok      t  match\n1 of 1 pass\n")
    code, out, _ = afs(capsys, "verify", "t.json", "a.txt")
    assert code == 3 and "WRONG   t  match  want '4', got '5'" in out
    code, _, err = afs(capsys, "verify", "none.json")
    assert code == 1 and "none.json" in err


def test_init_makes_a_workspace_and_doctor_looks(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = afs(capsys, "init", "here")
    assert code == 0 and "workspace at" in out and (tmp_path / "here" / "providers.toml").exists()
    code, out, _ = afs(capsys, "doctor")
    assert code == 0 and "Python" in out and "pack sums" in out
    code, out, _ = afs(capsys, "doctor", "--json")
    assert {"Python", "GPU", "disk"} <= {part["name"] for part in json.loads(out)["parts"]}


def test_init_makes_the_workspace_that_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["init", "--workspace", str(tmp_path / "named")]) == 0
    assert (tmp_path / "named" / "afs.toml").is_file() and not (Path.cwd() / "afs.toml").exists()
    assert main(["init", str(tmp_path / "named"), "--workspace", str(tmp_path / "other")]) == 2
    assert "name different folders" in capsys.readouterr().err


def test_without_a_workspace_it_says_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = afs(capsys, "ask", "hello")
    assert code == 1 and "afs init" in err


def test_a_closed_pipe_is_no_traceback(workspace: Workspace) -> None:
    shell = f"{sys.executable} -m afs doctor --json | true"
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=False)
    assert "Traceback" not in done.stderr


def test_a_recipe_may_be_named_like_a_config(
    capsys: pytest.CaptureFixture[str], workspace: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "r.toml").write_text('[raw]\nverb = "generate"\ndomain = "sums"\nname = "raw"\ncount = 1\n')
    for word in ("@r.toml", "r.toml"):
        code, out, _ = afs(capsys, "run", word, "--dry-run", "--json", "--workspace", str(workspace.root))
        assert code == 0 and json.loads(out)[0]["outcome"] == "would run"


def test_a_flag_of_a_table_leaves_the_rest_of_its_default() -> None:
    """`eval run` samples up to 1024 tokens unless told otherwise; another temperature is no other limit."""
    words = ["eval", "run", "s", "--model", "m", "--sampling.temperature", "0.5"]
    command, rest = find_command(words)
    assert command is not None
    config = read_config(command, sort_words(rest, command.config))
    assert config == EvalRunConfig(suite="s", model=("m",), sampling=Sampling(temperature=0.5, max_tokens=1024))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "x"), "x: No space left on device; stored data is intact"),
        (OSError(errno.EMFILE, "Too many open files"), "Too many open files; raise the limit"),
        (OSError(errno.EIO, "Input/output error"), "the disk reports an error"),
        (MemoryError(), "out of memory; stored data is intact"),
        (sqlite3.OperationalError("database or disk is full"), "database or disk is full"),
    ],
)
def test_trouble_of_the_machine_is_one_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, words: str
) -> None:
    def fail(_: list[str]) -> int:
        raise error

    monkeypatch.setattr("afs.cli.main.run", fail)
    assert main(["doctor"]) == 1
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1
