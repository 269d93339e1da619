"""The one place where an environment id becomes a batch of real environments.

A Python plugin adds its own environment with one call:

    register_env("Maze", lambda **kwargs: MazeEnv(**kwargs))

Ids that a package or a plugin registers with Gymnasium need no call at all.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from curriculum.envs.aliases import AtariGame, atari_game, resolve
from curriculum.envs.interface import VectorEnv
from curriculum.envs.lunar_lander import lunar_lander_kwargs
from curriculum.errors import ComponentMissing, ConfigError

if TYPE_CHECKING:
    import gymnasium

Notice = Callable[[str], None]
Make = Callable[..., "gymnasium.Env"]

_REGISTERED: dict[str, Make] = {}

_GYMNASIUM = 'pip install "gymnasium[box2d]"'
_ALE = "pip install ale-py"
_GYMNASIUM_WARNING = re.compile("(?:WARN|ERROR): ([^\x1b]+)")
_BOX2D = ("LunarLander", "CarRacing", "BipedalWalker")
_ATARI_KWARGS = {
    "frameskip": "frame_skip",
    "repeat_action_probability": "repeat_action_probability",
    "full_action_space": "full_action_space",
    "num_threads": "num_threads",
}
"""What `kwargs` may hold for an Atari game, and the argument of `AtariVectorEnv` that it is."""


def register_env(env_id: str, make: Make) -> None:
    """Makes a custom environment known under an id, in place of any other of that name.

    Args:
        env_id: what tasks call it.
        make: called with the task's `env.kwargs`; where the task sees pixels and observations
            are no images, again with `render_mode="rgb_array"` added. Returns a
            `gymnasium.Env` whose episodes depend only on the seed given to `reset`.
    """
    _REGISTERED[env_id] = make


def registered() -> Mapping[str, Make]:
    """Returns the custom environments by id, a live view that cannot be written to."""
    return MappingProxyType(_REGISTERED)


def make_env(
    env_id: str,
    observation: str,
    num_envs: int,
    *,
    frame_skip: int = 1,
    grayscale: bool = True,
    repeat_action_probability: float = 0.0,
    noop_max: int = 30,
    continuous: bool = False,
    max_episode_steps: int = 0,
    kwargs: Mapping[str, Any] = MappingProxyType({}),
    notice: Notice | None = None,
) -> VectorEnv:
    """Builds a batch of real environments.

    Args:
        env_id: an Atari id, a custom one, or any of Gymnasium's; old and misspelled ids are
            mapped to installed ones.
        observation: `pixels` or `state`.
        num_envs: N.
        frame_skip: frames an action is held; for `ALE/*-v5` 1 means the id's own 4.
        grayscale: one channel instead of three (pixels).
        repeat_action_probability: sticky actions of Atari; 0 means the id's own, which is 0.25
            for `ALE/*-v5`.
        noop_max: idle frames before an Atari episode, at most.
        continuous: the continuous variant of LunarLander.
        max_episode_steps: steps after which an episode is truncated; 0 is the environment's own
            limit.
        kwargs: further arguments of `gymnasium.make`; they win over the arguments above.
        notice: is told, in one line each, what is not as it was asked for.

    Raises:
        ConfigError: there is no such environment, or it cannot be built or used like this.
        ComponentMissing: a package is missing; the text names its pip line.
    """
    if env_id not in _REGISTERED:
        env_id = _resolved(env_id, notice)
    options: dict[str, Any] = {
        "frame_skip": frame_skip,
        "grayscale": grayscale,
        "max_episode_steps": max_episode_steps,
    }
    game = None if env_id in _REGISTERED else atari_game(env_id)
    if game is not None:
        sticky = repeat_action_probability or game.repeat_action_probability
        options |= {"repeat_action_probability": sticky, "noop_max": noop_max}
        return _make_atari(env_id, game, observation, num_envs, kwargs, options)
    native = lunar_lander_kwargs(env_id, continuous)
    if max_episode_steps and env_id not in _REGISTERED:
        native["max_episode_steps"] = max_episode_steps * frame_skip
    return _make_gym(env_id, observation, num_envs, {**native, **kwargs}, options, notice)


def _resolved(env_id: str, notice: Notice | None) -> str:
    found, message = resolve(env_id, _installed(env_id))
    if message and notice:
        notice(message)
    return found


def _installed(env_id: str) -> Collection[str]:
    with _needing(env_id, _GYMNASIUM):
        import gymnasium
    return {*gymnasium.registry, *_REGISTERED}


def _make_atari(
    env_id: str,
    game: AtariGame,
    observation: str,
    num_envs: int,
    kwargs: Mapping[str, Any],
    options: dict[str, Any],
) -> VectorEnv:
    if observation != "pixels":
        raise ConfigError(
            f"environment {env_id} was asked for its {observation}; an Atari game shows pixels "
            "only: set observation: pixels"
        )
    unknown = sorted(set(kwargs) - set(_ATARI_KWARGS))
    if unknown:
        raise ConfigError(
            f"environment {env_id} was given env.kwargs {', '.join(unknown)}; an Atari game takes "
            f"{', '.join(_ATARI_KWARGS)} there, the rest are keys of env itself"
        )
    with _needing(env_id, _ALE):
        from curriculum.envs.atari import AtariVectorEnv
    if options["frame_skip"] == 1:
        options["frame_skip"] = game.frame_skip
    options |= {_ATARI_KWARGS[name]: value for name, value in kwargs.items()}
    return AtariVectorEnv(env_id, game.rom, num_envs, **options)


def _make_gym(
    env_id: str,
    observation: str,
    num_envs: int,
    kwargs: dict[str, Any],
    options: dict[str, Any],
    notice: Notice | None,
) -> VectorEnv:
    with _needing(env_id, _GYMNASIUM):
        from curriculum.envs import car_racing
        from curriculum.envs.gym import GymVectorEnv, is_image

    first = _one(env_id, kwargs, notice)
    if observation == "pixels" and not is_image(first.observation_space):
        first.close()
        kwargs = kwargs | {"render_mode": "rgb_array"}
        first = _one(env_id, kwargs, notice)
    envs = [first, *(_one(env_id, kwargs, None) for _ in range(num_envs - 1))]
    if env_id == car_racing.NAME and observation == "pixels":
        options |= {"top_rows": car_racing.TRACK_ROWS, "advance": car_racing.hold_drawing_last}
    return GymVectorEnv(env_id, envs, observation, notice=notice, **options)


def _one(env_id: str, kwargs: Mapping[str, Any], notice: Notice | None) -> gymnasium.Env:
    """Builds one environment; what Gymnasium warns of becomes notices."""
    import gymnasium

    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            env = _built(env_id, kwargs)
        except (ImportError, gymnasium.error.DependencyNotInstalled) as e:
            pip_line = f": {_GYMNASIUM}" if env_id.startswith(_BOX2D) else ""
            raise ComponentMissing(
                f"environment {env_id} cannot be built: {e}; install what is missing{pip_line}"
            ) from e
        except (TypeError, gymnasium.error.Error) as e:
            raise ConfigError(
                f"environment {env_id} could not be built with {dict(kwargs) or 'no arguments'}: "
                f"{e}; correct its id or its env.kwargs"
            ) from e
    for message in dict.fromkeys(str(warning.message) for warning in caught):
        # Gymnasium colours what it says; the rest are the birth cries of compiled packages.
        spoken = _GYMNASIUM_WARNING.search(message)
        if notice and spoken:
            notice(f"{env_id}: {spoken[1]}")
    return env


def _built(env_id: str, kwargs: Mapping[str, Any]) -> gymnasium.Env:
    import gymnasium

    if kwargs.get("render_mode") == "rgb_array" and _headless():
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")  # else SDL looks for a screen, and moans
    if env_id in _REGISTERED:
        env = _REGISTERED[env_id](**kwargs)
    else:
        env = gymnasium.make(env_id, disable_env_checker=True, **kwargs)
    if env.render_mode == "rgb_array":
        # Some environments miss their drawing package only when they first draw.
        env.reset(seed=0)
        env.render()
    return env


def _headless() -> bool:
    screens = os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    return sys.platform == "linux" and not screens


@contextmanager
def _needing(env_id: str, pip_line: str) -> Iterator[None]:
    """Turns a package that cannot be imported into `ComponentMissing`."""
    try:
        yield
    except ImportError as e:
        raise ComponentMissing(
            f"environment {env_id} cannot be built: {e}; install what is missing: {pip_line}"
        ) from e
