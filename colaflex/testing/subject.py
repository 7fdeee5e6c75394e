"""The component under test: found by name or class, built small and always the same."""

from __future__ import annotations

import functools
import importlib
import inspect
import tempfile
import typing
from collections.abc import Callable, Mapping
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar

from colaflex.errors import UserError
from colaflex.hints import hint
from colaflex.hooks import KINDS
from colaflex.host.plugin import OBJECT, cause
from colaflex.host.registry import registry
from colaflex.interfaces.component import ComponentConfig
from colaflex.interfaces.conformance import Conformance
from colaflex.testing.results import NotApplicable
from colaflex.testing.small import changed, small_config

__all__ = ["Subject", "find", "kind_of"]

T = TypeVar("T")

BASES = {
    "segmenter": "colaflex.interfaces.segmenter:Segmenter",
    "representation": "colaflex.interfaces.representation:Representation",
    "prior": "colaflex.interfaces.prior:Prior",
    "network": "colaflex.interfaces.network:Network",
    "solver": "colaflex.interfaces.solver:Solver",
    "coupling": "colaflex.interfaces.solver:Coupling",
    "schedule": "colaflex.interfaces.schedule:Schedule",
    "baseline": "colaflex.interfaces.language_model:LanguageModel",
    "corpus": "colaflex.interfaces.corpus:Corpus",
    "task": "colaflex.interfaces.task:Task",
    "scorer": "colaflex.interfaces.scorer:Scorer",
}
"""The class that a component of a kind derives from, or whose methods it has."""


class Subject:
    """One component under test.

    Args:
        kind: one of `KINDS`.
        name: as results call it; of a registered one, its type.
        target: builds it, as `target(config, **context)`.
        config_class: of its options.
        options: for the config, beside those that the component itself gives the kit.
        registered: whether `name` is its type in specs.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        target: Callable[..., Any],
        config_class: type[ComponentConfig],
        options: Mapping[str, object] | ComponentConfig | None = None,
        registered: bool = False,
    ) -> None:
        self.kind, self.name, self.target = kind, name, target
        self.config_class, self.options = config_class, options
        self.type = name if registered else ""
        self.label = f"{kind} {name}"
        conformance = getattr(target, "conformance", None)
        self.conformance = conformance if isinstance(conformance, Conformance) else Conformance()
        self.expected_failures = dict(self.conformance.expected_failures)
        self._shared: dict[str, Any] = {}

    @functools.cached_property
    def config(self) -> ComponentConfig:
        """Its config, small."""
        if isinstance(self.options, ComponentConfig):
            return self.options
        options = {**self.required, **self._files, **self.conformance.options}
        options |= self.options or {}
        return small_config(self.config_class, options, self.type)

    @property
    def capabilities(self) -> Any:
        """What its config declares."""
        return self.config.capabilities()

    @property
    def required(self) -> dict[str, object]:
        """Required options: of a corpus, a folder with documents; of a task, the file it reads."""
        names = {n for n, f in self.config_class.model_fields.items() if f.is_required()}
        if self.kind == "task":
            return dict.fromkeys(names & {"data"}, "rows.jsonl")
        return {name: self.once("documents", self._documents) for name in names & {"path"}}

    @property
    def _files(self) -> Mapping[str, object]:
        """Options that name files, which the component writes for the kit."""
        write = self.conformance.files
        if write is None:
            return {}
        try:
            return self.once("files", lambda: write(Path(self._folder())))
        except (UserError, ImportError) as error:
            raise missing(error) from error

    def _folder(self) -> str:
        folder = tempfile.TemporaryDirectory(prefix="colaflex-check-")
        self._shared.setdefault("folders", []).append(folder)  # it goes when the subject does
        return folder.name

    def _documents(self) -> str:
        folder = self._folder()
        text = "\n\n".join(f"Document {i} tells of {i % 7} things." for i in range(60))
        Path(folder, "documents.txt").write_text(text, encoding="utf-8")
        return folder

    def build(self, config: ComponentConfig | None = None, **context: Any) -> Any:
        """A new instance, with the same weights at every call.

        Context that the constructor doesn't take is left out. Raises NotApplicable where a package
        that it needs is not installed.
        """
        import torch

        parameters = inspect.signature(self.target).parameters
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            context = {key: value for key, value in context.items() if key in parameters}
        if "build" in parameters:
            context["build"] = registry().build
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            try:
                return self.target(config or self.config, **context)
            except (UserError, ImportError) as error:
                raise missing(error) from error

    def with_options(self, **options: object) -> ComponentConfig:
        """Its config with other options; raises NotApplicable where it refuses them."""
        try:
            return changed(self.config, **options)
        except ValueError as error:
            raise NotApplicable(f"it refuses {options}") from error

    def once(self, key: str, make: Callable[[], T]) -> T:
        """What several checks share, such as a fit: made when first asked for."""
        if key not in self._shared:
            self._shared[key] = make()
        value: T = self._shared[key]
        return value


def missing(error: Exception) -> Exception:
    """NotApplicable where the error says that a package is not installed, else the error."""
    absent = isinstance(error, ImportError) or "not installed" in str(error)
    return NotApplicable(f"it can't run here: {error}") if absent else error


def find(
    target: str | type,
    name: str | None = None,
    config: Mapping[str, object] | ComponentConfig | None = None,
) -> list[Subject]:
    """The components that are meant.

    Args:
        target: a kind (then `name` is the component's), "package.module:Class", or a class. A class
            that several registered components share means all of them.
        name: of the component, where `target` is a kind.
        config: options of its config, or all of it.

    Raises:
        UserError: there is no such component, or it is of no kind, or its config is not known.
    """
    known = registry()
    if isinstance(target, str) and target in KINDS:
        if name is None:
            raise UserError(f"which {target}? ({', '.join(known.names(target))})")
        return [_registered(target, known.find(target, name).component.name, config)]
    if isinstance(target, str):
        target = _imported(target)
    path = f"{target.__module__}:{target.__qualname__}"
    ours = [e.component for kind in KINDS for e in known.entries(kind)]
    named = [c for c in ours if c.target == path]
    if named and not isinstance(config, ComponentConfig):
        return [_registered(c.kind, c.name, config) for c in named]
    config_class = type(config) if isinstance(config, ComponentConfig) else _config_class(target)
    return [
        Subject(kind_of(target, config_class), target.__qualname__, target, config_class, config)
    ]


def _registered(
    kind: str, name: str, config: Mapping[str, object] | ComponentConfig | None
) -> Subject:
    known = registry()
    config_class, target = known.config_class(kind, name), known.target(kind, name)
    return Subject(kind, name, target, config_class, config, registered=True)


def _imported(path: str) -> type:
    if not OBJECT.fullmatch(path):
        kinds = ", ".join(KINDS)
        raise UserError(
            f"{path!r} is no component: expected package.module:Class, or a kind ({kinds}) and a "
            f"name{hint(path, KINDS, 'kinds')}"
        )
    module, _, attribute = path.partition(":")
    try:
        value: object = attrgetter(attribute)(importlib.import_module(module))
    except (Exception, SystemExit) as error:
        raise UserError(f"{path} can't be found: {cause(error)}") from error
    if not inspect.isclass(value):
        raise UserError(f"{path} is {value!r}, expected a class")
    return value


def kind_of(target: type, config_class: type[ComponentConfig] | None = None) -> str:
    """The kind of a class, by its base or by its config; raises UserError for none."""
    for kind, path in BASES.items():
        module, _, base = path.partition(":")
        if any(c.__module__ == module and c.__qualname__ == base for c in target.__mro__):
            return kind
    kind = getattr(config_class or _config_class(target), "kind", "")
    if kind in KINDS:
        return kind
    bases = ", ".join(sorted(path.rpartition(":")[2] for path in BASES.values()))
    raise UserError(f"{target.__qualname__} is of no kind: it derives from none of {bases}")


def _config_class(target: type) -> type[ComponentConfig]:
    """The annotation of the attribute `config`, or of the first argument of a constructor.

    Of the class, else of the nearest base that has one.
    """
    annotations = [_hints(target).get("config")]
    for cls in target.__mro__:
        own = cls.__dict__.get("__init__")
        if inspect.isfunction(own):
            names = list(inspect.signature(own).parameters)[1:2]
            annotations += [_hints(own).get(name) for name in names]
    for annotation in annotations:
        if inspect.isclass(annotation) and issubclass(annotation, ComponentConfig):
            return annotation
    raise UserError(
        f"the config of {target.__qualname__} is not known: register it, or annotate "
        "the class's attribute `config` or the constructor's first argument with its config class"
    )


def _hints(of: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(of)
    except NameError:
        return {}  # an annotation that only type checkers can read
