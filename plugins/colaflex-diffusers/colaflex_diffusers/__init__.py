"""Solvers by schedulers of diffusers."""
