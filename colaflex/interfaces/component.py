"""The base of every component's config, and how one config names another component."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationInfo
from pydantic.functional_validators import BeforeValidator

__all__ = [
    "AbsentMeans",
    "Builder",
    "ComponentConfig",
    "FormerDefault",
    "FormerOptions",
    "Slot",
    "install_resolver",
]

INTERFACE_VERSION = 1
Value = TypeVar("Value")


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


@dataclass(frozen=True)
class FormerOptions:
    """How a slot was filled before it named a component: by a map, one option of which chose.

    What could be said so keeps its digest, and is still read where it is said so.

    Attributes:
        chooser: the option that chose; now it is `type`.
        choices: what it chose from, by name, the first where it was left out; and which of the
            other options each of them has kept.

    Example:
        >>> former = FormerOptions("law", {"normal": ("mean",), "uniform": ()})
        >>> former.read({"law": "uniform", "mean": 1.0}, str, str)
        {'type': 'uniform'}
        >>> former.read({"mean": 2.0}, str, str)
        {'type': 'normal', 'mean': 2.0}
        >>> former.renamed({"mean": 2.0}, str)
        {'mean': 2.0}
    """

    chooser: str
    choices: Mapping[str, Sequence[str]]

    @property
    def first(self) -> str:
        """What was meant where nothing was chosen."""
        return next(iter(self.choices))

    def renamed(
        self, options: Mapping[str, Value], named: Callable[[Value], str]
    ) -> dict[str, Value]:
        """Options by what they are called now; `named` reads the name that a value holds."""
        if "type" in options or self.chooser not in options:
            return dict(options)
        chosen = options[self.chooser]
        kept = self.choices.get(named(chosen))
        unused = set() if kept is None else {o for c in self.choices.values() for o in c} - {*kept}
        rest = {k: v for k, v in options.items() if k != self.chooser and k not in unused}
        return {"type": chosen, **rest}

    def read(
        self,
        options: Mapping[str, Value],
        named: Callable[[Value], str],
        value: Callable[[str], Value],
    ) -> dict[str, Value]:
        """As `renamed`, with the type that was meant where none is said; none where none was."""
        options = self.renamed(options, named)
        known = {option for choice in self.choices.values() for option in choice}
        if "type" in options or (options and known.isdisjoint(options)):
            return options
        return {"type": value(self.first), **options}


class Slot:
    """Marks a config field that holds another component's config.

    `network: Annotated[ComponentConfig, Slot("network")] = "block_causal"` accepts the short form
    (a name), the long form (a mapping with `type`), or a config.

    Args:
        kind: of the component.
        former: how it was said before it was a component.

    Example:
        >>> from typing import Annotated
        >>> from colaflex.host.registry import registry
        >>> names = registry().names("solver")  # from here on, names stand for components
        >>> class Options(ComponentConfig):
        ...     solver: Annotated[ComponentConfig, Slot("solver")] = "euler"
        >>> Options(solver="heun").solver.type
        'heun'
    """

    def __init__(self, kind: str, former: FormerOptions | None = None) -> None:
        self.kind, self.former = kind, former

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> Any:
        def resolve(value: object, info: ValidationInfo) -> object:
            if isinstance(value, ComponentConfig):
                return value
            if _resolver is None:
                raise ValueError(f"no registry is loaded to resolve the {self.kind} {value!r}")
            if self.former is not None and isinstance(value, Mapping):
                value = self.former.read(value, str, str)
            return _resolver(self.kind, value)

        return BeforeValidator(resolve).__get_pydantic_core_schema__(source, handler)
