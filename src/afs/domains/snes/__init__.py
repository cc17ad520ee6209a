"""The SNES pack: 65816 assembly and ROM hacking, every claim judged by execution.

`pack.DOMAIN` is all that the core sees; nothing is imported here, so that a fast command loads only what it needs.
"""
