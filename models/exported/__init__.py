"""V, M and C as plain modules of torch, for formats that other programs read."""
