"""`python -m afs`."""

import sys

from afs.cli.main import main

sys.exit(main())
