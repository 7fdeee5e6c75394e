"""Metrics with intervals, baselines and judges. Only `judge` imports torch."""
