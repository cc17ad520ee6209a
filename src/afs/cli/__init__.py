"""The command line: `main.py` reads it, `output.py` writes to the terminal."""
