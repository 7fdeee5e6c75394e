"""Files of a run and of others: written whole or not at all, read with bounds and checked."""
