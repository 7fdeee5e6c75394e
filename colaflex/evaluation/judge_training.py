"""How a judge is trained, found in the cache, and what it will cost before it is trained."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from colaflex.errors import RunFailure, UserError
from colaflex.evaluation.judge import (
    Documents,
    Judge,
    JudgeNetwork,
    JudgeSettings,
    batches_of,
    padded,
    token_losses,
    windows_of,
)
from colaflex.files.writing import cache_dir
from colaflex.interfaces.metric import Measurement
from colaflex.statistics.draws import keyed_rng
from colaflex.statistics.intervals import ratio
from colaflex.training.cached_weights import DamagedWeights, read_weights, write_weights
from colaflex.training.muon import Muon

__all__ = ["JudgeCost", "judge_cost", "require_documents", "train_judge"]

_FORMAT = 2
_FEWEST_DOCUMENTS = 20
SAMPLED_STEPS = 32
TIMED_STEPS = 4
log = logging.getLogger(__name__)

Progress = Callable[[int, int, float], None]


def require_documents(count: int) -> None:
    """Raise UserError where a split of so many documents can train no judge."""
    if count < _FEWEST_DOCUMENTS:
        raise UserError(
            f"the judge split has {count} documents, a judge needs {_FEWEST_DOCUMENTS} or more: "
            "give the corpus a larger judge split, or set evaluation.judge.enabled to false"
        )


def train_judge(
    documents: Documents,
    vocabulary: int,
    end_of_text: int,
    settings: JudgeSettings | None = None,
    progress: Progress | None = None,
) -> Judge:
    """Train a judge, or take it from the cache if the same one was trained before.

    A tenth of the documents is held out; the weights of the lowest held-out NLL are kept.

    Args:
        documents: the judge split as tokens, whole documents ending with end-of-text.
        vocabulary: number of token ids.
        end_of_text: id that ends a document.
        settings: size and training.
        progress: called with (step, steps, held-out NLL, as last measured) after every step; at
            the last one where it stops early, too.

    Raises:
        UserError: the split has too few documents.
        RunFailure: its training diverged, or it can't be saved.
    """
    require_documents(len(documents))
    settings = settings or JudgeSettings()
    path = _judge_path(documents, vocabulary, end_of_text, settings)
    identity, network = path.stem, _new_network(vocabulary, settings)
    if path.exists():
        try:
            metadata, state = read_weights(path, network.state_dict())
            held_out = Measurement(**json.loads(metadata["held_out"]))
            network.load_state_dict(state)
            return Judge(network, settings, end_of_text, held_out, identity)
        except (DamagedWeights, KeyError, TypeError, ValueError) as error:
            log.warning("the cached judge %s is damaged (%s) and is trained anew", path, error)
    held_out = _train(network, documents, end_of_text, settings, progress)
    judge = Judge(network, settings, end_of_text, held_out, identity)
    metadata = {"held_out": json.dumps(held_out.as_json())}
    try:
        write_weights(path, network.state_dict(), metadata)
    except OSError as error:
        raise RunFailure(f"the judge can't be saved in {path.parent}: {error}") from error
    return judge


def _judge_path(
    documents: Documents, vocabulary: int, end_of_text: int, settings: JudgeSettings
) -> Path:
    """Where a judge is in the cache, if it is."""
    key = _key(documents, vocabulary, end_of_text, settings)
    return cache_dir() / "judges" / f"{key}.safetensors"


def _split_documents(documents: Documents) -> tuple[Documents, Documents]:
    """Nine tenths to train on, and a tenth that is held out."""
    trained = [document for i, document in enumerate(documents) if i % 10 != 9]
    return trained, [document for i, document in enumerate(documents) if i % 10 == 9]


def _key(documents: Documents, vocabulary: int, end_of_text: int, settings: JudgeSettings) -> str:
    digest = hashlib.sha256()
    head = [_FORMAT, vocabulary, end_of_text, dataclasses.asdict(settings), len(documents)]
    digest.update(json.dumps(head, sort_keys=True).encode())
    for document in documents:
        digest.update(len(document).to_bytes(8, "little"))
        digest.update(np.asarray(document, dtype="<i8").tobytes())
    return digest.hexdigest()[:32]


def _new_network(vocabulary: int, settings: JudgeSettings) -> JudgeNetwork:
    """A network with weights drawn from the settings' seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return JudgeNetwork(
            vocabulary, settings.width, settings.layers, settings.heads, settings.max_tokens
        )


def _train(
    network: JudgeNetwork,
    documents: Documents,
    end_of_text: int,
    settings: JudgeSettings,
    progress: Progress | None,
) -> Measurement:
    """Train the network in place, leave the best weights in it and return their held-out NLL."""
    trained, held_out = _split_documents(documents)
    optimizers = _new_optimizers(network, settings)
    batches = _training_batches(trained, end_of_text, settings)
    unknown = Measurement(math.nan, math.nan, math.nan, 0)
    best, weights, worse = math.inf, network.state_dict(), 0
    result = measured = unknown
    for step in range(1, settings.steps + 1):
        _take_step(network, optimizers, next(batches), _learning_rate(step, settings))
        if _is_measured(step, settings):
            scores = Judge(network, settings, end_of_text, unknown).nll(held_out)
            measured = ratio(*np.array(scores, dtype=np.float64).reshape(-1, 2).T, "judge")
            worse += 1
            if measured.value < best:
                best, result, worse = measured.value, measured, 0
                weights = {name: value.clone() for name, value in network.state_dict().items()}
        stops = worse == 2
        if progress is not None:
            progress(settings.steps if stops else step, settings.steps, measured.value)
        if stops:
            break
    if not math.isfinite(best):
        raise RunFailure("the judge's held-out NLL was never finite: lower its learning rate")
    network.load_state_dict(weights)
    return result


def _take_step(
    network: JudgeNetwork,
    optimizers: Sequence[torch.optim.Optimizer],
    batch: tuple[Tensor, Tensor],
    rate: float,
) -> None:
    """One step on a batch of inputs and targets, at a learning rate."""
    inputs, targets = batch
    loss = token_losses(network, inputs, targets).sum() / (targets >= 0).sum()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def _is_measured(step: int, settings: JudgeSettings) -> bool:
    """Whether the held-out NLL is measured after a step, from 1: six times, and at the end."""
    return step % max(1, settings.steps // 6) == 0 or step == settings.steps


def _new_optimizers(network: JudgeNetwork, settings: JudgeSettings) -> list[torch.optim.Optimizer]:
    """Muon for the layers' matrices, AdamW for the rest: half the steps of AdamW alone.

    In fp32, whatever the hardware: one judge everywhere, but for rounding.
    """
    matrices = [p for p in network.layers.parameters() if p.dim() > 1]
    others = [p for p in network.parameters() if not any(p is matrix for matrix in matrices)]
    rate = settings.learning_rate
    return [
        Muon(matrices, torch.float32, lr=rate, weight_decay=settings.weight_decay),
        torch.optim.AdamW(others, lr=rate, betas=(0.9, 0.98), weight_decay=0.0, fused=True),
    ]


def _learning_rate(step: int, settings: JudgeSettings) -> float:
    """The learning rate of a step, from 1: linear warm-up, then cosine."""
    warmup = max(1, settings.steps // 20)
    cosine = 0.5 + 0.5 * math.cos(math.pi * (step - 1) / settings.steps)
    return settings.learning_rate * min(step / warmup, cosine)


def _training_batches(
    documents: Documents, end_of_text: int, settings: JudgeSettings
) -> Iterator[tuple[Tensor, Tensor]]:
    """Batches of rows of like length, one document or a piece of one a row, epoch after epoch."""
    rows = [
        window
        for document in documents
        for window, _ in windows_of(document, end_of_text, settings.max_tokens, overlap=False)
    ]
    epoch = 0
    while True:
        rng = keyed_rng("judge", settings.seed, epoch)
        mixed = [rows[i] for i in rng.permutation(len(rows))]
        batches = batches_of(mixed, settings.batch_size * settings.max_tokens)
        for i in rng.permutation(len(batches)):
            yield padded([mixed[row] for row in batches[i]])
        epoch += 1


@dataclass(frozen=True, slots=True)
class JudgeCost:
    """At most: a judge whose held-out NLL no longer falls stops early.

    Attributes:
        steps: of its training.
        flops: model FLOPs, with those of measuring its held-out NLL.
        seconds: at this machine's present speed; 0 where it is known.
        known: whether it is in the cache.
    """

    steps: int
    flops: int
    seconds: float
    known: bool


def judge_cost(
    documents: Documents, vocabulary: int, end_of_text: int, settings: JudgeSettings
) -> JudgeCost:
    """Count some steps, time a few, and extrapolate; nothing is kept.

    Raises:
        UserError: the split has too few documents.
    """
    require_documents(len(documents))
    network = _new_network(vocabulary, settings)
    trained, held_out = _split_documents(documents)
    some = list(
        islice(
            _training_batches(trained, end_of_text, settings), min(SAMPLED_STEPS, settings.steps)
        )
    )
    costs = [3 * network.flops(*inputs.shape) for inputs, _ in some]
    windows = [w for d in held_out for w, _ in windows_of(d, end_of_text, settings.max_tokens)]
    once = sum(network.flops(1, len(window) - 1) for window in windows)
    times = sum(_is_measured(step, settings) for step in range(1, settings.steps + 1))
    flops = round(sum(costs) / len(costs) * settings.steps) + times * once
    if _judge_path(documents, vocabulary, end_of_text, settings).exists():
        return JudgeCost(settings.steps, flops, 0.0, known=True)
    optimizers = _new_optimizers(network, settings)
    seconds = []
    for batch in some[:TIMED_STEPS]:
        began = time.perf_counter()
        _take_step(network, optimizers, batch, _learning_rate(1, settings))
        seconds.append(time.perf_counter() - began)
    # The first step pays for what later ones find ready.
    first = int(len(seconds) > 1)
    pace = sum(seconds[first:]) / sum(costs[first : len(seconds)])
    return JudgeCost(settings.steps, flops, pace * flops, known=False)
