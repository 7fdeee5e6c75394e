"""Memory of this process: how much it has used, and giving back what it no longer does."""

from __future__ import annotations

import ctypes
import os
import resource
import sys

__all__ = ["limit_kernel_cache", "peak_memory_bytes", "release_freed_memory"]


def peak_memory_bytes() -> int:
    """The largest resident set this process has had so far, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def limit_kernel_cache() -> None:
    """Have oneDNN keep few kernels, unless the environment says how many.

    On a CPU it keeps a kernel and its buffers for every shape it has met, 1024 of them unless told
    otherwise: batches of many widths then cost hundreds of MiB, and speed nothing. It reads the
    setting at the first kernel of the process.
    """
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "32")


def release_freed_memory() -> None:
    """Give memory that was freed back to the system, where the C library can (glibc).

    A stage frees its activations in pieces that the next stage's sizes don't fit, so that without
    this the stages' memory adds up.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
