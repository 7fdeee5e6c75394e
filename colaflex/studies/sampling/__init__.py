"""Samplers and pruners by name, starting distributions, one knob at a time."""
