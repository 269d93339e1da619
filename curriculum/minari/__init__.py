"""Episodes in Minari's public format: what a run collected for others, and theirs to learn from."""
