"""Inspect stored records and datasets, and export them in formats other programs read."""
