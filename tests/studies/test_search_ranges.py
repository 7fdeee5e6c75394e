"""What `default` means: of our knobs, and of a stranger's fields, without a change to our code."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from colaflex.host.registry import registry
from colaflex.interfaces.search import SearchRange
from colaflex.spec import Spec, SpecError
from colaflex.studies.file.study_file import StudyFile
from colaflex.studies.space.space_reading import read_space

CONFIGS = '''
    from typing import Annotated, Literal

    from pydantic import Field

    from colaflex.interfaces.capabilities import PriorCapabilities
    from colaflex.interfaces.configs import PriorConfig
    from colaflex.interfaces.search import SearchRange

    class Otter(PriorConfig):
        """A stranger's prior."""
        block_size: int = Field(4, ge=1, le=8, description="Something of its own words.")
        reach: Annotated[float, SearchRange(low=0.05, high=1.0, log=True)] = Field(
            0.2, gt=0, le=10, description="Reach.")
        rings: Annotated[int, SearchRange(low=2, high=10, step=4)] = Field(
            2, ge=1, le=100, description="Rings (count).")
        coat: Annotated[str, SearchRange(choices=["brown", "grey"])] = Field(
            "brown", max_length=10, description="Coat.")
        mood: Literal["calm", "wild"] = Field("calm", description="Mood.")
        swims: bool = Field(True, description="Whether it swims.")
        share: float = Field(0.5, ge=0, le=1, description="A share.")
        rate: float = Field(0.5, ge=1e-4, le=1, description="A rate.")
        count: int = Field(3, gt=0, lt=9, description="A count.")
        open_end: float = Field(0.5, gt=0, le=1, description="Open at 0.")
        endless: int = Field(3, ge=1, description="No end.")
        either: Literal["all"] | float = Field(1.0, ge=0, le=1, description="A number or a word.")
        words: str = Field("a", max_length=5, description="Words.")

        def capabilities(self):
            return PriorCapabilities("none", guidance=False)

    class Beaver(Otter):
        """Another, that reaches farther."""
        reach: Annotated[float, SearchRange(low=1.0, high=5.0)] = Field(
            2.0, gt=0, le=10, description="Reach.")
'''

HOOKS = """
    import colaflex

    def component(name, config, version):
        path = f"pond.config:{config}"
        return colaflex.Component("prior", name, path, path, f"{name}.", version=version)

    @colaflex.hookimpl
    def colaflex_components():
        return [component("otter", "Otter", "VERSION"), component("beaver", "Beaver", "1")]
"""


@pytest.fixture
def pond(site: Any):
    """The priors of the distribution colaflex-pond, installed."""
    site.add_plugin("pond", HOOKS, config=CONFIGS)
    registry.cache_clear()
    yield site
    registry.cache_clear()


def searched(base: Spec, entries: dict[str, Any]) -> dict[str, Any]:
    return {p.name: p.distribution for p in read_space(entries, base).parameters}


def test_our_knobs_have_ranges_of_their_own(base: Spec) -> None:
    paths = ("representation.latent_dim", "representation.log_snr", "prior.schedule.loc")
    assert searched(base, dict.fromkeys([*paths, "prior.block_size"], "default")) == {
        "representation.latent_dim": CategoricalDistribution([8, 16, 32, 64]),
        "representation.log_snr": CategoricalDistribution([1.0, 2.0, 3.0, 4.0]),
        "prior.schedule.loc": FloatDistribution(-1.0, 3.0),
        "prior.block_size": CategoricalDistribution([1, 4, 8, 16]),
    }


def test_options_of_sampling_are_searched_in_their_own_ranges(base: Spec) -> None:
    names = ("renoise", "grid", "guidance_interval", "guidance_law", "noise_temperature")
    space = read_space({f"sampling.{name}": "default" for name in names}, base)
    found = {p.name.removeprefix("sampling."): p.distribution for p in space.parameters}
    assert found["renoise"] == FloatDistribution(0.0, 1.0)
    assert found["noise_temperature"] == FloatDistribution(0.5, 1.5)
    for name, value, taken in (
        ("grid", "prefix(0.5)", "prefix(0.5)"),
        ("guidance_law", "data_end", "data_end"),
        ("guidance_interval", "[0.0, 0.5]", (0.0, 0.5)),
    ):
        spread = found[name]
        assert isinstance(spread, CategoricalDistribution) and value in spread.choices
        chosen = space.spec(base, {f"sampling.{name}": value})
        assert getattr(chosen.sampling, name) == taken
    given = {
        "sampling.renoise": ["ddpm", 0.5],
        "sampling.guidance_interval.1": {"low": 0.4, "high": 1},
    }
    assert len(read_space(given, base).parameters) == 2


def test_a_field_declared_anew_keeps_the_range_of_its_base(base: Spec) -> None:
    spec = base.override({"representation": "text_ae"})
    found = searched(spec, {"representation.latent_dim": "default"})
    assert found["representation.latent_dim"] == CategoricalDistribution([8, 16, 32, 64])


def test_a_strangers_fields_offer_their_ranges(base: Spec, pond: Any) -> None:
    spec = base.override({"prior": "otter"})
    names = ("reach", "rings", "coat", "mood", "swims", "share", "rate", "count", "block_size")
    assert searched(spec, {f"prior.{name}": "default" for name in names}) == {
        "prior.reach": FloatDistribution(0.05, 1.0, log=True),
        "prior.rings": IntDistribution(2, 10, step=4),
        "prior.coat": CategoricalDistribution(["brown", "grey"]),
        "prior.mood": CategoricalDistribution(["calm", "wild"]),
        "prior.swims": CategoricalDistribution([False, True]),
        "prior.share": FloatDistribution(0.0, 1.0),
        "prior.rate": FloatDistribution(1e-4, 1.0, log=True),
        "prior.count": IntDistribution(1, 8),
        "prior.block_size": CategoricalDistribution([1, 4, 8]),  # it takes no 16
    }


@pytest.mark.parametrize("name", ["open_end", "endless", "either", "words"])
def test_a_field_without_a_range_says_how_to_give_one(base: Spec, pond: Any, name: str) -> None:
    spec = base.override({"prior": "otter"})
    with pytest.raises(SpecError, match=r"no range of its own.*give choices, \[1, 2, 4\], or a r"):
        read_space({f"prior.{name}": "default"}, spec)


def test_ranges_that_differ_by_component_are_two_parameters(base: Spec, pond: Any) -> None:
    space = read_space(
        {"prior": ["otter", "beaver", "flow_matching"], "prior.reach": "default"}, base
    )
    assert {p.name: (p.distribution, p.component) for p in space.parameters[1:]} == {
        "prior.reach@otter": (FloatDistribution(0.05, 1.0, log=True), "otter"),
        "prior.reach@beaver": (FloatDistribution(1.0, 5.0), "beaver"),
    }
    assert space.point({"prior": "beaver", "prior.reach@beaver": 2.0}) == {
        "prior": "beaver",
        "prior.reach": 2.0,
    }
    assert space.params({"prior": "otter", "prior.reach": 0.1}) == {
        "prior": "otter",
        "prior.reach@otter": 0.1,
    }
    assert space.params({"prior": "flow_matching"}) == {"prior": "flow_matching"}
    assert space.spec(base, {"prior": "beaver", "prior.reach": 2.5}).prior.reach == 2.5  # type: ignore[union-attr]


def test_a_new_version_of_a_choice_makes_another_study(
    with_study: Callable[..., Path], site: Any
) -> None:
    found = []
    loc = "prior.schedule.loc: {low: -1, high: 3}"
    path = with_study(loc, f"{loc}\n  prior: [flow_matching, otter]\n  prior.reach: default")
    site.add_plugin("pond", HOOKS, config=CONFIGS)
    for version in ("1", "2", "1"):
        hooks = site.path / "pond/hooks.py"
        hooks.write_text("\n".join(HOOKS.replace("VERSION", version).split("\n    ")))
        done = site.python(
            "-c",
            "from colaflex.studies.file.study_file import StudyFile;"
            f"print(StudyFile.load({str(path)!r}).identity('search'))",
            PYTHONDONTWRITEBYTECODE="1",
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"low": 1.0}, "both low and high"),
        ({"low": 2.0, "high": 1.0}, "not below"),
        ({"low": 0.0, "high": 1.0, "log": True}, "low > 0"),
        ({"low": 0.0, "high": 1.0, "step": 2.0}, "doesn't fit"),
        ({"choices": [1], "low": 0.0, "high": 1.0}, "choices go without"),
    ],
)
def test_a_range_that_is_none_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SearchRange(**given)


def test_a_plugins_prior_is_a_study_like_any_other(
    with_study: Callable[..., Path], pond: Any
) -> None:
    loc = "prior.schedule.loc: {low: -1, high: 3}"
    path = with_study(loc, f"{loc}\n  prior: [flow_matching, otter]\n  prior.coat: default")
    study = StudyFile.load(path)
    assert study.searched.paths[0] == "prior"
    spec = study.searched.spec(study.trial_spec, {"prior": "otter", "prior.coat": "grey"})
    assert spec.prior is not None
    assert spec.prior.coat == "grey"  # type: ignore[attr-defined]
