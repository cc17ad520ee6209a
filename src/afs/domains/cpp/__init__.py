"""The pack for a C++ library of one's own: tasks from its headers, judged by a compiler."""

from afs.domains.cpp.pack import DOMAIN

__all__ = ["DOMAIN"]
