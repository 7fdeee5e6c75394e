"""Memory of this process: how much it has used, and giving back what it no longer does."""

from __future__ import annotations

import ctypes
import resource
import sys

__all__ = ["peak_memory_bytes", "release_freed_memory"]


def peak_memory_bytes() -> int:
    """The largest resident set this process has had so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def release_freed_memory() -> None:
    """Give memory that was freed back to the system, where the C library can (glibc).

    A stage frees its activations in pieces that the next stage's sizes don't fit, so that without
    this the stages' memory adds up.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
