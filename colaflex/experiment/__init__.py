"""One experiment, from a spec to a run folder: what it needs, runs, measures and writes."""
