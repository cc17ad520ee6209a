"""Compares screenshots with golden images: emulator frames, terminals, web pages."""
