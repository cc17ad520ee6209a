"""The council: a router, experts, and the verdict on what they say.

Training makes routers (`afs train` with `method = "classify"`, `afs route train`); serving asks the council.
"""

from afs.council.answer import Council, Reply
from afs.council.council_setup import open_council
from afs.council.router import Choice, RouteFigures, Router, RouterCard
from afs.council.router_store import load_router, open_router, store_router

__all__ = [
    "Choice",
    "Council",
    "Reply",
    "RouteFigures",
    "Router",
    "RouterCard",
    "load_router",
    "open_council",
    "open_router",
    "store_router",
]
