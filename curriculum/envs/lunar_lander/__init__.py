"""LunarLander: which variant is meant, and a leaner way to play it, bit for bit Gymnasium's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import gymnasium

    from curriculum.envs.interface import EnvSpec
    from curriculum.envs.lunar_lander.batch import Landers
    from curriculum.envs.lunar_lander.flight import FastLander

NAME = "LunarLander-v3"


def lunar_lander_kwargs(env_id: str, continuous: bool) -> dict[str, Any]:
    """Returns the arguments of `gymnasium.make` that the configuration asks for.

    Args:
        env_id: any id; those that are not `NAME` have no variant to choose.
        continuous: throttles of the main and the side engines in [-1, 1] instead of four actions.
    """
    return {"continuous": True} if continuous and env_id == NAME else {}


def fast_lander(
    env: gymnasium.Env,
    frames_per_step: int = 1,
    max_episode_steps: int = 0,
    notice: Callable[[str], None] | None = None,
) -> FastLander | None:
    """Returns what plays like `env`, only faster; None where `env` itself has to be played.

    Args:
        env: what `gymnasium.make` returned, of any id.
        frames_per_step: frames an action is held.
        max_episode_steps: steps after which an episode is truncated; 0 leaves it to `env`.
        notice: is told where the libraries are no longer those that the fast way was made for.
    """
    # Box2D need not be installed where no LunarLander is played.
    from curriculum.envs.lunar_lander.likeness import fits

    if not fits(env, notice):
        return None
    from curriculum.envs.lunar_lander.flight import FastLander

    return FastLander(env, frames_per_step, max_episode_steps)


def fast_landers(
    spec: EnvSpec,
    envs: Sequence[gymnasium.Env],
    max_episode_steps: int = 0,
    notice: Callable[[str], None] | None = None,
) -> Landers | None:
    """Returns the core of a batch that plays like `envs`; None where `fast_lander` gives None.

    Args:
        spec: what they look like from outside, observed by their state.
        envs: N equal ones, as `gymnasium.make` returned them.
        max_episode_steps: see `fast_lander`.
        notice: see `fast_lander`.
    """
    landers = []
    for env in envs:
        lander = fast_lander(env, spec.frames_per_step, max_episode_steps, notice)
        if lander is None:
            return None
        landers.append(lander)
    from curriculum.envs.lunar_lander.batch import Landers

    return Landers(spec, landers)
