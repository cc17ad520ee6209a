"""`kill -9` at any moment of any verb, then the same command again: the result equals the uninterrupted run."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest

from ..evaluate.conftest import Endpoint, chat_answer
from ..generate.conftest import right
from ..hub_server import Hub
from .cases import CASES, OTHERS, States
from .harness import Case, differences, differences_at_each_change, serving


@contextmanager
def listening(server: ThreadingHTTPServer) -> Iterator[str]:
    """The address of a server for as long as the block runs."""
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def remote_servers() -> Iterator[None]:
    """A teacher and a hub on this machine, whose addresses the cases read from the environment."""
    Hub.files, Hub.calls = {}, []
    hub = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    hub.daemon_threads = True
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        teacher = stack.enter_context(listening(Endpoint(lambda question: chat_answer(right(question)))))
        patch.setenv("FAULT_TEACHER", f"{teacher}/v1")
        patch.setenv("FAULT_HUB", stack.enter_context(listening(hub)))
        patch.setenv("HF_TOKEN", "hf_test")
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        yield


@pytest.fixture(scope="module")
def states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    with serving(tmp_path_factory.mktemp("afs")) as server:
        yield States(server, tmp_path_factory.mktemp("states"))


@pytest.fixture(scope="module")
def remote_states(tmp_path_factory: pytest.TempPathFactory) -> Iterator[States]:
    with remote_servers(), serving(tmp_path_factory.mktemp("afs")) as server:
        yield States(server, tmp_path_factory.mktemp("states"))


def lost(case: Case, states: States, folder: Path, kills: int, seed: int) -> list[str]:
    return differences(case, states.afs, states.folder(case.before), folder, kills, seed)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_three_kills(case: Case, states: States, tmp_path: Path) -> None:
    assert lost(case, states, tmp_path, kills=3, seed=1) == []


@pytest.mark.fault_long
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_thirty_kills(case: Case, states: States, tmp_path: Path) -> None:
    assert lost(case, states, tmp_path, kills=30, seed=2) == []


@pytest.mark.fault_long
@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.name)
def test_thirty_kills_of_other_verbs(case: Case, remote_states: States, tmp_path: Path) -> None:
    assert lost(case, remote_states, tmp_path, kills=30, seed=2) == []


@pytest.mark.fault_long
@pytest.mark.parametrize(
    "case", [case for case in (*CASES, *OTHERS) if case.name != "push"], ids=lambda case: case.name
)
def test_killed_before_each_change_of_a_file(case: Case, remote_states: States, tmp_path: Path) -> None:
    """Of every verb that changes files here: `push` changes only the hub."""
    before = remote_states.folder(case.before)
    assert list(differences_at_each_change(case, remote_states.afs, before, tmp_path)) == []
