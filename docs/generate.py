"""Write the pages that are generated from the code: `python docs/generate.py [--check]`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from colaflex.files.problems import SpecError
from colaflex.host.metadata import Selection
from colaflex.host.registry import Registry
from colaflex.interfaces.capabilities import LATENT_MODEL, Place
from colaflex.interfaces.configs import BaselineConfig
from colaflex.metrics.catalogue import METRICS
from colaflex.metrics.names import ROWS
from colaflex.spec import Spec
from colaflex.spec.reference import reference

__all__ = ["main", "pages"]

DOCS = Path(__file__).parent
BETTER = {"higher": "higher", "lower": "lower", "real": "nearer to real text", None: ""}

HEAD = """# Metrics

`result.json` holds a flat map from dotted names to `{"value", "low", "high", "n"}`: the value, its
95 % interval (null where none is known, as of a single timing), and the number of items that it was
taken over. In the names below `*` and `?` stand for what varies, such as the order of an n-gram.

Intervals are over items of one run; results of several seeds are kept apart. Metrics of generated
text carry a row where they are not the model's (`generation.real.distinct_2`) and a point where
they are part of a sweep over steps, drawn or not, over guidance or temperature
(`generation.at_steps.4.distinct_2`), over another option of the sampler, by
`evaluation.sweep_sampling` (`generation.at_grid.power(0.5).distinct_2`,
`generation.at_guidance_interval.0-0.5.distinct_2`), or of a grid
(`generation.at_guidance.2.at_temperature.0.7.distinct_2`); without either they are the model's, at
the spec's `sampling`. A sweep over a setting of which the model takes no notice is left
out. `denoising.at_logit_time.L.*` is measured at the noise level `logit t = L`, t = 1 being noise.

Entropy, distinct n-grams and KL hang on how many texts are measured. So that they stand beside the
points of a sweep, which are of fewer texts, the model's own row and its references are measured at
that number as well: `generation.at_samples.16.distinct_2` and, of real text,
`generation.at_samples.16.real.distinct_2`.

A report, a run's summary and a leaderboard say two things that figures alone hide. Texts have
*collapsed* where their words' entropy is below real text's by more than ln 2, or less than half as
many of them differ: then a low judge NLL is no quality. A judge is *weak* where its NLL on real
text is above 0.8 of a uniform guess's, or less than half a nat below that on the unigram
sampler's texts:
then its figures mean little.

`items.json` holds, of every metric that is a share or a mean, what each item adds to it: `values`
over `weights` (null where each is 1), so that the metric is the sum of the values over the sum of
the weights. Items stand in an order that depends on data and plan alone (sample i, held-out
document i), so two models that were measured alike can be compared item by item.

## Measured with other settings

`colaflex evaluate RUN` measures a finished run again and leaves its folder as it is. With `--set
evaluation.KEY=VALUE` or `--set sampling.KEY=VALUE` it measures with other settings than the run's
spec has, and makes `result.json`, `samples.jsonl`, `items.json` and `report.html` anew. `spec.yaml`
and the weights stay: they say what the run is. `measurement` in the result says how its metrics
were made: `settings`, those in place of the spec's ({} where it was measured as the spec says),
`conditions`, those of the machine, and corpus, tokenizer and judge. Each call begins with the spec;
to give a setting the spec's own value brings the run's own result back. `split` in the result says
which held-out documents were read; with `--set` and no `--split` it stays. Boards and studies
refuse a result that was measured otherwise than they ask for.

This page is generated from `colaflex.metrics.catalogue`.
"""


COMBINATIONS = """# Combinations

Any representation goes with any prior and any segmenter, unless what they declare of themselves
(`capabilities()` of their configs, which depend on their options) rules it out. Then the spec is
refused before anything is trained, by `colaflex spec validate` as by `colaflex run`, with the
reason and what to choose instead. What is refused in itself:

| refused | because |
|---|---|
| a segmenter of variable length | the representation reads segments of one length only |
| a segmenter that needs token states | the representation has no causal states of tokens |
| a segmenter of several levels | the representation reads fewer levels |
| segments of more than one token | the representation has one latent a token |
| a bidirectional representation | the prior's block is not the whole sequence |
| an open `training.gradient_gate` | neither entropy nor reference KL holds the latents apart |
| an open gate and a fixed `log_snr` | the entropy is constant, and `reference_kl` has no weight |
| an open gate and a prior trained by likelihood | its loss falls by more than they cost |
| an open gate and a given `prior.teacher` | nothing of the prior's gradient reaches the encoder |
| a weight on `reference_kl` | the latents are points, of which there is no KL divergence |
| a weight on `reference_kl` with `scratch` | there is no stage 1 to refer to |
| a given `prior.teacher` with `scratch` | the representation would rest before it has learned |
| `training.weights.prior` of 0 | the prior would learn nothing |
| `sampling.guidance` other than 1 | the prior can't be guided |

Representations (rows) and segmenters (columns), each with the options that it has by default:
"""

COVERED = """
Options change the answer: with `fixed_patch` of `size: 1` a representation with one latent a token
is at home, and with `token_layers: 1` or more `text_vae` and `text_ae` have the token states that
`learned_boundary` needs. No prior is refused for its kind.

Of each combination that is not refused, `pytest -m matrix -n 2` shows that it builds from a spec,
learns on a fixed batch, goes on from a checkpoint to the very same weights, and generates; the
usual tests do so for a selection in which every two components that can meet do.

This page is generated from what the components declare.
"""

BASELINES = """# Baselines

A baseline is a language model that needs neither segmenter nor representation nor prior. It takes
their place in a spec; data, training, checkpoints, generation, measurement and report stay:

```yaml
corpus: worlds
tokenizer: {vocab_size: 552}
baseline: {type: autoregressive, width: 128, layers: 4}
sampling: {temperature: 1}
```

Its one stage is `baseline`, with settings of its own at `training.stages.baseline`. What draws its
text from tokens alone wants a `sampling.temperature` of 1: at 0 all texts behind one prompt are the
same. `specs/autoregressive.yaml` runs as it is, and on a spec with latents
`--set baseline=autoregressive` takes their place (with `--set sampling.guidance=1` where the spec
is guided).

## One view of all models

Generation can be seen as a path through some space of states (Cola DLM, 2026, section 11,
<https://arxiv.org/abs/2605.06548>). Models differ in what the path runs over, in whether it makes
the text itself, recovers it from a corrupted one, or carries a prior to a latent of which a decoder
then makes text, in how the density factorises, in where continuous values come in, and in whether
there is a latent apart from the text. Every baseline declares its place
(`capabilities().place` of its config), and `colaflex plugins show baseline NAME` prints it:
"""

LIKELIHOODS = """
What a model can say of the probability of a text, and by what it samples beside the tokens' draws:

| model | likelihood | solver steps | guidance |
|---|---|---|---|"""

SHARED = """
An exact likelihood is that of the tokens of a document, its end-of-text included; a latent model
has one or a bound where its prior and posterior allow it. Sweeps over steps and guidance are
measured where the model samples by them; a guidance that it has no use for is refused.

This page is generated from what the components declare.
"""


RECIPES = """# Recipes of the field

What published systems take, each as a spec of `specs/recipes/` at small scale: on the same stories
of a known grammar, with half a million to a million parameters and 1e12 to 8e13 training FLOPs.
`colaflex run specs/recipes/NAME.yaml` trains one. They are as faithful as the components allow, and
what differs from the paper is listed below. Their settings are the papers' where these carry over,
not tuned: a comparison of ranks is a board's task (see [Leaderboards](leaderboards.md)), for there
every row has the same budget.

This page is generated from the specs by `python docs/generate.py`.

| recipe | tokens a latent | representation | channels | prior | block | times | sampler |
|---|---|---|---|---|---|---|---|"""


def pages() -> dict[Path, str]:
    """The text of every generated page, of colaflex's own components only."""
    own = Registry.discover(Selection(allowed=frozenset()))
    return {
        DOCS / "spec.md": reference(own),
        DOCS / "metrics.md": "\n".join(_metrics()),
        DOCS / "combinations.md": "\n".join(_combinations(own)),
        DOCS / "baselines.md": "\n".join(_baselines(own)),
        DOCS / "recipes.md": "\n".join(_recipes()),
    }


def _recipes() -> Iterator[str]:
    paths = sorted((DOCS.parent / "specs" / "recipes").glob("*.yaml"))
    named = [path for path in paths if path.stem != "base"]
    yield RECIPES
    for path in named:
        yield f"| [`{path.stem}`](#{path.stem}) | " + " | ".join(_taken(Spec.load(path))) + " |"
    for path in named:
        lines = path.read_text(encoding="utf-8").splitlines()
        head = [line[1:].removeprefix(" ") for line in lines[: _comments(lines)]]
        at = head.index("Differences:")
        yield "\n".join(
            ["", f"## {path.stem}", "", *head[:at], "", "Differences:", "", *head[at + 1 :]]
        )
    yield ""


def _comments(lines: list[str]) -> int:
    """How many lines of comment a spec begins with."""
    return next(place for place, line in enumerate(lines) if not line.startswith("#"))


def _taken(spec: Spec) -> Iterator[str]:
    """What a recipe takes, a cell a column."""
    sampler = f"{spec.sampling.steps} steps"
    if spec.sampling.guidance != 1:
        sampler += f", guidance {spec.sampling.guidance:g}"
    if spec.sampling.reencode:
        sampler += ", encoded anew"
    if spec.baseline is not None:
        able = spec.baseline.capabilities()
        block = str(getattr(spec.baseline, "block_size", "1"))
        yield from ("", "", "", f"`{spec.baseline.type}`", block, "", sampler if able.steps else "")
        return
    assert spec.segmenter is not None
    assert spec.representation is not None
    assert spec.prior is not None
    segments = spec.segmenter.capabilities()
    yield ("up to " if segments.variable else "") + str(segments.max_segment_tokens)
    yield f"`{spec.representation.type}`"
    yield str(spec.representation.latent_dim)
    head = getattr(spec.prior, "head", None)
    yield f"`{spec.prior.type}`, {head or getattr(spec.prior, 'prediction', '')}"
    yield str(spec.prior.block_size)
    schedule = getattr(spec.prior, "schedule", None)
    yield "" if schedule is None else f"`{schedule.type}`"
    yield sampler if spec.prior.capabilities().fewest_steps > 1 or head is None else "1 step"


def _baselines(own: Registry) -> Iterator[str]:
    configs = {name: own.config_class("baseline", name) for name in own.names("baseline")}
    able = {n: c().capabilities() for n, c in configs.items() if issubclass(c, BaselineConfig)}
    yield BASELINES
    yield "| model | state space | role of the path | factorisation | continuity | latent |"
    yield "|---" * 6 + "|"
    places = {"segmenter, representation, prior": LATENT_MODEL}
    places |= {f"`{n}`": has.place for n, has in able.items() if has.place is not None}
    yield from (_place(name, place) for name, place in places.items())
    yield LIKELIHOODS
    for name, has in able.items():
        cells = (has.likelihood, *("yes" if acts else "no" for acts in (has.steps, has.guidance)))
        yield f"| `{name}` | " + " | ".join(cells) + " |"
    yield SHARED


def _place(name: str, place: Place) -> str:
    latent = "yes" if place.explicit_latent else "no"
    told = (place.state_space, place.path, place.factorisation, place.continuity, latent)
    return f"| {name} | " + " | ".join(cell.replace("|", "\\|") for cell in told) + " |"


def _combinations(own: Registry) -> Iterator[str]:
    yield COMBINATIONS
    segmenters = own.names("segmenter")
    yield "| | " + " | ".join(f"`{name}`" for name in segmenters) + " |"
    yield "|---" * (len(segmenters) + 1) + "|"
    for name in own.names("representation"):
        cells = [_refusal(name, segmenter) or "yes" for segmenter in segmenters]
        yield f"| `{name}` | " + " | ".join(cells) + " |"
    yield COVERED


def _refusal(representation: str, segmenter: str) -> str:
    """Why a representation and a segmenter don't go together; "" where they do."""
    parts = {"representation": representation, "segmenter": segmenter, "prior": "flow_matching"}
    try:
        Spec.parse({"name": "combination", "corpus": "worlds", **parts})
    except SpecError as error:
        said = (
            p.message.removeprefix(f"the representation {representation} ") for p in error.problems
        )
        return "no: it " + "; it ".join(said)
    return ""


def _metrics() -> Iterator[str]:
    yield HEAD
    yield "## Rows\n\nThe same metrics stand beside the model's for reference:\n"
    yield "| row | whose text |\n|---|---|"
    yield from (f"| `{row}` | {label} |" for row, label in ROWS.items())
    families = dict.fromkeys(name.partition(".")[0] for name in METRICS)
    for family in families:
        yield f"\n## `{family}`\n"
        yield "| name | what it is | unit | better |\n|---|---|---|---|"
        for name, info in METRICS.items():
            if name.startswith(f"{family}."):
                meaning = info.meaning or f"{info.label[:1].upper()}{info.label[1:]}."
                unit = "fraction" if info.unit == "share" else info.unit
                cells = (f"`{name}`", meaning.replace("{0}", "n"), unit, BETTER[info.better])
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check only tell whether they are current."""
    stale = [
        path
        for path, text in pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    for path in stale:
        print(f"{path.name} is not current; run: python docs/generate.py")
        if "--check" not in arguments:
            path.write_text(pages()[path], encoding="utf-8")
            print(f"wrote {path.name}")
    return int(bool(stale) and "--check" in arguments)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
