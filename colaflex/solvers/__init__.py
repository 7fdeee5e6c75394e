"""Solvers of the ordinary differential equation that turns noise into latents."""
