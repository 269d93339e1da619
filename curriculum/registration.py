"""What Gymnasium calls as it is imported, to know our environments; it imports nothing itself."""

from __future__ import annotations


def register() -> None:
    """Makes the dreams of learned agents known as `curriculum/Dream-v0`."""
    import gymnasium

    gymnasium.register("Dream-v0", "curriculum.agent.dream_env:open_dream")
