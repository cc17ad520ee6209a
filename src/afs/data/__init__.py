"""Looks at stored records and datasets, and writes them in the forms other programs read."""
