"""Alignment of an encoder's states with those of a frozen pretrained encoder.

References:
    REPA (2024), https://arxiv.org/abs/2410.06940; TextLDM (2026), for a text VAE,
    https://arxiv.org/abs/2605.07748.
"""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import Any

import tokenizers
import torch
from torch import Tensor, nn
from torch.nn import functional

from colaflex.errors import UserError
from colaflex.files.reading import read_json
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.representations.configs import AlignmentConfig
from colaflex.representations.pretrained_encoder import BertEncoder, PretrainedEncoder, T5Encoder
from colaflex.representations.pretrained_folder import brackets, encoder_folder

__all__ = ["Alignment"]


class Alignment(nn.Module):
    """1 - cos(MLP(state of a segment), mean of the frozen states of its text).

    The frozen encoder reads the text of the whole row, as far as its positions go: only targets
    come from it, so that no latent knows what is yet to come. A segment's frozen tokens are those
    whose characters overlap its text. It is loaded when first needed, and is in no checkpoint.

    Args:
        config: the frozen encoder, and the projection's size.
        vocabulary: texts of the tokens.
        width: of the states.

    Raises:
        UserError: the encoder is missing, or the tokens' texts are not known.
    """

    def __init__(self, config: AlignmentConfig, vocabulary: Vocabulary, width: int) -> None:
        super().__init__()
        if not vocabulary.texts:
            raise UserError("representation.alignment: the texts of the tokens are not known")
        self.config = config
        special = {vocabulary.end_of_text, vocabulary.mask}
        self.texts = tuple("" if i in special else t for i, t in enumerate(vocabulary.texts))
        self.folder = encoder_folder(config.encoder)
        self.brackets = brackets(self.folder)
        self.described = read_json(self.folder / "config.json")
        target = int(self.described.get("hidden_size") or self.described["d_model"])
        self.project = nn.Sequential(
            nn.Linear(width, config.hidden_width), nn.SiLU(), nn.Linear(config.hidden_width, target)
        )
        self._frozen: tuple[PretrainedEncoder, Any] | None = None

    @property
    def frozen(self) -> tuple[PretrainedEncoder, Any]:
        """The encoder and its tokenizer, loaded when first asked for."""
        if self._frozen is None:
            t5 = str(self.described.get("model_type")).endswith("t5")
            backend = tokenizers.Tokenizer.from_file(str(self.folder / "tokenizer.json"))
            backend.no_padding()
            backend.no_truncation()
            load = T5Encoder if t5 else BertEncoder
            self._frozen = load(self.folder, self.config.layer), backend
        return self._frozen

    def forward(self, states: Tensor, tokens: TokenBatch, segmentation: Segmentation) -> Tensor:
        """The sum over the segments that have text.

        Args:
            states: (batch, segments, width) of the encoder that learns.
            tokens: the rows.
            segmentation: their segments.
        """
        targets, mask = self.targets(tokens, segmentation, states)
        likeness = functional.cosine_similarity(self.project(states)[mask], targets[mask], dim=-1)
        return (1 - likeness).sum()

    @torch.no_grad()
    def targets(
        self, tokens: TokenBatch, segmentation: Segmentation, like: Tensor
    ) -> tuple[Tensor, Tensor]:
        """(batch, segments, width) mean frozen states, and the bool mask of segments with any."""
        encoder, backend = self.frozen
        encoder.model.to(like)
        before, behind = (list(part) for part in (self.brackets.before, self.brackets.behind))
        room = None if encoder.limit is None else encoder.limit - len(before) - len(behind)
        texts, spans = self._spans(tokens, segmentation)
        read = backend.encode_batch(texts, add_special_tokens=False)
        rows = [[*before, *item.ids[:room], *behind] for item in read]
        longest = max(map(len, rows))
        filled = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
        counted = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
        # A token without characters, a special one among them, overlaps with nothing.
        places = torch.zeros(len(rows), longest, 2, dtype=torch.int64)
        for place, item in zip(places, read, strict=True):
            offsets = torch.tensor(item.offsets[:room], dtype=torch.int64).view(-1, 2)
            place[len(before) : len(before) + len(offsets)] = offsets
        begins, ends = torch.tensor(spans).unbind(-1)
        first, last = places[:, None].unbind(-1)
        overlap = (first < ends[..., None]) & (last > begins[..., None]) & (last > first)
        states = encoder.states(filled.to(like.device), counted.to(like.device)).to(like)
        share = overlap.to(like)
        count = share.sum(-1, keepdim=True)
        return share @ states / count.clamp(min=1), count[..., 0] > 0

    def _spans(
        self, tokens: TokenBatch, segmentation: Segmentation
    ) -> tuple[list[str], list[list[tuple[int, int]]]]:
        """The text of every row, and where in it every segment lies."""
        texts, spans = [], []
        lengths = segmentation.lengths.tolist()
        for row, sizes in zip(tokens.tokens.tolist(), lengths, strict=True):
            words = [self.texts[token] for token in row]
            bounds = pairwise(accumulate(sizes, initial=0))
            pieces = ["".join(words[first:end]) for first, end in bounds]
            texts.append("".join(pieces))
            spans.append(list(pairwise(accumulate(map(len, pieces), initial=0))))
        return texts, spans

    def flops(self, batch: int, segments: int) -> int:
        """Model FLOPs of the projection, forward."""
        weights = sum(p.numel() for p in self.project.parameters() if p.ndim > 1)
        return 2 * batch * segments * weights

    def frozen_flops(self, batch: int, tokens: int) -> int:
        """Model FLOPs of the frozen encoder over rows, taken to have as many tokens in it."""
        encoder, _ = self.frozen
        length = tokens if encoder.limit is None else min(tokens, encoder.limit)
        return encoder.flops(batch, length)
