"""Where trials are kept, and whose they are."""
