"""What follows a word such as `token` or `mysql` in front of a secret: an assignment in any syntax, an option.

RE2 finds the words in one fast pass; these patterns are only tried right behind them, so they may backtrack a little.
"""

from __future__ import annotations

import re

_QUOTED = rb"""(?:"((?:[^"\\\n]|\\[^n\n]){1,400})"|'((?:[^'\\\n]|\\[^n\n]){1,400})'|`([^`\n]{1,400})`|\\+"([^"\\\n]{1,400})\\+")"""  # noqa: E501
_BARE = rb"""([^\s"'`<>,;(){}\[\]\\]{4,400})"""
_REST = rb"""([^\s"'`<,;]{8,400})(?=["'`,;]?[ \t]{0,4}(?:\n|\Z))"""
"""A value with brackets in it, where it is the rest of its line."""
_ASSIGNMENT = (
    rb"""["'`\\\])}]{0,4}[ \t]{0,8}+"""
    rb"""(?::?[ \t]{0,4}+[\w<>\[\]?*.]{1,30}+[ \t]{0,4}+(?=[:=?]))?"""  # a type between name and operator
    rb"""(?:=>|%3D|:{1,3}=|[?.+|]{1,2}=|[=!]==?|=|:|,|>|->|\|\||\((?=["'`])|(?=["'`]))"""
    rb"""(?:[ \t]{0,8}|(?<=>)\s{0,40}|(?<=[:=])[ \t]*\\?\n[ \t]{1,12})"""
    rb"""(?:(?![\w.]{0,36}(?:en|de)code\()!?[\w.]{1,40}\([ \t]{0,4}(?:["'][\w.-]{1,40}["'],[ \t]{0,4})?)?"""  # a call around the value, a default of one  # noqa: E501
    rb"""(?:[@$rbuLfF&]{0,2}""" + _QUOTED + rb"""|(?:["'(]{1,4}|&quot;)?""" + _BARE + rb"|" + _REST + rb")"
)
_LINE = rb"[^\n|;]{0,200}?"
_ARGUMENT = rb"""["']?([^\s"'$<`-][^\s"'`<]{2,200})"""
_COMMAND = (
    rb"""(?:"""
    + _LINE
    + rb"""\s(?:-u|--user|--proxy-user|--auth|-a)(?:=|\s{0,2})["']?(?:[^\s:"'$<]{0,80}:([^\s"'$<{][^\s"']{2,200})|([^\s:"'$<{]{8,80}):["'\s])"""  # noqa: E501
    rb"""|""" + _LINE + rb"""\s-(?:p|a|w|P)(?:=|\s{0,2})""" + _ARGUMENT + rb""")"""
)
_OPTION = rb"""(?:=|[ \t]{1,4})""" + _ARGUMENT

TAILS: dict[str, re.Pattern[bytes]] = {
    "assignment": re.compile(_ASSIGNMENT),
    "command": re.compile(_COMMAND),
    "option": re.compile(_OPTION),
}
