"""Builds the optional C parts as abi3 extensions; without Python headers the program compiles them on first use."""

import shutil
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_py import build_py

CORES = {
    "afs.domains.snes._cpu": "src/afs/domains/snes/cpu.c",
    "afs.curate._minhash": "src/afs/curate/minhash.c",
    "afs.ingest._json_keys": "src/afs/ingest/json_keys.c",
    "afs.redaction._candidates": "src/afs/redaction/candidates.c",
    "afs.export._merge": "src/afs/export/merge.c",
}


class BuildWithRecipes(build_py):
    """The recipes are part of the wheel: `afs run @recipes/…` works without a clone."""

    def run(self) -> None:
        """Copy them beside the modules; an editable install reads them where they are."""
        super().run()
        if not self.editable_mode:
            shutil.copytree("recipes", Path(self.build_lib, "afs", "recipes"), dirs_exist_ok=True)


setup(
    cmdclass={"build_py": BuildWithRecipes},
    ext_modules=[
        Extension(
            name,
            [source],
            define_macros=[("Py_LIMITED_API", "0x030B0000"), ("AFS_PYTHON_MODULE", "1")],
            extra_compile_args=["-O3", "-std=c99"],
            py_limited_api=True,
            optional=True,
        )
        for name, source in CORES.items()
    ],
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
