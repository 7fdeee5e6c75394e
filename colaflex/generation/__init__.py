"""Generation of text with any language model."""
