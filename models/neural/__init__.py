"""Parts that the torch models share: precision, initial weights, guarded Adam, exact state."""
