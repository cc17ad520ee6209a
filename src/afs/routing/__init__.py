"""Which expert a question belongs to: the router as it is trained, stored, opened and measured.

Training makes one (`afs train` with `method = "classify"`, `afs route train`), serving asks it; both stand above this.
"""

from afs.routing.router import Choice, RouteFigures, Router, RouterCard
from afs.routing.router_store import load_router, open_router, store_router

__all__ = ["Choice", "RouteFigures", "Router", "RouterCard", "load_router", "open_router", "store_router"]
