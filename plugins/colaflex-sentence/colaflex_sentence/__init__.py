"""Sentences as segments, and their vectors as latents."""
