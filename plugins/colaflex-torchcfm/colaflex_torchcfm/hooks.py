"""What this package offers to colaflex."""

from __future__ import annotations

import colaflex

__all__ = ["colaflex_components"]


@colaflex.hookimpl
def colaflex_components() -> list[colaflex.Component]:
    """The coupling `torchcfm_ot`."""
    return [
        colaflex.Component(
            kind="coupling",
            name="torchcfm_ot",
            target="colaflex_torchcfm.coupling:TorchCFMTransport",
            config="colaflex_torchcfm.config:TorchCFMTransportConfig",
            summary="Minibatch optimal transport between noise and data, by torchcfm.",
        )
    ]
