"""Views of a workspace: web pages, a terminal, a static copy, alerts as records. Only Review and alerts write."""

from afs.dashboard.alerts_command import AlertsConfig, list_alerts
from afs.dashboard.export_command import CopyConfig, export_pages
from afs.dashboard.serve_command import DashboardConfig, serve_dashboard
from afs.dashboard.session_command import SessionConfig, show_session
from afs.dashboard.top_command import TopConfig, show_top

__all__ = [
    "AlertsConfig",
    "CopyConfig",
    "DashboardConfig",
    "SessionConfig",
    "TopConfig",
    "export_pages",
    "list_alerts",
    "serve_dashboard",
    "show_session",
    "show_top",
]
