"""Parts that the numpy models share: matrix products on one thread, pooling, exact state."""
