"""Random draws without torch, keyed by what they are for; and digests of such keys."""

from __future__ import annotations

import hashlib

import numpy as np

__all__ = ["keyed_rng", "stable_digest"]


def stable_digest(*key: object) -> str:
    """SHA-256 of the key's representation, in hex."""
    return hashlib.sha256(repr(key).encode()).hexdigest()


def keyed_rng(*key: object) -> np.random.Generator:
    """A generator whose state is a pure function of the key."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=16).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest, "little")))
