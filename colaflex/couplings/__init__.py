"""Couplings: which noise belongs to which data on the paths of a flow-type prior."""
