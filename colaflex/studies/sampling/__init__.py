"""Optuna's samplers and pruners by name; ours: starting distributions, grids, a knob at a time."""
