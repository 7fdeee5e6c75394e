"""A small study and its base spec, as texts."""

from __future__ import annotations

SPEC = """
corpus: {type: worlds, documents: 120, validation_documents: 12, test_documents: 12}
tokenizer: {vocab_size: 300}
segmenter: {type: fixed_patch, size: 4}
representation:
  {type: text_vae, latent_dim: 16, width: 16, encoder_layers: 1, decoder_layers: 1, heads: 2,
   embedding_dim: 8}
prior:
  type: flow_matching
  block_size: 4
  schedule: {loc: 0.5}
  network: {type: block_causal, width: 16, layers: 1, heads: 2, time_width: 8}
training: {regime: frozen, batch_size: 4, max_tokens: 64, steps: 15}
sampling: {max_new_tokens: 24, steps: 2}
evaluation: {samples: 4, documents: 4, sweep_steps: [], sweep_guidance: [], bootstrap: 100}
"""

STUDY = """
study: small
title: A small study
base: base.yaml
space:
  representation.latent_dim: [8, 16, 32]
  prior.schedule.loc: {low: -1, high: 3}
objectives: generation.valid_sentences
budget: {trials: 40, minutes: 60}
sampler: {type: tpe, multivariate: true}
pruner: successive_halving
rungs: [0.33, 0.66]
seeds: 1
start: {trials: 5, prior.schedule.loc: {at: 1.0, spread: 0.5}}
trials: {evaluation.samples: 3}
fresh: {seeds: 2}
controls:
  by_turns: {sampler: one_at_a_time}
  paper: {point: {representation.latent_dim: 16, prior.schedule.loc: 1}}
storage: journal
"""
