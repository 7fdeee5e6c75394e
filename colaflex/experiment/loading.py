"""A run folder becomes a language model again."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from colaflex.corpora.tokenizer import Tokenizer, load_tokenizer
from colaflex.errors import UserError, WrongKind
from colaflex.experiment.assembly import build_model, skeleton
from colaflex.experiment.folder import RunFolder
from colaflex.experiment.settings import chosen_device
from colaflex.files.manifest import RunManifest
from colaflex.files.reading import inside, user_path, verifying
from colaflex.generation.arguments import checked_seed, checked_texts
from colaflex.generation.text import Generated, GenerationOptions, Tell, TextGenerator
from colaflex.interfaces.language_model import LanguageModel
from colaflex.interfaces.options import SamplingOptions
from colaflex.interfaces.values import LatentBatch, TokenBatch
from colaflex.latent.segments import encode_prompts
from colaflex.runtime.memory_limit import SMALL, NoRoom, room_for
from colaflex.spec import Spec
from colaflex.spec.checks import unfit_sampling
from colaflex.training.checkpoints import CheckpointError, CheckpointStore
from colaflex.training.memory import limit_kernel_cache

__all__ = ["LoadedModel", "load"]


class LoadedModel:
    """A trained language model with its tokenizer, whatever its parts.

    Attributes:
        spec: what it was made from.
        model: the model itself.
        tokenizer: text to tokens and back.
        result: result.json, or an empty mapping where the run is not complete.

    Example:
        >>> model = colaflex.load("runs/first")
        >>> latents = model.encode(["The painter saw the harbour."])
        >>> texts = model.decode(model.sample_latents(rows=2, blocks=3, seed=0))
        >>> latents.values.shape[2], len(texts)
        (4, 2)
    """

    def __init__(
        self, spec: Spec, model: LanguageModel, tokenizer: Tokenizer, result: Mapping[str, Any]
    ) -> None:
        self.spec, self.model, self.tokenizer, self.result = spec, model.eval(), tokenizer, result
        self.options = GenerationOptions.of(spec.sampling)
        self._generator = TextGenerator(model, tokenizer)

    def __repr__(self) -> str:
        count = sum(p.numel() for p in self.model.parameters() if p.requires_grad)
        return f"{type(self).__name__}({self.spec!r}, {count:,} parameters)"

    def generate(
        self,
        prompts: str | Sequence[str],
        seed: int = 0,
        *,
        tell: Tell = lambda done, total: None,
        **options: Any,
    ) -> list[Generated]:
        """Continue every prompt.

        Args:
            prompts: texts, or one text, whose continuation is a list of one; "" begins a document.
            seed: keys the draws; from 0 to below 2^63.
            tell: told how many of how many prompts are done.
            options: fields of `GenerationOptions`, by default the spec's `sampling`.

        Raises:
            UserError: what is asked is no text, no such option, or out of the option's bounds.

        Example:
            >>> model = colaflex.load("runs/first")
            >>> made = model.generate(["The painter"], seed=0, max_new_tokens=8, temperature=0.8)
            >>> made[0].prompt, len(made[0].tokens) <= 8
            ('The painter', True)
        """
        return self._generator.generate(prompts, self._asked(options), seed, tell)

    def stream(self, prompt: str, seed: int = 0, **options: Any) -> Iterator[str]:
        """Continue one prompt, piece by piece; raises UserError as `generate`.

        Example:
            >>> model = colaflex.load("runs/first")
            >>> pieces = list(model.stream("The painter", max_new_tokens=8))
            >>> "".join(pieces) == model.generate("The painter", max_new_tokens=8)[0].text
            True
        """
        return self._generator.stream(prompt, self._asked(options), seed)

    def _asked(self, options: Mapping[str, Any]) -> GenerationOptions:
        asked = self.options.but(**options)
        for name, message, hint in unfit_sampling(self.spec, asked.latents):
            raise UserError(f"{name}: {message}; {hint}")
        return asked

    @torch.no_grad()
    def encode(self, texts: str | Sequence[str]) -> LatentBatch:
        """The modes of the texts' latents, normalised, (batch, segments, dim).

        As a prompt, a text is heard from its end: of one longer than `training.max_tokens`, the
        longest row that the model has learned from, only the last so many tokens are encoded. A
        UserWarning tells. One text is a batch of one.

        Raises:
            UserError: the model has no latents, or what is given is no text.
        """
        rows = self._rows(texts)
        limit = self._latent.max_tokens
        if cut := sum(len(row) > limit for row in rows):
            message = (
                f"{cut} of {len(rows)} texts are longer than training.max_tokens; only their last "
                f"{limit} tokens are encoded"
            )
            warnings.warn(message, stacklevel=3)  # the caller, past no_grad
        latents, counts = encode_prompts(self._latent, rows)
        positions = torch.arange(latents.shape[1], device=latents.device)
        return LatentBatch(latents, positions < counts[:, None])

    @torch.no_grad()
    def decode(self, latents: LatentBatch | Tensor) -> list[str]:
        """The most probable texts of normalised latents, (batch, segments, dim).

        Raises:
            UserError: the model has no latents, or these are none of it.
        """
        from colaflex.latent.generation import decoded_rows

        model = self._latent
        batch = _batch_of(latents, model.representation.latent_dim)
        logits = model.representation.decode(model.raw(batch.values)).float()
        return self.tokenizer.decode_batch(decoded_rows(model, logits, batch.mask))

    def sample_latents(
        self, rows: int, blocks: int, seed: int = 0, options: SamplingOptions | None = None
    ) -> Tensor:
        """(rows, blocks · block, dim): normalised latents drawn from the prior.

        A prior that reads its history as text reads the most probable tokens of each block.

        Raises:
            UserError: the model has no latents, or what is asked is out of bounds.
        """
        for name, value in (("rows", rows), ("blocks", blocks)):
            if type(value) is not int or value < 1:
                raise UserError(f"{name}: expected an integer >= 1, got {value!r}")
        from colaflex.latent.generation import sampled_latents

        chosen = self._asked(asdict(options or self.options.latents)).latents
        return sampled_latents(self._latent, rows, blocks, chosen, checked_seed(seed))

    @torch.no_grad()
    def log_prob(self, texts: str | Sequence[str]) -> Tensor:
        """(batch,) log likelihood in nats, or a lower bound, where the model declares one.

        Raises:
            UserError: it declares none, or what is given is no text.

        Example:
            >>> model = colaflex.load("runs/first")
            >>> model.log_prob(["The painter saw the harbour.", "It rained."]).shape
            torch.Size([2])
        """
        rows = self._rows(texts)
        if not rows:
            return torch.zeros(0)
        end, width = self.tokenizer.end_of_text, max(map(len, rows)) + 1
        tokens = torch.tensor([row + [end] * (width - len(row)) for row in rows])
        lengths = torch.tensor([len(row) + 1 for row in rows])
        batch = TokenBatch(tokens, lengths, torch.ones(len(rows), dtype=torch.bool))
        device = next(self.model.parameters()).device
        value = self.model.log_likelihood(batch.to(device))
        if value is None:
            raise UserError("this model declares no likelihood")
        return value

    def _rows(self, texts: str | Sequence[str]) -> list[list[int]]:
        return self.tokenizer.encode_batch(checked_texts(texts, "texts"))

    @property
    def _latent(self) -> Any:
        if self.spec.baseline is not None:
            raise UserError("this model has no latents: it is a baseline")
        return self.model


def load(path: str | Path, device: str = "cpu", verify: bool = True) -> LoadedModel:
    """The model of a run folder, with the weights that the run ended with.

    Of a run that is not complete, those of its newest valid checkpoint.

    Args:
        path: the run folder.
        device: cpu or cuda.
        verify: compare the weights with the checkpoint's manifest first, about a second a GiB;
            not where the environment has COLAFLEX_NO_VERIFY.

    Raises:
        UserError: no run folder, a missing plugin, no such device, a file that has changed since
            the run wrote it, or no checkpoint that can be used.

    Example:
        >>> load("runs/first")
        LoadedModel(Spec(name='tiny', ..., prior='flow_matching'), ... parameters)
    """
    limit_kernel_cache()
    folder, place = RunFolder(user_path(path)), _device(device)
    identity = folder.read("run.json")
    spec = Spec.of_run(folder.confirmed("spec.yaml"))
    tokenizer = load_tokenizer(folder.confirmed("tokenizer.json"))
    done = inside(folder.path, "result.json").exists()
    result = folder.read("result.json") if done else {}
    store = CheckpointStore(folder.path / "checkpoints", str(identity["spec_digest"]))
    model = _built(spec, tokenizer, store, folder.path)
    weights = _kept(store, model, folder.path, verify)
    for name, values in weights.items():
        if values.is_floating_point() and not _finite(values):
            raise UserError(
                f"{folder.path}: the weights of {name} are not finite: nothing can be made"
            )
    model.load_state_dict(weights)
    return LoadedModel(spec, model.to(place), tokenizer, result)


def _built(spec: Spec, tokenizer: Tokenizer, store: CheckpointStore, folder: Path) -> LanguageModel:
    """The model; one larger than its checkpoint only after their shapes were compared."""
    try:
        with room_for(2 * store.size() + SMALL):  # of half precision, perhaps
            return build_model(spec, tokenizer)
    except NoRoom:
        _kept(store, skeleton(spec, tokenizer), folder, verify=False)
        return build_model(spec, tokenizer)


def _finite(values: Tensor) -> bool:
    # A sum carries what is not finite, at a third of the price of a look at each.
    return math.isfinite(values.sum(dtype=torch.float64)) or bool(values.isfinite().all())


def _kept(
    store: CheckpointStore, model: LanguageModel, folder: Path, verify: bool
) -> dict[str, Tensor]:
    """The weights in the checkpoint that the manifest names, or else in the newest."""
    manifest = RunManifest.of(folder)
    expected = model.state_dict()
    if manifest is None or manifest.weights is None:
        checkpoint = store.latest(expected)
        if checkpoint is None:
            raise UserError(
                f"{folder}: there is no checkpoint yet; go on with `colaflex run --resume`"
            )
        return checkpoint.averaged()
    try:
        return store.named(*manifest.weights, expected, verify and verifying()).averaged()
    except CheckpointError as error:
        raise UserError(
            f"{error}; the weights of this run are damaged: `colaflex run SPEC --out {folder} "
            "--resume` trains them again from the checkpoint before"
        ) from None


def _device(asked: Any) -> torch.device:
    if str(asked).partition(":")[0] in ("auto", "cpu", "cuda"):
        return torch.device(chosen_device(str(asked)))
    try:
        return torch.device(asked)
    except (RuntimeError, TypeError):
        raise UserError(f"device {asked!r}: there is no such device; say cpu or cuda") from None


def _batch_of(latents: Any, dim: int) -> LatentBatch:
    """Latents as a batch, every segment of a bare tensor taken for one that exists."""
    values = latents.values if isinstance(latents, LatentBatch) else latents
    if not isinstance(values, Tensor):
        raise WrongKind(f"latents: expected a tensor, got {type(latents).__name__}")
    if values.ndim != 3 or values.shape[-1] != dim:
        raise UserError(f"latents: expected (batch, segments, {dim}), got {tuple(values.shape)}")
    if isinstance(latents, LatentBatch):
        return latents
    return LatentBatch(values, torch.ones(values.shape[:2], dtype=torch.bool, device=values.device))
