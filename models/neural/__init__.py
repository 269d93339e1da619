"""How the torch models learn: one descent for all, guarded Adam, devices, precision, state."""
