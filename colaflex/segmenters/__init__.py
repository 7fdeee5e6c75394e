"""Segmenters: which span of tokens one latent stands for."""
