"""The trainer against a plain loop, itself after interruptions, and one large batch."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import (
    Rows,
    Settings,
    Stop,
    TinyModel,
    final_state,
    records,
    train,
    trainer_of,
    with_settings,
)

from colaflex.errors import RunFailure, UserError
from colaflex.interfaces.noise import Noise
from colaflex.interfaces.stage import StageStep
from colaflex.training.interrupts import Interrupted
from colaflex.training.stage_plan import learning_rate_factor
from colaflex.training.watcher import Watcher


def plain_loop(settings: Settings) -> tuple[TinyModel, list[float]]:
    """The same training, written out."""
    model, objectives = TinyModel(), []
    for stage in model.stages():
        stage.start()
        groups = []
        for group in stage.groups:
            decayed = [p for p in group.parameters if p.dim() >= 2]
            plain = [p for p in group.parameters if p.dim() < 2]
            for parameters, decay in ((decayed, settings.weight_decay), (plain, 0.0)):
                entry = {"params": parameters, "weight_decay": decay, "ratio": group.lr_ratio}
                groups.append(entry)
        learning = [p for group in stage.groups for p in group.parameters]
        optimizer = torch.optim.AdamW(groups, betas=settings.betas, fused=True)
        for index in range(settings.steps):
            batch = Rows(settings.batch_size).batch(index)
            noise = Noise(0, index, stage.name, 0, settings.batch_size)
            losses = stage.losses(batch, StageStep(index, settings.steps, noise))
            counts = stage.counts(batch)
            terms = [t.weight * (t.total / counts[t.per]) for t in losses.values() if t.weight]
            objective = torch.stack(terms).sum()
            objective.backward()
            torch.nn.utils.clip_grad_norm_(learning, settings.clip_norm)
            rate = settings.learning_rate * learning_rate_factor(
                "cosine", index, settings.steps, warmup=2, final_ratio=settings.final_lr_ratio
            )
            for group in optimizer.param_groups:
                group["lr"] = rate * group["ratio"]
            optimizer.step()
            optimizer.zero_grad()
            stage.stepped(index)
            objectives.append(objective.item())
        stage.finish(Rows(settings.batch_size).batch(s) for s in range(settings.steps))
    return model, objectives


def test_equals_a_plain_loop_bit_for_bit(tmp_path: Path) -> None:
    model, objectives = plain_loop(Settings())
    trainer = trainer_of(tmp_path, log_every=1)
    trainer.train()
    for name, tensor in trainer.model.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    assert [record["loss"] for record in records(tmp_path)] == objectives


@pytest.mark.parametrize(
    "settings",
    [
        with_settings(accumulate=2, ema_decay=0.9),
        with_settings(optimizer="muon", lr_schedule="wsd", clip_norm=0.0),
    ],
    ids=["accumulate+ema", "muon"],
)
def test_resumes_exactly_from_every_step(tmp_path: Path, settings: Settings) -> None:
    def run(folder: Path, **kwargs: Any) -> None:
        train(folder, settings, TinyModel(dropout=0.2), **kwargs)

    run(tmp_path / "whole")
    stops = [("representation", s) for s in range(1, 7)] + [("prior", s) for s in range(1, 6)]
    for stop in stops:
        folder = tmp_path / f"{stop[0]}-{stop[1]}"
        with pytest.raises(Interrupted, match="--resume"):
            run(folder, watcher=Stop(stop))
        run(folder, resume=True)
        assert final_state(folder) == final_state(tmp_path / "whole"), stop
        assert records(folder) == records(tmp_path / "whole"), stop


def test_a_run_that_is_interrupted_at_every_step_ends_alike(tmp_path: Path) -> None:
    settings = with_settings(ema_decay=0.5)
    train(tmp_path / "whole", settings)
    stops = [("representation", s) for s in range(1, 7)] + [("prior", s) for s in range(1, 7)]
    for stop in stops:
        with pytest.raises(Interrupted):
            train(tmp_path / "cut", settings, watcher=Stop(stop), resume=True)
    result = train(tmp_path / "cut", settings, resume=True)
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")
    assert records(tmp_path / "cut") == records(tmp_path / "whole")
    assert [(s.stage, s.steps) for s in result.stages] == [("representation", 6), ("prior", 6)]


def test_start_and_finish_act_once_whatever_happens(tmp_path: Path) -> None:
    with pytest.raises(Interrupted):
        train(tmp_path, watcher=Stop(("prior", 3)))
    trainer = trainer_of(tmp_path, resume=True)
    trainer.train()
    assert isinstance(trainer.model, TinyModel)
    assert trainer.model.starts.tolist() == [1, 1]
    assert trainer_of(tmp_path, resume=True).train().as_json()["steps"] == 12  # nothing left to do


def test_a_crash_in_finish_repeats_only_what_is_not_saved(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole")
    model = TinyModel()

    def crash(batches: Any) -> None:
        raise OSError("power cut")

    model.finish = crash  # type: ignore[method-assign]
    with pytest.raises(OSError, match="power cut"):
        train(tmp_path / "cut", model=model)
    assert train(tmp_path / "cut", resume=True).as_json()["tokens"] == whole.as_json()["tokens"]
    assert final_state(tmp_path / "cut") == final_state(tmp_path / "whole")
    assert records(tmp_path / "cut") == records(tmp_path / "whole")


def test_what_a_killed_writer_had_still_to_delete_is_deleted(tmp_path: Path) -> None:
    train(tmp_path, keep_checkpoints=3)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 3
    train(tmp_path, resume=True, keep_checkpoints=2)
    assert len(list((tmp_path / "checkpoints").iterdir())) == 2


@pytest.mark.parametrize("accumulate", [2, 4, 8])
def test_accumulation_equals_one_large_batch(tmp_path: Path, accumulate: int) -> None:
    train(tmp_path / "one", with_settings(steps=8), log_every=1)
    train(tmp_path / "many", with_settings(steps=8, accumulate=accumulate), log_every=1)
    for one, many in zip(records(tmp_path / "one"), records(tmp_path / "many"), strict=True):
        assert many.pop("stage") == one.pop("stage")
        assert many == pytest.approx(one, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("poison", "term"),
    [(("representation", 3, "size"), "loss.size"), (("prior", 4, "nll"), "loss.nll")],
)
def test_stops_at_nan_with_the_last_good_checkpoint(
    tmp_path: Path, poison: tuple[str, int, str], term: str
) -> None:
    stage, index, _ = poison
    with pytest.raises(RunFailure, match=f"stage {stage}, step {index + 1}: {term} is nan"):
        train(tmp_path, with_settings(steps=8), TinyModel(poison=poison))
    train(tmp_path, with_settings(steps=8), resume=True)
    train(tmp_path / "whole", with_settings(steps=8))
    assert final_state(tmp_path) == final_state(tmp_path / "whole")


@pytest.mark.parametrize("log_every", [1, 4])
def test_the_message_counts_steps_as_the_record_does(tmp_path: Path, log_every: int) -> None:
    poison = ("prior", 3, "nll")
    train(tmp_path / "spike", model=TinyModel(poison=poison, factor=1e6), log_every=1)
    spikes = [r["step"] for r in records(tmp_path / "spike") if r.get("loss.nll", 0) > 1e5]
    with pytest.raises(RunFailure, match=rf"stage prior, step {spikes[0]}: loss\.nll is nan"):
        train(tmp_path / "nan", model=TinyModel(poison=poison), log_every=log_every)
    written = [r["step"] for r in records(tmp_path / "nan") if r["stage"] == "prior"]
    assert all(step < spikes[0] for step in written)
    if log_every == 1:
        assert written[-1] == spikes[0] - 1


def test_stops_at_an_infinite_gradient(tmp_path: Path) -> None:
    model = TinyModel()
    model.scale.register_hook(lambda gradient: gradient * torch.inf)
    with pytest.raises(RunFailure, match="stage prior, step 1: gradient_norm is"):
        train(tmp_path, model=model)


def test_refuses_a_batch_that_cannot_be_shared(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"training\.batch_size: 8 rows .* 3 shares .* is 9"):
        train(tmp_path, with_settings(accumulate=3))


def test_refuses_to_start_over_a_run(tmp_path: Path) -> None:
    train(tmp_path)
    before = records(tmp_path)
    with pytest.raises(UserError, match="--resume"):
        train(tmp_path)
    assert records(tmp_path) == before


def test_goes_on_without_room_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trainer = trainer_of(tmp_path)
    real = trainer.store.save

    def full(checkpoint: Any, keep: int) -> Path:
        if checkpoint.position.order >= (1, 4, False):
            raise OSError(28, "No space left on device")
        return real(checkpoint, keep)

    trainer.store.save = full  # type: ignore[method-assign]
    with (
        caplog.at_level(logging.WARNING, "colaflex"),
        pytest.raises(RunFailure, match="No space left"),
    ):
        trainer.train()
    assert "prior-00000004 COULD NOT BE WRITTEN" in caplog.text
    train(tmp_path / "whole")
    train(tmp_path, resume=True)
    assert final_state(tmp_path) == final_state(tmp_path / "whole")
    assert records(tmp_path) == records(tmp_path / "whole")


def test_skips_stages_that_are_done(tmp_path: Path) -> None:
    model = TinyModel()
    result = trainer_of(tmp_path, model=model).train(done=["representation"])
    assert [stage.stage for stage in result.stages] == ["prior"]
    assert model.starts.tolist() == [0, 1]


def test_callbacks_see_the_run(tmp_path: Path) -> None:
    seen: list[Any] = []

    class Watch(Watcher):
        def started(self) -> None:
            seen.append("started")

        def record(self, record: Any) -> None:
            seen.append(record["step"])

        def checkpoint(self, path: Path) -> None:
            assert (path / "manifest.json").exists()
            seen.append(path.name)

        def stage_ended(self, result: Any) -> None:
            seen.append(result["stage"])

        def end(self) -> None:
            seen.append("end")

    train(tmp_path, watcher=Watch(), checkpoint_every=4)
    expected = ["started"]
    for stage in ("representation", "prior"):
        expected += [3, f"{stage}-00000004", 6, stage, f"{stage}-00000006"]
    assert seen == [*expected, "end"]


def test_what_does_not_learn_is_left_alone(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path)
    before = {n: p.clone() for n, p in trainer.model.named_parameters()}
    state = torch.random.get_rng_state()
    trainer.plans = trainer.plans[:1]
    trainer.train()
    after = dict(trainer.model.named_parameters())
    assert torch.equal(before["predict.weight"], after["predict.weight"])
    assert not torch.equal(before["mix.weight"], after["mix.weight"])
    assert all(p.requires_grad is not n.startswith("average") for n, p in after.items())
    assert all(p.grad is None for p in after.values())
    assert torch.equal(state, torch.random.get_rng_state())


def test_bf16_keeps_weights_in_fp32(tmp_path: Path) -> None:
    trainer = trainer_of(tmp_path, with_settings(gradient_checkpointing=True), precision="bf16")
    trainer.train()
    assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
    assert isinstance(trainer.model, TinyModel) and trainer.model.gradient_checkpointing
    train(tmp_path / "exact")
    pairs = zip(records(tmp_path), records(tmp_path / "exact"), strict=True)
    assert all(a["loss"] == pytest.approx(b["loss"], rel=0.05) for a, b in pairs)


def test_a_stage_with_an_average_leaves_it_in_the_model(tmp_path: Path) -> None:
    train(tmp_path / "plain")
    train(tmp_path / "averaged", with_settings(ema_decay=0.99))
    assert final_state(tmp_path / "plain") != final_state(tmp_path / "averaged")
    first = records(tmp_path / "plain")[0], records(tmp_path / "averaged")[0]
    assert first[0] == first[1]


def test_the_result_adds_up(tmp_path: Path) -> None:
    result = train(tmp_path).as_json()
    tokens = 2 * sum(int(Rows(8).batch(step).lengths.sum()) for step in range(6))
    assert (result["tokens"], result["steps"], result["flops"]) == (tokens, 12, 3 * 6 * 8 * 7)
    assert result["seconds"] > 0
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["tokens"] * 2 == tokens
