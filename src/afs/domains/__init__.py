"""Domain packs: what is true of one subject. Nothing above imports a pack; `plugins.py` names it."""
