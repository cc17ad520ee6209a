"""llama.cpp in a process of its own: it may crash, and is started again; it ends when its owner does.

    python -m afs.providers.llama_process     a `Launch` as JSON on standard input, the address on standard output

The port answers nobody without the key, which is drawn for each start and passed on standard input alone.
"""

from __future__ import annotations

import atexit
import os
import secrets
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import msgspec
import xllamacpp

from afs.errors import ProviderError, boundary
from afs.process import safe_environment

_QUIET = -1
"""llama.cpp's verbosity: errors only come back as HTTP answers."""
_START_S = 600.0
"""Longest wait for a model to load."""
_ACCELERATOR = (
    "CUDA_VISIBLE_DEVICES",
    "HIP_VISIBLE_DEVICES",
    "LD_LIBRARY_PATH",
    "OMP_NUM_THREADS",
    "GGML_VK_VISIBLE_DEVICES",
)
_MOST_RESTARTS = 5
"""Starts in a row without an answered health check, after which a model counts as broken."""


class Launch(msgspec.Struct, frozen=True, kw_only=True):
    """What the process needs to know."""

    model: str
    adapters: list[str]
    context: int
    slots: int
    threads: int
    gpu_layers: int
    key: str = ""


class LlamaProcess:
    """One running llama.cpp; `url` and `key` change with every restart."""

    def __init__(self, launch: Launch) -> None:
        self._launch, self._stopping = launch, False
        self.restarts = 0
        self._changed = threading.Condition()
        self._start()
        atexit.register(self.stop)
        threading.Thread(target=self._watch, daemon=True, name="llama.cpp watch").start()

    def _start(self) -> None:
        self.key = secrets.token_urlsafe(24)
        kept = {name: os.environ[name] for name in _ACCELERATOR if name in os.environ}
        self._child = subprocess.Popen(
            [sys.executable, "-m", __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=safe_environment(kept),
        )
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(msgspec.json.encode(msgspec.structs.replace(self._launch, key=self.key)) + b"\n")
        self._child.stdin.flush()
        timer = threading.Timer(_START_S, self._child.kill)
        timer.start()
        line = self._child.stdout.readline().decode().strip()
        timer.cancel()
        if not line.startswith("http://"):
            self._child.wait()
            self._close_pipes()
            name = Path(self._launch.model).name
            raise ProviderError(f"llama.cpp cannot load {name}: {line or 'its process ended while loading'}")
        self.url = line

    @property
    def headers(self) -> dict[str, str]:
        """What every request carries."""
        return {"authorization": f"Bearer {self.key}"}

    @property
    def pid(self) -> int:
        """The process that holds the model."""
        return self._child.pid

    def _watch(self) -> None:
        while not self._stopping:
            self._child.wait()
            with self._changed:
                if not self._stopping and self.restarts < _MOST_RESTARTS:
                    self._close_pipes()
                    with suppress(ProviderError):
                        self._start()
                        self.restarts += 1
                    self._stopping = self._child.poll() is not None
                else:
                    self._stopping = True
                self._changed.notify_all()

    def has_restarted(self, since: int, timeout_s: float = 30.0) -> bool:
        """Whether it runs again after it died; waits for a restart under way. False when it has not died at all."""
        if self.restarts == since:
            try:
                self._child.wait(1.0)  # its connections break before it has ended
            except subprocess.TimeoutExpired:
                return self.restarts != since
        with self._changed:
            self._changed.wait_for(lambda: self.restarts != since or self._stopping, timeout_s)
            return self.restarts != since

    def stop(self) -> None:
        """End the process."""
        atexit.unregister(self.stop)
        with self._changed:
            self._stopping = True
            self._child.kill()
        self._child.wait()
        self._close_pipes()

    def _close_pipes(self) -> None:
        for stream in (self._child.stdin, self._child.stdout):
            if stream is not None:
                stream.close()


def build_params(launch: Launch) -> xllamacpp.CommonParams:
    """llama.cpp's settings for a launch."""
    params = xllamacpp.CommonParams()
    params.model.path = launch.model
    params.lora_adapters = [xllamacpp.CommonAdapterLoraInfo(path, 1.0) for path in launch.adapters]
    params.lora_init_without_apply = True
    params.cache_ram_mib = 0
    params.n_parallel = launch.slots
    params.n_ctx = launch.context * launch.slots
    params.n_gpu_layers = launch.gpu_layers
    params.fit_params = False
    params.warmup = False
    params.verbosity = _QUIET
    params.use_jinja = True
    params.ui = False
    params.cpuparams.n_threads = launch.threads
    params.cpuparams_batch.n_threads = launch.threads
    params.cpuparams.poll = params.cpuparams_batch.poll = 0
    params.n_threads_http = launch.slots + 4
    params.api_keys = [launch.key]
    params.cors_origins = "http://127.0.0.1"
    return params


def main() -> None:
    """Load, say where, and stay until the owner's end of the pipe closes."""
    launch = msgspec.json.decode(sys.stdin.buffer.readline(), type=Launch)
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever the library prints is no address
    try:
        with boundary(ProviderError, "llama.cpp"):
            server = xllamacpp.Server(build_params(launch))
    except ProviderError as error:
        answers.write(f"{error}\n".replace("\n", " ") + "\n")
        answers.flush()
        os._exit(1)
    answers.write(f"{server.listening_address}\n")
    answers.flush()
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    main()
