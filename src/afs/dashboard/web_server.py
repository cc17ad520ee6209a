"""Runs the dashboard's application, and beside it the thread that reads long logs and notes alerts."""

from __future__ import annotations

import socket
import threading

import uvicorn

from afs.dashboard.alert_log import AlertLog, send_alerts
from afs.dashboard.dashboard_state import Views
from afs.dashboard.web_access import WebAccess
from afs.dashboard.web_app import WebApp
from afs.errors import AfsError
from afs.serve.access import Tokens
from afs.workspace import Workspace

_WATCH_S = 5.0
_REST_S = 0.02


class Watcher(threading.Thread):
    """Reads what was only sampled, and writes alerts down, also while nobody looks."""

    def __init__(self, views: Views, webhook: str = "") -> None:
        super().__init__(daemon=True, name="dashboard watcher")
        self.views, self.webhook = views, webhook
        self.alerts = AlertLog(views.workspace)
        self._end = threading.Event()

    def run(self) -> None:
        """Until `stop`."""
        while not self._end.wait(_WATCH_S):
            try:
                self.watch()
            except AfsError as error:
                self.views.workspace.log.event("notice", text=f"the dashboard cannot note alerts: {error}")

    def watch(self) -> None:
        """One round."""
        self.views.look()
        self.views.index.read_whole(self._end.is_set, rest_s=_REST_S)
        fresh = self.alerts.note(self.views.alerts())
        for problem in send_alerts(self.webhook, fresh) if self.webhook else ():
            self.views.workspace.log.event("notice", text=problem)

    def stop(self) -> None:
        """End the thread; it may be in the middle of a round."""
        self._end.set()


def run_dashboard(workspace: Workspace, listener: socket.socket, tokens: Tokens, host: str, webhook: str = "") -> None:
    """Serve on the socket until a signal stops it."""
    views = Views(workspace)
    watcher = Watcher(views, webhook)
    app = WebApp(views, WebAccess(tokens, host)).app()
    settings = uvicorn.Config(
        app, log_level="warning", lifespan="off", timeout_keep_alive=30, timeout_graceful_shutdown=1
    )
    watcher.start()
    try:
        uvicorn.Server(settings).run(sockets=[listener])
    finally:
        watcher.stop()
