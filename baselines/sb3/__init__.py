"""Learners of Stable-Baselines3 in our environments, trained so that they can be gone on with."""
