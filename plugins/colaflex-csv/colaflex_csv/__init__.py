"""CSV tables of every colaflex run."""
