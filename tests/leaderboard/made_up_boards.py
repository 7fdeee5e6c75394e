"""A board that is run for real, as small as can be."""

from __future__ import annotations

from pathlib import Path

SPEC = """
corpus: {type: worlds, documents: 120, validation_documents: 12, test_documents: 12}
tokenizer: {vocab_size: 300}
segmenter: {type: fixed_patch, size: 4}
representation:
  {type: text_vae, latent_dim: 4, width: 16, encoder_layers: 1, decoder_layers: 1, heads: 2,
   embedding_dim: 8}
prior:
  type: flow_matching
  readout: linear
  history: latents
  block_size: 4
  network: {type: block_causal, width: 16, layers: 1, heads: 2, time_width: 8}
training: {regime: frozen, batch_size: 4, max_tokens: 64, log_every: 5, checkpoint_every: 4}
sampling: {max_new_tokens: 24, steps: 2}
evaluation:
  {samples: 4, documents: 4, sweep_steps: [], sweep_guidance: [], sweep_samples: 2,
   bootstrap: 100}
"""

BOARD = """
board: small
title: A small board
base: base.yaml
parameters: 24_000
budgets: {small: 3.2e8}
stage1_flops: 0.3
seeds: [0, 1]
rank: {metric: generation.valid_sentences}
show: [reconstruction.token_accuracy]
rows:
  flow_matching: {tuning: {runs: 2, note: by hand}}
  latent_ar:
    set: {prior: autoregressive_latent, prior.transformer: {layers: 1, heads: 2}}
"""


def write_board(folder: Path, text: str = BOARD, spec: str = SPEC) -> Path:
    """A board file with its base spec, in FOLDER/boards."""
    (folder / "boards").mkdir(parents=True, exist_ok=True)
    (folder / "boards/base.yaml").write_text(spec)
    path = folder / "boards/small.yaml"
    path.write_text(text)
    return path
