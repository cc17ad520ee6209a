"""What can be said of a routine in a ROM: read from its bytes, measured by running it, and explained by the council."""
