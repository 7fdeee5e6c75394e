"""Scorers: which answers to a task are right."""
