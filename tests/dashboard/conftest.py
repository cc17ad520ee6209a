"""A workspace made by real tiny runs, once per session; tests that change it work on a copy. Pages are asked for on a real socket."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import uvicorn

from afs.cli.main import main
from afs.dashboard.dashboard_state import Views
from afs.dashboard.web_access import WebAccess
from afs.dashboard.web_app import WebApp
from afs.serve.access import Tokens, hash_token
from afs.workspace import Workspace

TOKEN = "afs-token-of-a-test"
TRAIN = ("--dataset", "sums-set", "--trainer", "toy", "--method", "scratch", "--learning_rate", "2.0")


def run(*words: str) -> None:
    """A command of the program, in this process."""
    assert main([*words, "--quiet"]) == 0, words


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace that no test may change."""
    root = tmp_path_factory.mktemp("dashboard") / "w"
    before = os.environ.get("AFS_WORKSPACE")
    os.environ["AFS_WORKSPACE"] = str(root)
    try:
        run("init", str(root))
        families = '[{family="add",count=60},{family="copy",count=60}]'
        run("generate", "--domain", "sums", "--name", "small", "--families", families)
        run(
            "generate",
            "--domain",
            "sums",
            "--name",
            "echoed",
            "--count",
            "3",
            "--teacher",
            "echo:x",
            "--candidates",
            "1",
        )
        run("curate", "--sources", "small", "--name", "sums-set")
        probes = ("--evaluate.probes", "4", "--evaluate.every", "8", "--checkpoints.every", "8")
        run("train", *TRAIN, "--name", "toy", "--epochs", "3", "--usd_per_hour", "2.0", *probes)
        run("train", *TRAIN, "--name", "other", "--epochs", "2")
        run("eval", "run", "sums:add", "--model", "echo:x", "--base", "none", "--count", "8")
        run("models", "register", "toy", "toy@1")
    finally:
        os.environ.pop("AFS_WORKSPACE", None)
        if before is not None:
            os.environ["AFS_WORKSPACE"] = before
    return root


@pytest.fixture
def real(made: Path, tmp_path: Path) -> Workspace:
    """A copy to change."""
    return Workspace(shutil.copytree(made, tmp_path / "w", symlinks=True))


class Answer(NamedTuple):
    """What the server said."""

    status: int
    headers: Mapping[str, str]
    text: str


class Site:
    """A running dashboard."""

    def __init__(self, port: int, views: Views) -> None:
        self.port, self.views = port, views
        self.url = f"http://127.0.0.1:{port}"

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)

    def ask(self, path: str, method: str = "GET", body: str = "", **headers: str) -> Answer:
        """One request; `_` in a header's name stands for `-`."""
        connection = self.connect()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if method == "POST":
            sent["content-type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body or None, sent)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        found = {name.lower(): value for name, value in answer.getheaders()}
        connection.close()
        return Answer(answer.status, found, text)


@contextmanager
def serving(workspace: Workspace, host: str = "127.0.0.1", token: str = "") -> Iterator[Site]:
    """The dashboard of a workspace on a free port; `host` is what it believes to listen on."""
    views = Views(workspace)
    tokens = Tokens({"tester": hash_token(token)} if token else {})
    listener = socket.create_server(("127.0.0.1", 0))
    settings = uvicorn.Config(
        WebApp(views, WebAccess(tokens, host)).app(), log_level="error", lifespan="off", timeout_graceful_shutdown=1
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Site(listener.getsockname()[1], views)
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture
def site(real: Workspace) -> Iterator[Site]:
    """The dashboard of the real workspace, with a token."""
    with serving(real, token=TOKEN) as running:
        yield running


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 20.0) -> None:
    """Ask again until it holds."""
    waiting = threading.Event()
    for _ in range(int(seconds * 20)):
        if condition():
            return
        waiting.wait(0.05)
    raise AssertionError(f"did not happen: {what}")
