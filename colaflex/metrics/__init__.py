"""Metrics: what they are called and mean, how they rank, how values are read and printed."""
