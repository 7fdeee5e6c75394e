"""The base of every component's config, and how one config names another component."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo
from pydantic.functional_validators import BeforeValidator

__all__ = ["AbsentMeans", "Builder", "ComponentConfig", "FormerDefault", "Slot", "install_resolver"]

INTERFACE_VERSION = 1


class ComponentConfig(BaseModel):
    """Base of all component configs: strict, frozen, every field described and bounded.

    A config answers `capabilities()` where its kind declares any; the rest of the program asks
    that declaration, never the class name.

    Example:
        >>> from pydantic import Field
        >>> class Options(ComponentConfig):
        ...     rate: float = Field(0.1, gt=0, le=1, description="Share of tokens that are hidden.")
        >>> Options(rate=0.5).rate
        0.5
    """

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)

    kind: ClassVar[str] = ""
    type: str = Field(default="", description="Name of the component, or distribution:name.")

    def capabilities(self) -> Any:
        """What the component can do with these options: its kind's declaration, or None."""
        return None

    def contents(self) -> Mapping[str, str]:
        """Option -> digest of what it names but does not hold, such as a folder of weights.

        In the digest of a spec it stands for the option's value.
        """
        return {}


class Builder(Protocol):
    """Builds the component that a nested config names, e.g. the network under a prior.

    Example:
        >>> from colaflex.host.registry import registry
        >>> build: Builder = registry().build
        >>> build(registry().config("network", "block_causal"), n_times=2).n_times
        2
    """

    def __call__(self, config: ComponentConfig, **context: Any) -> Any:
        """The component, constructed with its config and the context."""
        ...  # pragma: no cover


Resolver = Callable[[str, object], ComponentConfig]
_resolver: Resolver | None = None


def install_resolver(resolver: Resolver) -> None:
    """Give the function that turns a raw value of a slot into the named component's config.

    The registry installs itself here, so that interfaces need not know of it.
    """
    global _resolver
    _resolver = resolver


@dataclass(frozen=True, slots=True)
class AbsentMeans:
    """Marks a config field that is younger than its component: without it, all went by this value.

    Runs that were saved without the field are read by this value, whatever its default is now, and
    digests leave it out, so that they keep theirs.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import Field
        >>> class Options(ComponentConfig):
        ...     drop: Annotated[float, AbsentMeans(0.0)] = Field(0.1, description="Share.")
        >>> Options().drop  # runs from before the field was there have 0.0
        0.1
    """

    value: object


@dataclass(frozen=True)
class FormerDefault:
    """Marks a config field whose default was this value before.

    Specs that say it keep the digest that they had when it needed no saying: it is left out of the
    digest, as the default is.

    Example:
        >>> from typing import Annotated
        >>> from pydantic import Field
        >>> class Options(ComponentConfig):
        ...     drop: Annotated[float, FormerDefault(0.2)] = Field(0.1, description="Share.")
        >>> Options(drop=0.2).drop  # no part of the digest, nor is 0.1
        0.2
    """

    value: object


class Slot:
    """Marks a config field that holds another component's config.

    `network: Annotated[ComponentConfig, Slot("network")] = "block_causal"` accepts the short form
    (a name), the long form (a mapping with `type`), or a config.

    Example:
        >>> from typing import Annotated
        >>> from colaflex.host.registry import registry
        >>> names = registry().names("solver")  # from here on, names stand for components
        >>> class Options(ComponentConfig):
        ...     solver: Annotated[ComponentConfig, Slot("solver")] = "euler"
        >>> Options(solver="heun").solver.type
        'heun'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        def resolve(value: object, info: ValidationInfo) -> object:
            if isinstance(value, ComponentConfig):
                return value
            if _resolver is None:
                raise ValueError(f"no registry is loaded to resolve the {self.kind} {value!r}")
            return _resolver(self.kind, value)

        return BeforeValidator(resolve).__get_pydantic_core_schema__(source, handler)
