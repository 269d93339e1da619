"""Runs of ours beside baselines: what is held against what, what it says, and how it is shown."""
