"""How a language model learns: batches, optimizers, stages, checkpoints."""
