"""Back ends: the only place of training where torch, transformers, PEFT, TRL or MLX are imported."""
