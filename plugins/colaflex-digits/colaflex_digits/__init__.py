"""Handwritten digits, seen and drawn by a colaflex model."""
