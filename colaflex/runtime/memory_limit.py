"""How large a model may become while it is built: stopped before memory is taken, not after."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from colaflex.errors import UserError

__all__ = ["SMALL", "NoRoom", "require_room_to_train", "room_for"]

GIB = 1 << 30
SMALL = 256 << 20
"""Bytes that a model may have before anything is asked."""
COPIES_IN_TRAINING = 4  # weights, gradients, and two moments of the optimizer


class NoRoom(Exception):
    """The modules that are being built have more parameters than there is room for."""


@contextmanager
def room_for(size: int) -> Iterator[None]:
    """Raise NoRoom as soon as modules built meanwhile have parameters of more than so many bytes.

    A module's parameters are counted when it registers them, before they are filled.
    """
    used = 0

    def count(module: nn.Module, name: str, parameter: nn.Parameter | None) -> None:
        nonlocal used
        del module, name
        if parameter is not None and parameter.device.type != "meta":
            used += parameter.numel() * parameter.element_size()
        if used > size:
            raise NoRoom

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def require_room_to_train(model: nn.Module, device: torch.device) -> None:
    """Refuse with a UserError a model, perhaps without memory yet, that can't be trained here."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    size = _memory(device)
    if COPIES_IN_TRAINING * weights > size:
        raise UserError(
            f"this model is too large: its weights, gradients and the optimizer's moments take "
            f"{COPIES_IN_TRAINING * weights / GIB:,.0f} GiB, and this machine has "
            f"{size / GIB:,.0f} GiB of memory ({device.type}); lower widths or layers"
        )


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
