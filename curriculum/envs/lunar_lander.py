"""LunarLander: which variant an id and the configuration mean."""

from __future__ import annotations

from typing import Any

NAME = "LunarLander-v3"


def lunar_lander_kwargs(env_id: str, continuous: bool) -> dict[str, Any]:
    """Returns the arguments of `gymnasium.make` that the configuration asks for.

    Args:
        env_id: any id; those that are not `NAME` have no variant to choose.
        continuous: throttles of the main and the side engines in [-1, 1] instead of four actions.
    """
    return {"continuous": True} if continuous and env_id == NAME else {}
