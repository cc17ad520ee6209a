"""The form that takes a token: needed to look from another machine, and to write anywhere."""

from __future__ import annotations

from html import escape

from afs.dashboard.page_parts import Page, PagePart, paragraph
from afs.dashboard.web_access import WebAccess
from afs.pages import Html, join


def login_page(access: WebAccess, back: str, problem: str = "") -> Page:
    """The page; without any stored token it says how to make one."""
    if not access.tokens:
        text = "This workspace has no token. Make one with `afs serve --add-token NAME`, and start the dashboard again."
        return Page("login", "Log in", [PagePart("login", paragraph(text))])
    form = Html(
        f'<form method="post" action="login?to={escape(back)}"><p><label>Token '
        '<input type="password" name="token" autocomplete="current-password" required></label> '
        "<button>Log in</button></p></form>"
    )
    hint = "A token of this workspace, made by `afs serve --add-token NAME`."
    said = paragraph(problem, "bad") if problem else Html("")
    return Page("login", "Log in", [PagePart("login", join([said, paragraph(hint, "hint"), form]))])
