"""A representation and a prior as one language model: its training, generation and likelihood."""
