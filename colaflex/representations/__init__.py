"""Representations: text to latents and back."""
