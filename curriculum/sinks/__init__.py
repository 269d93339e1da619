"""Where a run's numbers and pictures go besides its own ledger: TensorBoard and other trackers."""
