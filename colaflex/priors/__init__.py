"""Priors: distributions over sequences of latents."""
