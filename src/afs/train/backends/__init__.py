"""Back ends: the only place of training where torch, transformers, PEFT, TRL or MLX are imported."""

import logging

logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it warns of optional kernels whenever PEFT is imported
