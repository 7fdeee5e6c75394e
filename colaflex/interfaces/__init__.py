"""What a component is: the interfaces of every kind and the small values that pass between them.

This package imports nothing else of colaflex. `component`, `capabilities`, `configs` and `corpus`,
among others, import without torch, so that configs built on them do too.
"""
