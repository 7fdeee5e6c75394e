"""Networks, and the building blocks that representations and baselines share with them."""
