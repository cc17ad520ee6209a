"""What to suggest for a name that does not exist."""

from __future__ import annotations

_LISTED = 20
"""Names listed in a message; more would hide the rest of it."""


def suggest_name(name: str, known: object) -> str:
    """`; did you mean 'x'?`, or the list of known names when none is similar."""
    import difflib  # slow to import, and only a mistake needs it

    options = sorted(str(k) for k in known)  # type: ignore[attr-defined]
    close = difflib.get_close_matches(name, options, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    more = f" and {len(options) - _LISTED} more" if len(options) > _LISTED else ""
    return f"; there are: {', '.join(options[:_LISTED])}{more}" if options else ""
