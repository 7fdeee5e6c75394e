from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from colaflex.files.yaml import read_file
from colaflex.spec import Spec, SpecError

SPEC = """\
name: one
corpus: bible
prior:
  block_size: 8
  solver: {type: heun}
training: {steps: 1e3, stages: {prior: {learning_rate: 1e-4}}}
"""

SECTIONS = st.fixed_dictionaries(
    {"corpus": st.sampled_from(["bible", {"type": "worlds", "factors": 3}])},
    optional={
        "name": st.from_regex(r"[a-z ü:#'\-]{1,20}", fullmatch=True),
        "seed": st.integers(0, 2**63 - 1),
        "prior": st.sampled_from(["flow_matching", "rectified_flow"])
        | st.fixed_dictionaries(
            {},
            optional={
                "block_size": st.integers(1, 64),
                "solver": st.sampled_from(["euler", {"type": "dopri5", "rtol": 1e-4}]),
                "schedule": st.fixed_dictionaries({}, optional={"loc": st.floats(-9, 9)}),
            },
        ),
        "representation": st.fixed_dictionaries(
            {},
            optional={
                "latent_dim": st.integers(2, 64),
                "log_snr": st.just("learned") | st.floats(-5, 5),
            },
        ),
        "training": st.fixed_dictionaries(
            {},
            optional={
                "steps": st.integers(1, 10**6),
                "learning_rate": st.floats(1e-8, 1),
                "regime": st.sampled_from(["joint", "frozen", "interval", "scratch"]),
                "stages": st.dictionaries(
                    st.sampled_from(["prior", "representation"]),
                    st.fixed_dictionaries({}, optional={"ema_decay": st.floats(0, 0.999)}),
                ),
            },
        ),
        "evaluation": st.fixed_dictionaries(
            {}, optional={"sweep_steps": st.lists(st.integers(1, 99), max_size=5)}
        ),
    },
)


def test_its_repr_names_it_and_its_components_in_one_line() -> None:
    latent = Spec.parse({"name": "one", "corpus": "bible", "prior": "cnf"})
    shown = (
        "Spec(name='one', corpus='bible', segmenter='fixed_patch', representation='text_vae', "
        "prior='cnf')"
    )
    assert repr(latent) == shown
    plain = Spec.parse({"name": "two", "corpus": "worlds", "baseline": "plaid"})
    assert repr(plain) == "Spec(name='two', corpus='worlds', baseline='plaid')"
    assert str(plain) == "name='two' corpus='worlds' baseline='plaid'"


@settings(max_examples=40, deadline=None)
@given(SECTIONS)
def test_a_saved_spec_loads_back_equal(tmp_path_factory: pytest.TempPathFactory, data: Any):
    spec = Spec.parse(data)
    path = tmp_path_factory.mktemp("saved") / "spec.yaml"
    path.write_text(spec.to_yaml(), encoding="utf-8")
    back = Spec.load(path)
    assert back == spec
    assert hash(back) == hash(spec)
    assert back.digest("data") == spec.digest("data")
    assert back.stage1_digest("data") == spec.stage1_digest("data")
    assert Spec.diff(spec, back) == []
    assert back.to_yaml() == spec.to_yaml()


@settings(max_examples=40, deadline=None)
@given(SECTIONS, SECTIONS)
def test_digests_differ_exactly_where_specs_do(one: Any, two: Any):
    left, right = Spec.parse({**one, "name": "x"}), Spec.parse({**two, "name": "y"})
    same = left.override({"name": "y"}) == right
    assert (left.digest() == right.digest()) == same
    assert bool(Spec.diff(left.override({"name": "y"}), right)) != same


def test_sections_are_attributes(write: Callable[..., Path]):
    spec = Spec.load(write(SPEC))
    assert (spec.name, spec.seed, spec.corpus.type) == ("one", 0, "bible")
    assert (spec.prior.type, spec.prior.block_size, spec.prior.solver.type) == (
        "flow_matching",
        8,
        "heun",
    )
    assert spec.training.steps == 1000
    assert spec.segmenter.type == "fixed_patch"
    assert spec != 3
    resolved = spec.resolved()
    assert resolved["prior"]["type"] == "colaflex:flow_matching"
    assert resolved["prior"]["solver"] == {"type": "colaflex:heun"}
    assert "baseline" not in resolved
    json.dumps(resolved)


def test_the_name_is_that_of_the_file_by_default(write: Callable[..., Path]):
    spec = Spec.load(write("corpus: bible", "tiny model.yaml"))
    assert spec.name == "tiny model"
    assert Spec.parse({"corpus": "bible"}).name == "unnamed"


def test_short_and_long_forms_are_the_same(write: Callable[..., Path]):
    long = Spec.parse({"corpus": {"type": "bible"}, "prior": {"type": "flow_matching"}})
    assert long == Spec.parse({"corpus": "colaflex:bible"})


def test_specs_are_made_in_python_too():
    spec = Spec(corpus="bible", prior={"type": "rectified_flow", "block_size": 4}, name="typed")
    assert spec.prior.block_size == 4
    other = spec.override({"prior": "flow_matching"})
    assert (other.prior.type, other.prior.block_size, other.name) == ("flow_matching", 4, "typed")


def test_extends_merges_left_to_right(write: Callable[..., Path]):
    write("corpus: bible\nseed: 1\ntraining: {steps: 10, batch_size: 4}\n", "base/a.yaml")
    write("extends: a.yaml\nseed: 2\nevaluation: {sweep_steps: [1, 2, 3]}\n", "base/b.yaml")
    write("training: {steps: 20}\nseed: 3\n", "c.yaml")
    path = write("extends: [base/b.yaml, c.yaml]\nevaluation: {sweep_steps: [5]}\n", "d.yaml")
    spec = Spec.load(path)
    assert (spec.seed, spec.training.steps, spec.training.batch_size) == (3, 20, 4)
    assert spec.evaluation.sweep_steps == (5,)
    assert spec.name == "d"
    origins = {key: str(spec.origin(key)) for key in ("seed", "training.batch_size", "corpus.type")}
    assert origins["seed"].endswith("c.yaml:2")
    assert origins["training.batch_size"].endswith("a.yaml:3")
    assert origins["corpus.type"].endswith("a.yaml:1")


def test_a_file_extended_a_million_times_is_read_once(write: Callable[..., Path]):
    write("corpus: bible\n", "s0.yaml")
    for n in range(1, 25):
        write(f"extends: [s{n - 1}.yaml, s{n - 1}.yaml]\n", f"s{n}.yaml")
    assert Spec.load(write("extends: s24.yaml\n")).corpus.type == "bible"


def test_parsed_data_may_extend_files(write: Callable[..., Path], monkeypatch: pytest.MonkeyPatch):
    path = write("corpus: bible\nseed: 4\n")
    monkeypatch.chdir(path.parent)
    assert Spec.parse({"extends": "spec.yaml", "name": "x"}).seed == 4


def test_every_value_tells_its_origin(write: Callable[..., Path]):
    path = write(SPEC)
    spec = Spec.load(path, ["prior.schedule.loc=0.5", "evaluation.sweep_steps.1=7"])
    spec = spec.override({"sampling.steps": 4})
    found = {key: str(origin) for key, _, origin in spec.values()}
    assert found["prior.block_size"] == f"{path}:4"
    assert found["prior.schedule.loc"] == "--set"
    assert found["sampling.steps"] == "override"
    assert found["prior.type"] == found["seed"] == "default"
    assert found["evaluation.sweep_steps"] == "--set"
    assert spec.evaluation.sweep_steps == (1, 7, 4, 8, 16, 32)
    assert str(spec.origin("training.stages.prior.learning_rate")) == f"{path}:6"


def test_override_takes_key_paths_and_refuses_others():
    spec = Spec.parse({"corpus": "bible"})
    assert spec.override({"training.betas.0": 0.5}).training.betas == (0.5, 0.95)
    assert spec.override({"training": {"steps": 7}}).training.steps == 7
    with pytest.raises(SpecError, match=r"'a\.\.b' is no key path"):
        spec.override({"a..b": 1})


def test_diff_names_what_differs():
    left = Spec.parse({"corpus": "bible"})
    right = left.override({"prior": "rectified_flow", "seed": 2})
    found = {each.path: (each.left, each.right) for each in Spec.diff(left, right)}
    assert found["seed"] == (0, 2)
    assert found["prior.type"] == ("colaflex:flow_matching", "colaflex:rectified_flow")
    assert found["prior.teacher_steps"] == (None, 8)


def test_the_digest_covers_what_the_experiment_does(menagerie: Any):
    spec = Spec.parse({"corpus": "bible"})
    digest = spec.digest("d")
    assert spec.override({"name": "other"}).digest("d") == digest
    assert spec.override({"prior.block_size": 16}).digest("d") == digest
    assert spec.override({"prior.network": "block_causal"}).digest("d") == digest
    assert spec.override({"requires": ["colaflex"]}).digest("d") == digest
    assert spec.digest("e") != digest
    for key, value in (
        ("seed", 1),
        ("prior.block_size", 8),
        ("prior.network.width", 64),
        ("prior", "rectified_flow"),
        ("sampling.steps", 4),
    ):
        assert spec.override({key: value}).digest("d") != digest


def test_the_digest_covers_the_versions_of_components(site: Any):
    from colaflex.host.registry import registry

    component = 'colaflex.Component("prior", "new", "x:Y", "{}", "A prior.", version="{}")'
    hooks = "import colaflex\n@colaflex.hookimpl\ndef colaflex_components():\n    return [{}]\n"
    config = "colaflex.priors.flow_config:FlowMatchingConfig"
    digests = []
    for package, version in (("one", "1"), ("two", "1"), ("three", "2")):
        site.add_plugin(package, hooks.format(component.format(config, version)))
        registry.cache_clear()
        data = {"corpus": "bible", "prior": f"colaflex-{package}:new"}
        digests.append(Spec.parse(data).digest())
    registry.cache_clear()
    assert len(set(digests)) == 3


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("prior", "rectified_flow"),
        ("prior.block_size", 4),
        ("training.regime", "frozen"),
        ("training.regime", "scratch"),
        ("training.stages.prior.steps", 5),
        ("training.stages.prior.batch_size", 5),
        ("training.weights.prior", 2),
        ("training.gradient_gate.end", 1),
        ("training.representation_lr_ratio", 0.1),
        ("training.teacher_fraction", 0.1),
        ("training.log_every", 1),
        ("training.checkpoint_every", 1),
        ("sampling.steps", 1),
        ("evaluation.samples", 1),
        ("name", "x"),
    ],
)
def test_nothing_behind_stage_1_is_in_its_digest(key: str, value: Any):
    spec = Spec.parse({"corpus": "bible"})
    other = spec.override({key: value})
    assert other.stage1_digest("d") == spec.stage1_digest("d")
    assert other != spec


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("corpus.translation", "kjv"),
        ("tokenizer.vocab_size", 512),
        ("segmenter.size", 1),
        ("representation.latent_dim", 8),
        ("training.steps", 100),
        ("training.batch_size", 8),
        ("training.learning_rate", 1),
        ("training.stages.representation.steps", 5),
        ("training.stages.representation.learning_rate", 1),
        ("seed", 1),
    ],
)
def test_all_of_stage_1_is_in_its_digest(key: str, value: Any):
    spec = Spec.parse({"corpus": "bible"})
    other = spec.override({key: value})
    assert other.stage1_digest("d") != spec.stage1_digest("d")
    assert spec.stage1_digest("e") != spec.stage1_digest("d")


def test_the_stage_1_digest_sees_what_settings_come_to():
    spec = Spec.parse({"corpus": "bible"})
    same = spec.override({"training.stages.representation.batch_size": 32})
    assert same.stage1_digest() == spec.stage1_digest()


def test_paths_are_relative_to_their_file_and_no_part_of_the_digest(
    menagerie: Any, write: Callable[..., Path], tmp_path: Path
):
    text = "name: x\ncorpus: {type: diary, path: pages}\ntokenizer: {path: t.json}\n"
    one, two = write(text, "here/s.yaml"), write(text, "there/s.yaml")
    write("{}", "here/t.json"), write("{}", "there/t.json")
    left, right = Spec.load(one), Spec.load(two)
    assert left.corpus.path == tmp_path / "here/pages"
    assert left.digest("d") == right.digest("d")
    assert left.stage1_digest("d") == right.stage1_digest("d")
    write("{ }", "there/t.json")
    assert left.digest("d") != right.digest("d")
    assert left.stage1_digest("d") != right.stage1_digest("d")
    (tmp_path / "there/t.json").unlink()
    right.digest("d")
    assert Spec.load(one, ["corpus.path=/pages"]).corpus.path == Path("/pages")


def test_a_run_named_by_a_path_counts_by_its_digest(
    menagerie: Any, write: Callable[..., Path], tmp_path: Path
):
    def spec(run: str) -> Spec:
        prior = {"type": "tiger", "mentor": str(tmp_path / run)}
        return Spec.parse({"corpus": "bible", "prior": prior})

    for run, digest in (("a", "1"), ("b", "1"), ("c", "2")):
        write(json.dumps({"spec_digest": digest}), f"{run}/result.json")
    assert spec("a").digest() == spec("b").digest() != spec("c").digest()
    none = Spec.parse({"corpus": "bible", "prior": {"type": "tiger", "mentor": "none"}})
    assert none.prior.mentor == "none"
    assert none == Spec.parse({"corpus": "bible", "prior": "tiger"})


def saved_run(write: Callable[..., Path], name: str = "run", **values: Any):
    spec = Spec.parse({"corpus": "bible", "representation": {"latent_dim": 4}, **values})
    write(spec.to_yaml(), f"{name}/spec.yaml")
    return spec


def test_stage_1_is_taken_from_a_run(write: Callable[..., Path], tmp_path: Path):
    run = saved_run(write, segmenter={"size": 3}, tokenizer={"vocab_size": 300})
    path = write("corpus: bible\nrepresentation: {from: run}\nprior: rectified_flow\n")
    spec = Spec.load(path)
    assert spec.representation == run.representation
    assert (spec.segmenter.size, spec.tokenizer.vocab_size) == (3, 300)
    assert spec.stage1_run == tmp_path / "run"
    assert run.stage1_run is None
    assert spec.resolved()["representation"]["from"] == str(tmp_path / "run")
    assert str(spec.origin("segmenter.size")).startswith(str(tmp_path / "run" / "spec.yaml"))
    by_spec = spec.stage1_digest("d")
    recorded = {"representation_digest": "abc", "stage1_digest": "before it learned on"}
    write(json.dumps(recorded), "run/result.json")
    assert spec.stage1_digest("d") == "abc" != by_spec
    write("[]", "run/result.json")
    assert spec.stage1_digest("d") == by_spec

    back = Spec.load(write(spec.to_yaml(), "saved.yaml"))
    assert back == spec
    assert back.digest() == spec.digest()
    assert back.stage1_run == spec.stage1_run
    assert spec.override({"seed": 3}).stage1_run == spec.stage1_run
    without = spec.override({"representation.latent_dim": 4})
    assert without.digest() == spec.digest()


def test_what_contradicts_the_run_is_refused(write: Callable[..., Path]):
    saved_run(write)
    path = write("corpus: bible\nrepresentation: {from: run}\ntraining: {regime: scratch}\n")
    with pytest.raises(SpecError, match=r"spec.yaml:2.*nothing is taken from a run where"):
        Spec.load(path)
    path = write("corpus: bible\nrepresentation: {from: run, latent_dim: 5}\n")
    with pytest.raises(SpecError) as error:
        Spec.load(path)
    assert f"{path}:2:41: representation.latent_dim: 5 here, 4 in " in str(error.value)


def test_a_run_that_is_gone_takes_its_digest_with_it(write: Callable[..., Path]):
    spec = Spec.load(write("corpus: bible\nrepresentation: {from: gone, latent_dim: 5}\n"))
    assert spec.warnings == [f"representation.from: there is no run in {spec.stage1_run}"]
    assert str(spec.origin("representation.from")).endswith("spec.yaml:2")
    plain = spec.override({"name": "x"})
    assert plain.representation.latent_dim == 5
    own = Spec.parse({"corpus": "bible", "representation": {"latent_dim": 5}})
    assert spec.stage1_digest("d") == own.stage1_digest("d")


def test_runs_that_name_each_other_are_no_circle(write: Callable[..., Path], tmp_path: Path):
    text = saved_run(write, "a").to_yaml()
    for one, two in (("a", "b"), ("b", "a")):
        named = text.replace("  latent_dim: 4", f"  latent_dim: 4\n  from: {tmp_path / two}")
        write(named, f"{one}/spec.yaml")
    spec = Spec.load(tmp_path / "a" / "spec.yaml")
    assert spec.stage1_run == tmp_path / "b"
    assert read_file(tmp_path / "b" / "spec.yaml").plain["representation"]["from"]


def test_a_saved_spec_names_the_package_that_is_missing(menagerie: Any, write: Callable[..., Path]):
    spec = Spec.parse({"corpus": "bible", "prior": {"type": "tiger", "lambda": 0.25}})
    path = write(spec.to_yaml())
    assert Spec.load(path) == spec
    assert spec.prior.lambda_ == 0.25
    assert "colaflex-menagerie:tiger" in spec.to_yaml()
    done = menagerie.run("spec", "validate", str(path), PYTHONPATH="")
    assert done.returncode == 2
    assert "pip install colaflex-menagerie" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_stranger_of_another_class_of_prior_is_refused(site: Any, write: Callable[..., Path]):
    from colaflex.host.registry import registry

    hooks = """
    import colaflex
    @colaflex.hookimpl
    def colaflex_components():
        return [colaflex.Component("prior", "odd", "odd.config:Odd", "odd.config:Odd", "Odd.")]
    """
    config = """
    from colaflex.interfaces.component import ComponentConfig
    class Odd(ComponentConfig):
        kind = "prior"
    """
    site.add_plugin("odd", hooks, config=config)
    registry.cache_clear()
    with pytest.raises(SpecError, match="prior: "):
        Spec.load(write("corpus: bible\nprior: odd\n"))
    registry.cache_clear()
