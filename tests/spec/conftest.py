"""A stranger's distribution with a component of every kind that specs name."""

from __future__ import annotations

from typing import Any

import pytest

from colaflex.host.registry import registry

CONFIGS = '''
    from datetime import date
    from pathlib import Path
    from typing import Annotated, Literal

    from pydantic import BaseModel, Field

    from colaflex.interfaces.capabilities import (
        PriorCapabilities, RepresentationCapabilities, SegmenterCapabilities,
    )
    from colaflex.interfaces.component import ComponentConfig, Slot
    from colaflex.interfaces.configs import (
        CorpusConfig, PriorConfig, RepresentationConfig, SegmenterConfig,
    )

    class Timing(BaseModel):
        model_config = {"extra": "forbid", "frozen": True}
        loc: float = Field(0.0, ge=-1, le=1, description="Where.")

    class Tiger(PriorConfig):
        """Another family of priors."""
        block_size: int = Field(4, ge=1, le=64, description="Something of its own words.")
        schedule: Timing = Field(Timing(), description="When.")
        stripes: int = Field(3, ge=0, description="Stripes (count).")
        prediction: Literal["velocity", "x0"] = Field("x0", description="A meaning of its own.")
        history_dropout: float = Field(
            0.3, description="Share of rows trained with empty history, the unconditional branch "
            "that guidance needs.")
        helpers: tuple[Annotated[ComponentConfig, Slot("solver")], ...] = Field(
            (), description="Solvers.")
        mentor: Path | Literal["none"] = Field("none", description="A run folder, or none.")
        by_name: dict[str, Timing] = Field(default_factory=dict, description="Timings.")
        since: date | None = Field(None, description="A date.")
        names: Annotated[list[str], Field(min_length=1)] = Field(["a"], description="Names.")
        small: float = Field(0.5, lt=1, description="A number.")
        large: float = Field(5.0, gt=1, lt=9, description="A number.")
        low: float = Field(0.5, le=1, description="A number.")
        high: float = Field(5.0, gt=1, description="A number.")
        lambda_: float = Field(0.5, alias="lambda", description="A weight.")

        def capabilities(self):
            return PriorCapabilities("none", fewest_steps=4, guidance=False)

    class Mole(RepresentationConfig):
        """Sees both ways."""
        sight: Literal["bidirectional", "block_causal", "causal", "aligned"] = Field(
            "causal", description="How."
        )
        together: int = Field(1, ge=1, description="Segments read together.")

        def capabilities(self):
            if self.sight == "aligned":
                return RepresentationCapabilities(True, token_aligned=True, variable_length=False)
            return RepresentationCapabilities(
                False, causality=self.sight, block_size=self.together
            )

    class Worm(SegmenterConfig):
        """Variable lengths."""
        longest: int = Field(8, ge=1, description="Longest segment (tokens).")

        def capabilities(self):
            return SegmenterCapabilities(self.longest, variable=True)

    class Parrot(ComponentConfig):
        """A baseline."""
        kind = "baseline"
        width: int = Field(..., ge=1, description="Channels.")

    class Diary(CorpusConfig):
        """Files."""
        path: Path = Field(..., description="A folder.")
'''

HOOKS = """
    import colaflex

    def component(kind, name, config):
        path = f"menagerie.config:{config}"
        return colaflex.Component(kind, name, path, path, f"The {name}.", version="7")

    @colaflex.hookimpl
    def colaflex_components():
        return [
            component("prior", "tiger", "Tiger"),
            component("representation", "mole", "Mole"),
            component("segmenter", "worm", "Worm"),
            component("baseline", "parrot", "Parrot"),
            component("corpus", "diary", "Diary"),
            component("solver", "ghost", "Nothing"),
        ]
"""


@pytest.fixture
def menagerie(site: Any):
    """The components of the distribution colaflex-menagerie, installed."""
    site.add_plugin("menagerie", HOOKS, config=CONFIGS)
    registry.cache_clear()
    yield site
    registry.cache_clear()
