"""Where trials are stored, and whose they are."""
