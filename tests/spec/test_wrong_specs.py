"""Every mistake gives its place, what was expected and the nearest choice, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from colaflex.cli.main import main
from colaflex.errors import UserError
from colaflex.spec import Spec, SpecError

GOOD = "corpus: bible\n"

WRONG = [
    ("sede: 1", "2:1: sede: unknown key; did you mean `seed`?"),
    ("prior: rectifed_flow", "2:8: prior: unknown prior 'rectifed_flow'; did you mean"),
    ("prior: {type: flow_machting}", "2:15: prior.type: unknown prior 'flow_machting'; did you"),
    ("prior: {typ: flow_matching}", "2:9: prior.typ: unknown key of flow_matching"),
    ("prior: {type: 3}", "2:15: prior.type: expected the name of a prior"),
    ("prior: {type: null}", "2:15: prior.type: expected the name of a prior"),
    ("prior: 3", "2:8: prior: expected the name of a prior, or a map"),
    ("prior: [flow_matching]", "2:8: prior: expected the name of a prior, or a map"),
    ("prior: colaflex-nowhere:tiger", "pip install colaflex-nowhere"),
    ("prior: {blok_size: 4}", "prior.blok_size: unknown key of flow_matching; did you mean `blo"),
    ("prior: {block_size: 0}", "2:21: prior.block_size: expected an integer from 1 to 4096, got 0"),
    ("prior: {block_size: 2.5}", "prior.block_size: expected an integer from 1 to 4096, got 2.5"),
    ("prior: {block_size: '4'}", "expected an integer from 1 to 4096, got the text '4'"),
    ("prior: {block_size: true}", "expected an integer from 1 to 4096, got true"),
    ("prior: {block_size: null}", "expected an integer from 1 to 4096, got null"),
    ("prior: {block_size: [1, 2]}", "expected an integer from 1 to 4096, got the list [1, 2]"),
    (
        "prior: {teacher: none}",
        "2:9: prior.teacher: unknown key of flow_matching; consistency, rec",
    ),
    (
        "prior: {schedule: {lok: 1}}",
        "2:20: prior.schedule.lok: unknown key of logit_normal; did you mean `loc`?",
    ),
    (
        "prior: {schedule: 1}",
        "2:19: prior.schedule: expected the name of a schedule, or a map with its `type` and",
    ),
    (
        "prior: {schedule: unifrom}",
        "prior.schedule: unknown schedule 'unifrom'; did you mean 'uniform'",
    ),
    (
        "prior: {schedule: {distribution: unifrom}}",
        "2:34: prior.schedule.type: unknown schedule 'unifrom'; did you mean 'uniform'",
    ),
    (
        "prior: {schedule: {type: uniform, loc: 1}}",
        "2:35: prior.schedule.loc: unknown key of uniform; logit_normal has it",
    ),
    (
        "prior: {schedule: {loc: eleven}}",
        "2:25: prior.schedule.loc: expected a number from -10 to 10 or `auto`, got the text",
    ),
    ("prior: {network: {widht: 1}}", "prior.network.widht: unknown key of block_causal; did you"),
    ("prior: {network: {width: 100, heads: 3}}", "prior.network: width 100 does not split into 3"),
    ("prior: {solver: eulr}", "2:17: prior.solver: unknown solver 'eulr'; did you mean 'euler'?"),
    ("prior: {solver: flow_matching}", "'flow_matching' is a prior"),
    ("representation: {log_snr: lernd}", "`learned`, got the text 'lernd'; did you mean `learned`"),
    (
        "representation: {log_snr: [learned]}",
        "expected a number from -30 to 30 or `learned`, got the list",
    ),
    ("training: {steps: no}", "expected an integer from 1 to 1000000000, got the text 'no'"),
    ("training: {compile: no}", "training.compile: expected true or false, got the text 'no'"),
    ("training: {compile: 1}", "training.compile: expected true or false, got 1"),
    ("training: {regime: joined}", "`scratch`, got the text 'joined'; did you mean `joint`?"),
    ("training: {regime: {}}", "training.regime: expected one of `joint`"),
    ("training: {betas: [0.9]}", "training.betas: expected a list of 2, each a number from 0 to "),
    ("training: {stages: {priro: {}}}", "training.stages.priro: no stage of a latent model"),
    ("training: {stages: {teacher: {}}}", "a teacher has the settings of prior"),
    (
        "training: {stages: {adapt_decoder: {mix: 0.5}}}",
        "training.stages.adapt_decoder: nothing says how long it takes; by itself it takes no",
    ),
    ("training: {stages: {prior: {mix: 0.5}}}", "2:34: training.stages.prior.mix: the stage adapt"),
    (
        "prior: gaussian\ntraining: {stages: {adapt_decoder: {share: 0.1}}}",
        "training.stages.adapt_decoder: the prior gaussian doesn't say what it expects of latents",
    ),
    (
        "prior: hybrid\ntraining: {stages: {adapt_decoder: {share: 0.1}}}",
        "training.stages.adapt_decoder: the prior hybrid doesn't say what it expects of latents",
    ),
    (
        "representation: token_embedding\nsegmenter: {type: fixed_patch, size: 1}\n"
        "training: {stages: {adapt_decoder: {share: 0.1}}}",
        "the decoder of token_embedding can't learn while its encoder rests",
    ),
    (
        "representation: {readout: {embeddings: shared}}\n"
        "training: {stages: {adapt_decoder: {share: 0.1}}}",
        "representation.readout.embeddings: the prior's readout shares the decoder's embeddings",
    ),
    (
        "baseline: autoregressive\ntraining: {stages: {adapt_decoder: {share: 0.1}}}",
        "training.stages.adapt_decoder: a baseline has no decoder beside a prior; remove it",
    ),
    ("training: {stages: {prior: {steps: -1}}}", "training.stages.prior.steps: expected an int"),
    ("training: {stages: {prior: {stepz: 1}}}", "stages.prior.stepz: unknown key; did you mean"),
    ("training: {stages: [prior]}", "training.stages: expected a map with"),
    (
        "training: {gradient_gate: {begin_step_fraction: 0.9, end_step_fraction: 0.1}}",
        "2:27: training.gradient_gate: begin_step_fraction 0.9 lies behind",
    ),
    ("device: cuda", "2:1: device: no key of a spec; it is a setting of a run, not of the"),
    ("training: {precision: bf16}", "training.precision: no key of a spec; it is a setting of a"),
    ("evaluation: {sweep_steps: [1, two]}", "evaluation.sweep_steps.1: expected an integer from"),
    ("evaluation: {sweep_steps: 3}", "evaluation.sweep_steps: expected a list of at most 64, each"),
    ("evaluation: {judge: {width: 20}}", "evaluation.judge: width 20 does not split into 4 heads"),
    ("tokenizer: {path: 3}", "tokenizer.path: expected a path or null, got 3"),
    ("spec_version: 2", "2:15: spec_version: expected `1`, got 2"),
    ("spec_version: true", "spec_version: expected `1`, got true"),
    ("name: a/b", "2:7: name: expected text"),
    ("name: 7", "2:7: name: expected text, got 7"),
    ("seed: -1", "2:7: seed: expected an integer from 0"),
    ("requires: [colaflex>=99]", "requires.0: colaflex>=99 is required, colaflex 0"),
    ("requires: [colaflex-foo>=0.3]", "2:12: requires.0: colaflex-foo is not installed; pip inst"),
    ("requires: ['foo bar']", "requires.0: 'foo bar' is no requirement; expected e.g."),
    ("requires: colaflex", "requires: expected a list, each text, got the text 'colaflex'"),
    ("prior: null", "prior: required where there is no baseline"),
    ("corpus: bible", "2:1: corpus: duplicate key; it stands already at line 1"),
    ("prior: {network: 5}", "prior.network: expected the name of a network"),
    ("extends: 3", "2:10: extends: expected a file name or a list of file names"),
    ("extends: [a.yaml, '']", "expected a file name or a list"),
    ("extends: nowhere.yaml", "2:10: extends: "),
    ("extends: spec.yaml", "2:10: extends: a spec can't extend itself: spec.yaml -> spec.yaml"),
    ("representation: {from: 3}", "2:24: representation.from: expected the path of a run folder"),
    (
        "training: {gradient_gate: {end: 1}, weights: {representation: 0}}",
        "2:27: training.gradient_gate: an open gate lets the prior's loss pull all latents",
    ),
    (
        "training: {gradient_gate: {start: 1}}\nrepresentation: {rate_weight: 0}",
        "neither entropy nor reference KL has a weight; set training.weights.reference_kl",
    ),
    (
        "representation: {type: text_vae, free_bits: 0.1}\n"
        "training: {regime: scratch, gradient_gate: {start: 1, end: 1}}",
        "representation.free_bits: acts on the rate to a standard-normal base, of which an open",
    ),
]


@pytest.mark.parametrize(("lines", "told"), WRONG, ids=[lines for lines, _ in WRONG])
def test_a_wrong_file_ends_with_place_and_hint(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str], lines: str, told: str
):
    path = write(f"{GOOD}{lines}\n")
    assert main(["spec", "validate", str(path)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"Error: {path}:")
    assert told in error
    assert "Traceback" not in error
    assert "pydantic" not in error


SETS = [
    ("prior", "'prior' is no setting; write --set KEY.KEY=VALUE"),
    ("=3", "is no setting"),
    ("a..b=3", "is no setting"),
    ("training.learning_rat=1", "training.learning_rat: unknown key; did you mean `learning_rate`"),
    ("trainin.steps=1", "--set: trainin: unknown key; did you mean `training`?"),
    (
        "prior.teacher=x",
        "prior.teacher: unknown key of flow_matching; consistency, rectified_flow have",
    ),
    ("evaluation.sweep_steps.9=1", "no item 9: the list has 6, counted from 0"),
    ("evaluation.sweep_steps.-1=1", "no item -1"),
    ("prior.block_size=[", "prior.block_size: not valid YAML"),
    ("prior.block_size=many", "--set: prior.block_size: expected an integer from 1 to 4096, got"),
    ("seed.of.doom=1", "seed: expected an integer from 0 to below 9223372036854775808, got the"),
    ("corpus=bibel", "corpus: unknown corpus 'bibel'; did you mean 'bible'?"),
    ("training.stages.prior.steps.x=1", "training.stages.prior.steps: expected an integer"),
    ("name=", "name: expected text, got null"),
]


@pytest.mark.parametrize(("argument", "told"), SETS)
def test_a_wrong_set_ends_with_its_key_and_a_hint(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str], argument: str, told: str
):
    assert main(["spec", "show", str(write(GOOD)), "--set", argument]) == 2
    error = capsys.readouterr().err
    assert told in error
    assert "--set" in error
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "the file is empty"),
        ("# only a comment", "the file is empty"),
        ("- a", "holds no map"),
        ("corpus", "holds no map"),
        ("seed: 1", "1:1: corpus: required: the name of a corpus"),
        ("corpus: {path: x}", "expected the name of a corpus, or a map with its `type`"),
        ("corpus: {type: text_files}", "corpus.path: required: "),
    ],
)
def test_files_without_what_a_spec_needs(write: Callable[..., Path], text: str, told: str):
    with pytest.raises(SpecError) as error:
        Spec.load(write(text))
    assert told in str(error.value)


def test_all_mistakes_are_told_at_once_in_the_order_of_the_file(write: Callable[..., Path]):
    path = write(
        "corpus: bibel\nsed: 1\nprior: {blok: 2, solver: x, network: {width: a}}\ndevice: cpu\n"
    )
    with pytest.raises(SpecError) as error:
        Spec.load(path)
    places = [(problem.origin.line, problem.path) for problem in error.value.problems]
    assert places == [
        (1, ("corpus",)),
        (2, ("sed",)),
        (3, ("prior", "blok")),
        (3, ("prior", "solver")),
        (3, ("prior", "network", "width")),
        (4, ("device",)),
    ]
    assert len(str(error.value).splitlines()) == 6


def test_a_mistake_in_an_extended_file_is_placed_there(write: Callable[..., Path], tmp_path: Path):
    write("prior:\n  blok: 3\n", "base.yaml")
    path = write("corpus: bible\nextends: base.yaml\n")
    with pytest.raises(SpecError, match=r"base.yaml:2:3: prior.blok: unknown key"):
        Spec.load(path)


def test_extending_in_a_circle_is_refused(write: Callable[..., Path]):
    path = write("extends: b.yaml", "a.yaml")
    write("extends: [c.yaml]", "b.yaml")
    write("corpus: bible\nextends: a.yaml", "c.yaml")
    with pytest.raises(SpecError, match=r"a.yaml -> b.yaml -> c.yaml -> a.yaml"):
        Spec.load(path)


def test_a_plugin_that_fails_to_import_is_named(write: Callable[..., Path], site: Any):
    site.add_plugin("broken", "raise RuntimeError('out of bananas')\n")
    done = site.run("spec", "validate", str(write("corpus: bible\nprior: broken_flow\n")))
    assert done.returncode == 2
    assert "prior: unknown prior 'broken_flow'" in done.stderr
    assert "out of bananas" in done.stderr
    assert "Traceback" not in done.stderr
    assert site.run("spec", "validate", str(write(GOOD))).returncode == 0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prior: {solver: ghost}", "the solver 'ghost' of"),
        ("prior: {type: tiger, helpers: [euler, eulr]}", "prior.helpers.1: unknown solver 'eulr'"),
        ("prior: {type: tiger, by_name: {a: {loc: 5}}}", "prior.by_name.a.loc: expected a number"),
        ("prior: {type: tiger, by_name: {a: 5}}", "prior.by_name.a: expected a map with loc, got"),
        ("prior: {type: tiger, since: soon}", "prior.since: expected date or null, got the text"),
        ("prior: {type: tiger, names: []}", "prior.names: expected a list of at least 1, each te"),
        ("prior: {type: tiger, small: 2}", "prior.small: expected a number < 1, got 2"),
        ("prior: {type: tiger, large: 1}", "prior.large: expected a number above 1 and below 9"),
        ("prior: {type: tiger, low: 2}", "prior.low: expected a number <= 1, got 2"),
        ("prior: {type: tiger, high: 1}", "prior.high: expected a number > 1, got 1"),
        ("prior: {strips: 1}", "prior.strips: unknown key of flow_matching"),
        ("prior: {stripes: 1}", "prior.stripes: unknown key of flow_matching; tiger has it"),
        ("prior: {type: tiger, lambda_: 1}", "unknown key of tiger; did you mean `lambda`?"),
        ("prior: {type: tiger}\nsampling: {guidance: 2}", "the prior tiger can't be guided"),
        (
            "representation: {type: mole, sight: bidirectional}",
            "is bidirectional: its latents know what is yet to come, so that the prior must "
            "generate the whole sequence as one block; set prior.block_size to at least 128",
        ),
        (
            "representation: {type: mole, sight: bidirectional}\nsegmenter: worm",
            "set prior.block_size to at least 256",
        ),
        ("representation: {type: mole, sight: aligned}", "the representation mole has one latent"),
        (
            "representation: {type: mole, sight: aligned}\nsegmenter: {type: worm, longest: 1}",
            "segmenter: the representation mole can't read segments of variable length",
        ),
        (
            "representation: mole\ntraining: {gradient_gate: {start: 1}}",
            "neither entropy nor reference KL has a weight",
        ),
        ("baseline: parrot", "baseline.width: required: an integer >= 1"),
        (
            "baseline: {type: parrot, width: 4}\nprior: flow_matching\nsegmenter: fixed_patch",
            "prior: a baseline needs none; remove `prior` or `baseline`",
        ),
    ],
)
def test_strangers_components_are_checked_like_ours(
    menagerie: Any, write: Callable[..., Path], text: str, told: str
):
    with pytest.raises(UserError) as error:
        Spec.load(write(f"{GOOD}{text}\n"))
    assert told in str(error.value)


def test_what_is_refused_only_where_it_matters(menagerie: Any):
    parse = Spec.parse
    gate = {"gradient_gate": {"start": 1}, "weights": {"representation": 0}}
    parse({"corpus": "bible", "training": {**gate, "regime": "frozen"}})
    pressed = {**gate, "weights": {"representation": 0, "reference_kl": 0.1}}
    parse({"corpus": "bible", "training": pressed})
    closed = {"gradient_gate": {"end": 1, "shape": "constant"}, "weights": {"representation": 0}}
    parse({"corpus": "bible", "training": closed})
    whole = {"corpus": "bible", "representation": {"type": "mole", "sight": "bidirectional"}}
    parse({**whole, "prior": {"block_size": 128}})
    aligned = {"corpus": "bible", "representation": {"type": "mole", "sight": "aligned"}}
    parse({**aligned, "segmenter": {"size": 1}})
    few = parse({"corpus": "bible", "prior": "tiger", "sampling": {"steps": 2}})
    assert few.warnings == [
        "sampling.steps: 2 is below the fewest steps that are useful with the prior tiger, 4"
    ]
    assert parse({"corpus": "bible"}).warnings == []
    torn = {**whole, "representation": {"type": "mole", "sight": "block_causal", "together": 4}}
    torn = {**torn, "sampling": {"reencode": True}}
    (warning,) = parse({**torn, "prior": {"block_size": 6}}).warnings
    assert "reads 4 segments together" in warning
    assert "multiple of 4" in warning
    assert parse({**torn, "prior": {"block_size": 8}}).warnings == []
    for bits, regime in ((0.1, "joint"), (0, "scratch")):
        representation = {"type": "text_vae", "free_bits": bits}
        parse({"corpus": "bible", "representation": representation, "training": {"regime": regime}})


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"prior.readout": "categorial"}, "did you mean 'categorical'?"),
        ({"prior": {"type": "hybrid", "readout": "categorical"}}, "hybrid takes no readout"),
        (
            {"representation": "mole", "prior.history": "states"},
            "the representation mole offers no reading of the history; choose latents or auto",
        ),
        (
            {"prior.readout": "linear", "sampling.estimate": "draw"},
            "a linear readout says nothing of the text",
        ),
        (
            {"prior.readout": "second_head", "sampling.estimate": "draw"},
            "a second_head readout says nothing of the text",
        ),
        ({"prior": "consistency", "sampling.renoise": 0.5}, "samples in its own way alone"),
        ({"prior": "gaussian", "sampling.grid": "power(2)"}, "samples in its own way alone"),
        ({"prior": "consistency", "sampling.renoise": "ddpm"}, "samples in its own way alone"),
        ({"prior": "shortcut", "sampling.grid": "law"}, "samples in its own way alone"),
        ({"prior": "mean_flow", "sampling.grid": "prefix(0.5)"}, "samples in its own way alone"),
        ({"prior": "hybrid", "sampling.guidance_law": "data_end"}, "samples in its own way alone"),
        (
            {"prior": "gaussian", "sampling.guidance_interval": [0, 0.5]},
            "the prior gaussian samples in its own way alone; set it to [0.0, 1.0]",
        ),
        (
            {"prior": "normalizing_flow", "sampling.noise_temperature": 0.9},
            "the prior normalizing_flow samples in its own way alone; set it to 1.0",
        ),
        ({"sampling.end": "draw"}, "only drawn estimates end in one; set it to mean"),
        (
            {"prior": "shortcut", "sampling.estimate_temperature": 0.5},
            "the prior shortcut samples in its own way alone; set it to 1.0",
        ),
        ({"sampling.guidance_interval": [0.6, 0.5]}, "expected low, then high; 0.6 is above 0.5"),
        ({"evaluation.sweep_sampling": {"renoize": [1]}}, "did you mean `renoise`?"),
        ({"evaluation.sweep_sampling": {"grid": ["low"]}}, "evaluation.sweep_sampling.grid.0"),
        (
            {"prior.block_size": 4, "segmenter": {"type": "pyramid", "run": 2}},
            "a block of 4 would separate a coarse latent from its run",
        ),
    ],
)
def test_what_parts_do_not_offer_each_other_is_refused(
    menagerie: Any, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(UserError, match=re.escape(told)):
        Spec.parse({"corpus": "bible"}).override(changes)
