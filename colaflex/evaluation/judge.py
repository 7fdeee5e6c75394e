"""A small autoregressive language model that judges texts by their likelihood.

It learns from the corpus's `judge` split, which no model under test sees. It is a yardstick of this
project, not a known model: its own held-out NLL is reported beside every judgement.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.errors import RunFailure, UserError
from colaflex.evaluation.judge_network import JudgeNetwork
from colaflex.files.writing import cache_dir
from colaflex.interfaces.metric import Measurement
from colaflex.statistics.draws import keyed_rng
from colaflex.statistics.intervals import ratio
from colaflex.training.kept_weights import DamagedWeights, read_weights, write_weights
from colaflex.training.muon import Muon

__all__ = [
    "Judge",
    "JudgeSettings",
    "is_measured",
    "judge_path",
    "learning_rate",
    "new_network",
    "new_optimizers",
    "require_documents",
    "split_documents",
    "take_step",
    "train_judge",
    "training_batches",
    "windows_of",
]

_FORMAT = 2
_FEWEST_DOCUMENTS = 20
_SCORED_TOKENS = 4096  # a batch without gradients
log = logging.getLogger(__name__)

Documents = Sequence[Sequence[int]]
Progress = Callable[[int, int, float], None]


@dataclass(frozen=True, slots=True)
class JudgeSettings:
    """Size and training of a judge.

    Attributes:
        steps: training steps at most; it stops where the held-out NLL no longer falls.
        width: of the residual stream, a multiple of 2 · heads.
        layers: transformer layers.
        heads: attention heads.
        batch_size: rows of `max_tokens` in a training step, more where documents are shorter.
        max_tokens: longest row; longer documents are cut into rows.
        learning_rate: at its peak, of Muon and AdamW.
        weight_decay: Muon's, on the layers' matrices.
        seed: of initial weights and order.
    """

    steps: int = 300
    width: int = 128
    layers: int = 4
    heads: int = 4
    batch_size: int = 4
    max_tokens: int = 256
    learning_rate: float = 1e-2
    weight_decay: float = 0.1
    seed: int = 0


class Judge:
    """A trained judge.

    Attributes:
        end_of_text: id that ends a document, and stands before its first token as context.
        held_out: its NLL on documents kept from its training, nats per token.
        identity: of its documents, vocabulary and settings; two judges of one identity agree.
    """

    def __init__(
        self,
        network: JudgeNetwork,
        settings: JudgeSettings,
        end_of_text: int,
        held_out: Measurement,
        identity: str = "",
    ) -> None:
        self._network, self._settings = network.eval(), settings
        self.end_of_text, self.held_out, self.identity = end_of_text, held_out, identity

    @torch.no_grad()
    def nll(self, documents: Documents) -> list[tuple[float, int]]:
        """-log p of every document in nats, and its number of tokens.

        A document that is whole ends with end-of-text, which counts. Documents longer than a
        row are read in overlapping windows, each token with half a row or more before it.
        """
        totals = np.zeros(len(documents))
        windows, owners, skips = [], [], []
        for index, document in enumerate(documents):
            for window, skip in windows_of(document, self.end_of_text, self._settings.max_tokens):
                windows.append(window)
                owners.append(index)
                skips.append(skip)
        for chosen in _batches(windows, _SCORED_TOKENS):
            inputs, targets = _pad([windows[i] for i in chosen])
            for row, i in enumerate(chosen):
                targets[row, : skips[i]] = -1
            losses = _losses(self._network, inputs, targets).sum(1).double()
            np.add.at(totals, [owners[i] for i in chosen], losses.numpy())
        return [(float(t), len(d)) for t, d in zip(totals, documents, strict=True)]


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
    path = judge_path(documents, vocabulary, end_of_text, settings)
    identity, network = path.stem, new_network(vocabulary, settings)
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


def judge_path(
    documents: Documents, vocabulary: int, end_of_text: int, settings: JudgeSettings
) -> Path:
    """Where a judge is in the cache, if it is."""
    key = _key(documents, vocabulary, end_of_text, settings)
    return cache_dir() / "judges" / f"{key}.safetensors"


def split_documents(documents: Documents) -> tuple[Documents, Documents]:
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


def new_network(vocabulary: int, settings: JudgeSettings) -> JudgeNetwork:
    """A network with weights drawn from the settings' seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return JudgeNetwork(
            vocabulary,
            settings.width,
            settings.layers,
            settings.heads,
            settings.max_tokens,
        )


def _train(
    network: JudgeNetwork,
    documents: Documents,
    end_of_text: int,
    settings: JudgeSettings,
    progress: Progress | None,
) -> Measurement:
    """Train the network in place, leave the best weights in it and return their held-out NLL."""
    trained, held_out = split_documents(documents)
    optimizers = new_optimizers(network, settings)
    batches = training_batches(trained, end_of_text, settings)
    unknown = Measurement(math.nan, math.nan, math.nan, 0)
    best, weights, worse = math.inf, network.state_dict(), 0
    result = measured = unknown
    for step in range(1, settings.steps + 1):
        take_step(network, optimizers, next(batches), learning_rate(step, settings))
        if is_measured(step, settings):
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


def take_step(
    network: JudgeNetwork,
    optimizers: Sequence[torch.optim.Optimizer],
    batch: tuple[Tensor, Tensor],
    rate: float,
) -> None:
    """One step on a batch of inputs and targets, at a learning rate."""
    inputs, targets = batch
    loss = _losses(network, inputs, targets).sum() / (targets >= 0).sum()
    torch.autograd.backward(loss)
    nn.utils.clip_grad_norm_(network.parameters(), 1.0)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)


def is_measured(step: int, settings: JudgeSettings) -> bool:
    """Whether the held-out NLL is measured after a step, from 1: six times, and at the end."""
    return step % max(1, settings.steps // 6) == 0 or step == settings.steps


def new_optimizers(network: JudgeNetwork, settings: JudgeSettings) -> list[torch.optim.Optimizer]:
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


def learning_rate(step: int, settings: JudgeSettings) -> float:
    """The learning rate of a step, from 1: linear warm-up, then cosine."""
    warmup = max(1, settings.steps // 20)
    cosine = 0.5 + 0.5 * math.cos(math.pi * (step - 1) / settings.steps)
    return settings.learning_rate * min(step / warmup, cosine)


def training_batches(
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
        batches = _batches(mixed, settings.batch_size * settings.max_tokens)
        for i in rng.permutation(len(batches)):
            yield _pad([mixed[row] for row in batches[i]])
        epoch += 1


def windows_of(
    document: Sequence[int], end_of_text: int, max_tokens: int, overlap: bool = True
) -> Iterator[tuple[list[int], int]]:
    """Windows of max_tokens + 1 tokens, the first beginning with end-of-text as the first context.

    Yields each with the number of its targets that an earlier window has scored.
    """
    full = [end_of_text, *document]
    stride = max(1, max_tokens // 2) if overlap else max_tokens
    for start in range(0, len(document), stride):
        if start == 0 or start + (max_tokens - stride) < len(document):
            yield full[start : start + max_tokens + 1], (max_tokens - stride if start else 0)


def _batches(rows: Sequence[Sequence[int]], batch_tokens: int) -> list[list[int]]:
    """Indices of rows grouped by length, so that rows times longest is at most batch_tokens."""
    batches: list[list[int]] = []
    for i in sorted(range(len(rows)), key=lambda i: -len(rows[i])):
        if not batches or (len(batches[-1]) + 1) * len(rows[batches[-1][0]]) > batch_tokens:
            batches.append([])
        batches[-1].append(i)
    return batches


def _pad(rows: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Inputs and targets, (rows, longest - 1); targets behind a row's end are -1."""
    longest = max(len(row) for row in rows)
    grid = np.full((len(rows), longest), -1, dtype=np.int64)
    for line, row in zip(grid, rows, strict=True):
        line[: len(row)] = row
    tokens = torch.from_numpy(grid)
    return tokens[:, :-1].clamp(min=0), tokens[:, 1:].clone()


def _losses(network: JudgeNetwork, inputs: Tensor, targets: Tensor) -> Tensor:
    """(rows, tokens) -log p of the targets, 0 where the target is -1."""
    logits = network(inputs)
    loss = functional.cross_entropy(
        logits.flatten(0, 1), targets.flatten(), ignore_index=-1, reduction="none"
    )
    return loss.view(targets.shape)
