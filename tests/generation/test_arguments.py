"""What is asked of a model outside its spec: within the spec's bounds, or refused by name."""

from __future__ import annotations

import json
import math
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import colaflex
from colaflex.errors import UserError
from colaflex.experiment.experiment import RunOptions
from colaflex.experiment.loading import LoadedModel
from colaflex.files.manifest import MANIFEST
from colaflex.generation.arguments import checked_seed, checked_texts
from colaflex.generation.text import GenerationOptions, TextGenerator, _parts
from colaflex.spec.sections import Sampling
from colaflex.training.checkpoints import CheckpointStore


@pytest.fixture(scope="module")
def model(finished: Path) -> LoadedModel:
    return colaflex.load(finished)


WRONG = [
    *[(name, value) for name in ("steps", "max_new_tokens") for value in (-1, 2.5, 2**63, True)],
    *[("max_new_tokens", value) for value in (10**6, "7", [7], math.inf, 10**5000)],
    *[("guidance", value) for value in (math.nan, math.inf, -1.0, 1e308, "2", True, 10**400)],
    *[("temperature", value) for value in (math.nan, -math.inf, -0.1, 100.1, [1.0])],
    *[("top_k", value) for value in (-1, 1.5, 10**8, False, "5")],
    *[("top_p", value) for value in (0, -0.1, 1.1, math.nan, 1 + 1j)],
    *[("repetition_penalty", value) for value in (0, -1, math.inf, math.nan, 1e6)],
    *[("reencode", value) for value in (1, 0.0, "yes", [True])],
    ("steps", 0),
]


@pytest.mark.parametrize(
    ("name", "value"), WRONG, ids=[f"{name}-{n}" for n, (name, _) in enumerate(WRONG)]
)
def test_wrong_values_are_refused_by_name_and_bounds(
    model: LoadedModel, name: str, value: Any
) -> None:
    for ask in (
        lambda: GenerationOptions(**{name: value}),
        lambda: GenerationOptions().but(**{name: value}),
        lambda: model.generate("The", **{name: value}),
        lambda: model.stream("The", **{name: value}),
    ):
        with pytest.raises(UserError, match=rf"^{name}: expected .*, got "):
            ask()


WORDS = {"reencode", "estimate", "end", "renoise", "grid", "guidance_interval", "guidance_law"}


@pytest.mark.parametrize("name", [each for each in Sampling.model_fields if each not in WORDS])
def test_the_bounds_are_those_of_a_spec(name: str) -> None:
    """Every field at both of its bounds is taken, as the spec takes it."""
    field = Sampling.model_fields[name]
    limits = {type(each).__name__: each for each in field.metadata}
    most = limits["Le"].le
    least = limits["Ge"].ge if "Ge" in limits else math.nextafter(limits["Gt"].gt, 1)
    for value in (least, most):
        assert getattr(Sampling(**{name: value}), name) == value
        assert getattr(GenerationOptions(**{name: value}), name) == value
    assert GenerationOptions(max_new_tokens=0).max_new_tokens == 0  # a call may ask for nothing
    assert GenerationOptions(**Sampling().model_dump()) == GenerationOptions()


@pytest.mark.parametrize(
    ("name", "taken", "refused"),
    [
        ("estimate", "draw", "mode"),
        ("end", "draw", "mode"),
        ("grid", "power(0.5)", "power(0)"),
        ("grid", "uniform", ""),
        ("grid", "law", "laws"),
        ("grid", "prefix(0.25)", "prefix(0)"),
        ("grid", "prefix(1)", "prefix(1.5)"),
        ("renoise", 0.0, -0.1),
        ("renoise", 1.0, 1.1),
        ("renoise", "ddpm", "ddim"),
        ("guidance_law", "data_end", "linear"),
        ("guidance_interval", (0.0, 0.5), (0.0, 1.5)),
        ("guidance_interval", (0.5, 0.5), (0.6, 0.5)),
        ("guidance_interval", (0.0, 1.0), (0.5,)),
    ],
)
def test_words_are_those_of_a_spec(name: str, taken: Any, refused: Any) -> None:
    assert getattr(GenerationOptions(**{name: taken}), name) == taken
    with pytest.raises(UserError, match=rf"^{name}: expected .*, got "):
        GenerationOptions(**{name: refused})


def test_a_list_is_an_interval_too() -> None:
    assert GenerationOptions(guidance_interval=[np.float32(0.5), 1]).latents.course.at(0.25) == 1.0
    assert GenerationOptions(guidance_interval=[0, 1]) == GenerationOptions()


def test_numbers_of_other_libraries_are_numbers() -> None:
    options = GenerationOptions(
        max_new_tokens=np.int64(7), steps=np.uint8(3), guidance=np.float32(2), temperature=1
    )
    assert options == GenerationOptions(max_new_tokens=7, steps=3, guidance=2.0, temperature=1.0)
    assert type(options.max_new_tokens) is int and type(options.guidance) is float


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("tempreature", "temperature"),
        ("max_tokens", "max_new_tokens"),
        ("topk", "top_k"),
        ("top-p", "top_p"),
        ("repetition_penality", "repetition_penalty"),
        ("Steps", "steps"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest(
    model: LoadedModel, name: str, nearest: str
) -> None:
    with pytest.raises(UserError, match=f"did you mean {nearest!r}"):
        model.generate(["The"], **{name: 1})
    with pytest.raises(UserError, match="unknown option"):
        model.stream("The", **{name: 1})


@pytest.mark.parametrize("seed", [-1, 2**63, 1.0, 0.5, math.nan, "0", True, [0], 10**4000])
def test_a_seed_is_one_that_a_spec_could_have(model: LoadedModel, seed: Any) -> None:
    for ask in (
        lambda: model.generate("The", seed),
        lambda: model.stream("The", seed),
        lambda: model.sample_latents(1, 1, seed),
    ):
        with pytest.raises(UserError, match="seed: expected an integer from 0 to below"):
            ask()
    assert checked_seed(np.int32(4)) == 4 and checked_seed(2**63 - 1) == 2**63 - 1


def test_one_text_is_one_text(model: LoadedModel) -> None:
    (made,) = model.generate("The painter", max_new_tokens=5)
    assert made.prompt == "The painter"
    assert [made] == model.generate(["The painter"], max_new_tokens=5)
    alone, listed = model.encode("The painter"), model.encode(["The painter"])
    assert alone.values.equal(listed.values) and len(alone.values) == 1
    assert model.log_prob("The painter").equal(model.log_prob(["The painter"]))
    generator = TextGenerator(model.model, model.tokenizer)
    assert generator.generate("The", model.options) == generator.generate(["The"], model.options)


def test_any_iterable_of_texts_is_texts(model: LoadedModel) -> None:
    prompts = ["The", "", "A"]
    made = model.generate(prompts, max_new_tokens=3)
    assert model.generate(tuple(prompts), max_new_tokens=3) == made
    assert model.generate((p for p in prompts), max_new_tokens=3) == made
    assert model.generate([]) == [] and model.log_prob([]).shape == (0,)


@pytest.mark.parametrize(
    "texts", [b"The", None, 3, {"prompt": "The"}, ["The", b"x"], [None], [["The"]], 2.5, object()]
)
def test_what_is_no_text_is_refused(model: LoadedModel, texts: Any) -> None:
    for ask in (model.generate, model.encode, model.log_prob):
        with pytest.raises(UserError, match="expected a text") as raised:
            ask(texts)
        assert isinstance(raised.value, TypeError)
    if not isinstance(texts, list):
        with pytest.raises(UserError, match="prompt: expected a text"):
            model.stream(texts)


@pytest.mark.parametrize("text", ["\ud800", "a\udcff", "\udfff\ud800"])
def test_half_a_character_is_refused(model: LoadedModel, text: str) -> None:
    for ask in (model.generate, model.encode, model.log_prob, model.stream):
        with pytest.raises(UserError, match="is no UTF-8 text: half a character at"):
            ask(text)
    assert checked_texts("🙂 \x00") == ["🙂 \x00"]


@pytest.mark.parametrize(
    "latents",
    [None, "text", [[[0.0] * 4]], torch.zeros(2, 4), torch.zeros(1, 2, 5), np.zeros((1, 2, 4))],
)
def test_what_are_no_latents_is_refused(model: LoadedModel, latents: Any) -> None:
    with pytest.raises(UserError, match="latents: expected"):
        model.decode(latents)


@pytest.mark.parametrize(("rows", "blocks"), [(0, 1), (1, 0), (-1, 1), (1.5, 1), (True, 1)])
def test_what_is_no_number_of_latents_is_refused(
    model: LoadedModel, rows: Any, blocks: Any
) -> None:
    with pytest.raises(UserError, match="expected an integer >= 1"):
        model.sample_latents(rows, blocks)


def test_long_continuations_are_made_a_few_at_a_time() -> None:
    """So that what is held of the rows is bounded; usual ones are made together as ever."""
    prompts = [[1] * 10] * 300
    assert [len(part) for _, part in _parts(prompts, 64)] == [256, 44]
    sizes = [len(part) for _, part in _parts(prompts, 65_536)]
    assert max(sizes) == 3 and sum(sizes) == 300
    assert [start for start, _ in _parts(prompts[:7], 65_536)] == [0, 3, 6]
    assert [len(part) for _, part in _parts([[1] * 10**6] * 2, 65_536)] == [1, 1]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("part", ["prior", "representation", "scale"])
def test_weights_that_are_not_finite_are_refused_by_name(
    finished: Path, tmp_path: Path, part: str, value: float
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    digest = json.loads((folder / "run.json").read_text())["spec_digest"]
    state = colaflex.load(folder).model.state_dict()
    store = CheckpointStore(folder / "checkpoints", digest)
    found = store.latest(state)
    assert found is not None
    name = next(name for name in state if name.startswith(part))
    for weights in (found.model, found.ema or {}):
        if name in weights:
            weights[name].view(-1)[0] = value
    shutil.rmtree(folder / "checkpoints")
    store.save(found)
    (folder / MANIFEST).unlink()  # as of a run that went wrong, not of one that was damaged
    with pytest.raises(UserError, match=rf"run: the weights of {re.escape(name)} are not finite"):
        colaflex.load(folder)


@pytest.mark.parametrize("device", ["gpu", "", "cpu:x", "cuda:99", None, 1.5, "cuda"])
def test_a_device_that_is_not_there_is_refused(finished: Path, device: Any) -> None:
    if torch.cuda.is_available() and device == "cuda":
        pytest.skip("this machine has it")
    with pytest.raises(UserError, match=r"no such device|no CUDA device|CUDA devices"):
        colaflex.load(finished, device)


@pytest.mark.parametrize("path", [None, 3, b"run", ["run"], "", "a\0b", "~nobody-of-that-name/x"])
def test_what_is_no_path_is_refused(path: Any) -> None:
    for ask in (colaflex.load, colaflex.Spec.load):
        with pytest.raises(UserError, match=r"expected a path|path is empty|NUL|no home folder"):
            ask(path)


@pytest.mark.parametrize("sets", ["prior=gaussian", [3], [None], [b"seed=1"]])
def test_settings_are_a_list_of_texts(tiny: Path, sets: Any) -> None:
    with pytest.raises(UserError, match="sets: expected a list of texts"):
        colaflex.Spec.load(tiny, sets)


@pytest.mark.parametrize("values", ["prior", None, 3, ["prior"], {1: 2}, {None: 1}])
def test_overrides_are_a_map(tiny: Path, values: Any) -> None:
    with pytest.raises(UserError, match="expected a map of values by key path"):
        colaflex.Spec.load(tiny).override(values)


@pytest.mark.parametrize("spec", ["tiny.yaml", None, {"corpus": "bible"}, Path("x"), 3])
def test_what_is_no_spec_is_not_run(spec: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"spec: expected a Spec .*, got"):
        colaflex.run(spec, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("options", [{"resume": True}, "cpu", True, 3])
def test_what_are_no_options_is_refused(tiny: Path, tmp_path: Path, options: Any) -> None:
    with pytest.raises(UserError, match="options: expected RunOptions, got"):
        colaflex.run(colaflex.Spec.load(tiny), tmp_path / "run", options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("precision", "fp16"), ("precision", None), ("strategy", "dp"), ("split", "tset")],
)
def test_words_that_mean_nothing_are_refused(name: str, value: Any) -> None:
    with pytest.raises(UserError, match=f"{name} .*there are"):
        RunOptions(**{name: value})


@pytest.mark.parametrize("names", [(3, "x"), ("prior", None), (None, None), ("prior", ["x"])])
def test_what_are_no_names_build_nothing(names: Any) -> None:
    with pytest.raises(UserError, match="expected the names of a kind and a component"):
        colaflex.build(*names)
