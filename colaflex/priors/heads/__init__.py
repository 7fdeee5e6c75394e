"""Heads of the autoregressive prior: distributions of one latent given a state."""
