"""Graphics, compression and patches of SNES ROMs: tiles, palettes, LC_LZ2."""
