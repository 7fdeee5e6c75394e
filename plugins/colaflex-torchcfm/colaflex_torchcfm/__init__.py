"""Couplings by torchcfm."""
