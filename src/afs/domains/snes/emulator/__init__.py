"""A real SNES emulator (Debian's bsnes-mercury as a libretro core), one core per worker process; optional.

`fetch.core()` says where the core lies, `worker.Emulator` plays ROMs on it, `harness` runs routines on it.
"""
