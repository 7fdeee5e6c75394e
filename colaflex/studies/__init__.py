"""Studies: which settings go together, searched with Optuna and explained."""
