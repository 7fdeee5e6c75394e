"""Schedules: at which times priors on paths learn."""
