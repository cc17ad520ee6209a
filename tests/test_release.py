"""What a release holds: every tracked file of the package, the recipes, licenses and C sources; no tests."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from afs.cli.main import main
from afs.workspace import Workspace

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def release() -> ModuleType:
    spec = importlib.util.spec_from_file_location("release", ROOT / "scripts" / "release.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What setuptools would put into a wheel, the compiled parts aside."""
    place = tmp_path_factory.mktemp("build")
    words = ["egg_info", f"--egg-base={place}", "build_py", f"--build-lib={place / 'lib'}"]
    done = subprocess.run([sys.executable, "setup.py", "-q", *words], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return place / "lib"


def test_a_wheel_is_complete_and_holds_no_test(release: ModuleType, built: Path) -> None:
    names = [path.relative_to(built).as_posix() for path in built.rglob("*") if path.is_file()]
    assert release.package_problems(names) == []


@pytest.mark.parametrize(
    "name",
    [
        "afs/py.typed",
        "afs/domains/snes/cpu.c",
        "afs/dashboard/static/uPlot.LICENSE.txt",
        "afs/recipes/experts/nayru.toml",
    ],
)
def test_a_forgotten_file_is_noticed(release: ModuleType, name: str) -> None:
    names = set(release.wanted_files())
    assert name in names
    assert release.package_problems(names - {name}) == [f"missing: {name}"]
    assert release.package_problems({*names, "tests/test_x.py"}) == ["not to ship: tests/test_x.py"]


def test_recipes_of_the_package_are_found_without_a_clone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], built: Path, workspace: Workspace
) -> None:
    assert not Path("recipes").exists()
    words = ["run", "@recipes/experts/nayru.toml", "--scale", "tiny", "--dry-run", "--workspace", str(workspace.root)]
    assert main(words) == 0
    assert "would run" in capsys.readouterr().out
    code = (
        "from afs.config import load_toml; from pathlib import Path; print(len(load_toml(Path('recipes/tiny.toml'))))"
    )
    environment = {**os.environ, "PYTHONPATH": str(built)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
