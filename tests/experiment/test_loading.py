"""A run folder as a language model, and the other names that Python users have."""

from __future__ import annotations

import json
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import colaflex
from colaflex.errors import UserError
from colaflex.experiment.loading import LoadedModel
from colaflex.interfaces.values import LatentBatch
from colaflex.latent.model import LatentModel
from colaflex.latent.segments import encode_prompts


@pytest.fixture(scope="module")
def model(finished: Path) -> LoadedModel:
    return colaflex.load(finished)


def test_the_documented_example_runs(tiny: Path, tmp_path: Path) -> None:
    spec = colaflex.Spec.load(tiny).override({"prior": "rectified_flow", "evaluation.samples": 0})
    result = colaflex.run(spec, out=tmp_path / "rectified")
    assert result == json.loads((tmp_path / "rectified/result.json").read_text())
    model = colaflex.load(tmp_path / "rectified")
    (made,) = model.generate(["Once upon a time"], max_new_tokens=64, seed=0)
    assert made.prompt == "Once upon a time" and made.text
    prior = colaflex.build("prior", "flow_matching", latent_dim=16)
    assert prior.sample(3, 2).shape == (3, 2 * prior.block_size, 16)


def test_its_repr_is_one_line_that_says_its_parts_and_its_size(model: LoadedModel) -> None:
    total = model.result["parameters"]["total"]
    assert repr(model) == (
        "LoadedModel(Spec(name='tiny', corpus='worlds', segmenter='fixed_patch', "
        f"representation='text_vae', prior='flow_matching'), {total:,} parameters)"
    )


def test_texts_become_latents_and_latents_texts(model: LoadedModel) -> None:
    texts = ["The painter", "", "A longer text than the others are."]
    latents = model.encode(texts)
    counts = [-(-len(model.tokenizer.encode(text)) // 4) for text in texts]
    assert latents.mask.sum(1).tolist() == counts
    assert latents.values.shape == (3, max(counts), 4)
    assert torch.isfinite(latents.values).all()
    decoded = model.decode(latents)
    assert len(decoded) == 3 and decoded[1] == ""
    drawn = model.sample_latents(2, 3, seed=1)
    assert drawn.equal(model.sample_latents(2, 3, seed=1))
    assert not drawn.equal(model.sample_latents(2, 3, seed=2))
    everything = LatentBatch(drawn, torch.ones(2, 12, dtype=torch.bool))
    assert model.decode(drawn) == model.decode(everything)


def test_a_text_that_is_too_long_is_heard_from_its_end_with_a_warning(model: LoadedModel) -> None:
    long = "The painter saw the harbour. " * 40
    tokens = model.tokenizer.encode(long)
    assert len(tokens) > 64
    with pytest.warns(UserWarning, match=r"1 of 2 texts .* only their last 64 tokens") as told:
        latents = model.encode(["The painter", long])
    assert [warning.filename for warning in told] == [__file__]
    heard, counts = encode_prompts(model.model, [tokens[-64:]])
    assert latents.mask.sum(1).tolist()[1] == int(counts[0]) == 16
    torch.testing.assert_close(latents.values[1], heard[0], atol=1e-5, rtol=1e-5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.encode(["The painter"])


def test_a_text_has_a_bound_on_its_likelihood_whatever_stands_beside_it(model: LoadedModel) -> None:
    texts = ["The painter", "", "A red boat sails."]
    found = model.log_prob(texts)
    assert found.shape == (3,) and bool((found < 0).all()) and not found.requires_grad
    for text, value in zip(texts, found, strict=True):
        torch.testing.assert_close(model.log_prob([text])[0], value, rtol=1e-4, atol=1e-3)


def test_a_likelihood_that_is_not_declared_is_refused(finished: Path) -> None:
    loaded = colaflex.load(finished)
    assert isinstance(loaded.model, LatentModel)
    loaded.model.likelihood = "none"
    with pytest.raises(UserError, match="declares no likelihood"):
        loaded.log_prob(["The painter"])


def test_a_model_comes_back_as_it_was_trained(model: LoadedModel, finished: Path) -> None:
    assert not model.model.training
    assert model.result == json.loads((finished / "result.json").read_text())
    again = colaflex.load(str(finished))
    for name, value in model.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_a_run_that_is_still_going_can_be_loaded(unfinished: Path, model: LoadedModel) -> None:
    loaded = colaflex.load(unfinished)
    assert loaded.result == {}
    assert loaded.generate(["The"]) == model.generate(["The"])


def checkpoints(folder: Path) -> list[Path]:
    return sorted((folder / "checkpoints").iterdir())


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_a_checkpoint_cut_short_gives_way_to_the_one_before(
    unfinished: Path,
    finished: Path,
    caplog: pytest.LogCaptureFixture,
    colaflex_command: Callable[..., Any],
) -> None:
    newest = checkpoints(unfinished)[-1] / "model.safetensors"
    whole = newest.read_bytes()
    cut(newest)
    colaflex.load(unfinished)
    assert "a checkpoint is not used" in caplog.text and "cut short?" in caplog.text
    # Training goes on from the older one, to the same end.
    done = colaflex_command("run", unfinished / "spec.yaml", "--out", unfinished, "--resume")
    assert done.code == 0, done.err
    assert newest.read_bytes() == whole
    assert (unfinished / "metrics.jsonl").read_text().count("\n") == (
        finished / "metrics.jsonl"
    ).read_text().count("\n")


def newer(path: Path) -> None:
    manifest = path.parent / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))


@pytest.mark.parametrize(
    ("spoil", "message"), [(cut, "(cut short?)"), (newer, "by a newer colaflex")]
)
@pytest.mark.parametrize("command", ["generate", "run"])
def test_no_usable_checkpoint_is_one_message(
    spoil: Callable[[Path], None],
    message: str,
    command: str,
    unfinished: Path,
    colaflex_command: Callable[..., Any],
) -> None:
    for checkpoint in checkpoints(unfinished):
        spoil(checkpoint / "model.safetensors")
    before = {path: path.read_bytes() for path in unfinished.rglob("*") if path.is_file()}
    arguments = [unfinished]
    if command == "run":
        arguments = [unfinished / "spec.yaml", "--out", unfinished, "--resume"]
    done = colaflex_command(command, *arguments)
    assert done.code == 2
    assert done.err.count("Error: ") == 1 and message in done.err
    assert "Traceback" not in done.err and done.out == ""
    assert before == {path: path.read_bytes() for path in unfinished.rglob("*") if path.is_file()}


def test_a_run_stands_on_its_own_wherever_it_and_its_sources_go(
    finished: Path, tmp_path: Path, model: LoadedModel
) -> None:
    shutil.copytree(finished, tmp_path / "moved")
    gone = tmp_path / "gone"
    spec = colaflex.Spec.load(finished / "spec.yaml").override(
        {
            "corpus": {"type": "text_files", "path": str(gone / "*.txt")},
            "tokenizer.path": str(gone / "tokenizer.json"),
            "representation.from": str(gone / "run"),
        }
    )
    (tmp_path / "moved/spec.yaml").write_text(spec.to_yaml())
    (tmp_path / "moved/manifest.json").unlink()  # as if the run had been made of this spec
    assert colaflex.load(tmp_path / "moved").generate(["The"]) == model.generate(["The"])


def test_a_run_without_a_checkpoint_says_how_to_go_on(
    unfinished: Path, colaflex_command: Callable[..., Any]
) -> None:
    shutil.rmtree(unfinished / "checkpoints")
    done = colaflex_command("generate", unfinished)
    assert done.code == 2
    assert "there is no checkpoint yet; go on with `colaflex run --resume`" in done.err


def test_a_folder_that_is_no_run_is_told_apart_from_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no such run folder"):
        colaflex.load(tmp_path / "nowhere")
    with pytest.raises(UserError, match=r"is no run folder: it has no run\.json"):
        colaflex.load(tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(UserError, match=r"run\.json: not readable as JSON"):
        colaflex.load(tmp_path)
