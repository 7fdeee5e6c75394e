"""A study file: read, checked, completed."""
