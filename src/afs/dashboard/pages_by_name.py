"""Which page a name means; names that mean nothing give None."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from afs.dashboard.campaign_page import campaign_page
from afs.dashboard.cloud_page import cloud_page
from afs.dashboard.council_page import council_page
from afs.dashboard.dashboard_state import Views
from afs.dashboard.data_page import data_page, set_page
from afs.dashboard.evaluation_page import evaluation_page
from afs.dashboard.home_page import home_page, runs_page
from afs.dashboard.page_parts import Page
from afs.dashboard.registry_page import registry_page
from afs.dashboard.review_page import review_index, review_page
from afs.dashboard.run_page import run_page

Query = Mapping[str, Sequence[str]]
"""What the address of a page asks for beside its name."""
NOTHING: Query = {}
_FIXED: dict[str, Callable[[Views], Page]] = {
    "index.html": home_page,
    "runs.html": runs_page,
    "data.html": data_page,
    "evaluation.html": evaluation_page,
    "registry.html": registry_page,
    "council.html": council_page,
    "review.html": review_index,
    "cloud.html": cloud_page,
}


def build_page(views: Views, name: str, query: Query = NOTHING, form_key: str = "") -> Page | None:
    """The page of this name as the workspace is now; `form_key` belongs to a session that may write."""
    if name in _FIXED:
        return _FIXED[name](views)
    kind, _, rest = name.removesuffix(".html").partition("-")
    if kind == "run":
        run = views.run(rest)
        return run_page(views, run, query.get("with", ())) if run is not None else None
    if kind == "campaign":
        facts = views.campaign(rest)
        return campaign_page(facts) if facts is not None else None
    if kind == "data":
        return set_page(views, rest, query)
    return review_page(views, rest, query, form_key) if kind == "review" else None


def list_pages(views: Views) -> Iterator[str]:
    """The names of all pages, for a copy."""
    yield from _FIXED
    for run in views.index.runs:
        yield f"run-{run.id}.html"
    for name in views.campaign_names():
        yield f"campaign-{name}.html"
        yield f"review-{name}.html"
    for ref, _ in views.stored.datasets():
        yield f"data-{ref.kind}-{ref.name}-{ref.version}.html"
