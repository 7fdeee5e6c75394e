"""Config of the flow-matching prior. Imports no torch."""

from __future__ import annotations

from colaflex.priors.flow_config import FlowPriorConfig

__all__ = ["FlowMatchingConfig"]


class FlowMatchingConfig(FlowPriorConfig):
    """Conditional flow matching on straight paths between noise and latents."""
