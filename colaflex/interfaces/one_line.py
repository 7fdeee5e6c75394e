"""The `repr` of values that hold tensors: kind and shapes in one line, never the numbers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor, nn

__all__ = ["one_line"]


def one_line(value: Any) -> str:
    """Class and fields of a dataclass, of tensors the shape; fields that are None are left out.

    Example:
        >>> from colaflex.interfaces.values import Posterior
        >>> one_line(Posterior(torch.zeros(2, 8, 16), torch.zeros(2, 8, 16)))
        'Posterior(mean (2, 8, 16), log_variance (2, 8, 16))'
    """
    parts = {each.name: getattr(value, each.name) for each in fields(value)}
    said = (f"{name} {_brief(part)}" for name, part in parts.items() if part is not None)
    return f"{type(value).__name__}({', '.join(said)})"


def _brief(part: Any) -> str:
    if isinstance(part, Tensor):
        return _shape(part) if part.dim() else str(part)
    if isinstance(part, nn.Module):
        return type(part).__name__
    if isinstance(part, Mapping):
        return f"{{{', '.join(map(str, part))}}}"
    if isinstance(part, list | tuple):
        return f"[{len(part)}]"
    if isinstance(part, Callable):  # type: ignore[arg-type]
        return getattr(part, "__qualname__", type(part).__name__)
    return repr(part)


def _shape(tensor: Tensor) -> str:
    place = "" if tensor.device.type == "cpu" else f" {tensor.device}"
    return f"{tuple(tensor.shape)}{place}"
