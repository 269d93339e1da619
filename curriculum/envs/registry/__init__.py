"""The one place where an environment id becomes a batch of real environments.

A Python plugin adds its own environment with one call:

    register_env("Maze", lambda **kwargs: MazeEnv(**kwargs))

Ids that a package or a plugin registers with Gymnasium need no call at all.
"""

from __future__ import annotations

import importlib
import os
import re
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from curriculum.envs import lunar_lander
from curriculum.envs.action_table import tabled
from curriculum.envs.aliases import AtariGame, atari_game, resolve
from curriculum.envs.batch import Batch, Core
from curriculum.envs.gym.faults import fault_of
from curriculum.envs.interface import Screen, VectorEnv
from curriculum.envs.lap import LAP_FACTS
from curriculum.envs.registry.order import Order
from curriculum.envs.stacking import stacked
from curriculum.errors import ComponentMissing, ConfigError
from diagnostics.cores import available_cores

if TYPE_CHECKING:
    import gymnasium

    from curriculum.envs.gym.singles import SingleEnv
    from curriculum.envs.gym.view import View

Notice = Callable[[str], None]
Make = Callable[..., "gymnasium.Env"]

_REGISTERED: dict[str, Make] = {}

ATARI_FRAMES_PER_SECOND, USUAL_FRAMES_PER_SECOND = 60.0, 30.0
"""Of a television set in America, and where an environment does not say."""

_GYMNASIUM = 'pip install "gymnasium[box2d]"'
_ALE = "pip install ale-py"
_GYMNASIUM_WARNING = re.compile("(?:WARN|ERROR): ([^\x1b]+)")
_BOX2D = ("LunarLander", "CarRacing", "BipedalWalker")
_WORTH_WORKERS_S = 1e-3
_MEASURED_STEPS = 25
_ATARI_KWARGS = {
    "frameskip": "frame_skip",
    "repeat_action_probability": "repeat_action_probability",
    "full_action_space": "full_action_space",
    "num_threads": "num_threads",
}
"""What `kwargs` may hold for an Atari game, and the argument of `AtariGames` that it is."""


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
    workers: int = 0,
    notice: Notice | None = None,
    on_event: Callable[[dict[str, Any]], None] | None = None,
    **options: Any,
) -> VectorEnv:
    """Builds a batch of real environments.

    Args:
        env_id: see `Order`.
        observation: see `Order`.
        num_envs: N.
        workers: supervised processes that hold the environments; 0 steps them in this process,
            -1 decides by how long a step takes. Atari games have native threads instead.
        notice: is told, in one line each, what is not as it was asked for.
        on_event: is told what happens to workers; see `Workers`.
        **options: the other attributes of `Order`.

    Raises:
        ConfigError: there is no such environment, or it cannot be built or used like this.
        ComponentMissing: a package is missing; the text names its pip line.
    """
    order = Order(env_id, observation, **options)
    if order.env_id not in _REGISTERED:
        order = replace(order, env_id=_resolved(order.env_id, notice))
        game = atari_game(order.env_id)
        if game is not None:
            return _make_atari(order, game, num_envs)
    if not workers:
        return _make_gym(order, num_envs, notice)
    # Built here once in any case: what is wrong or worth saying is said before processes start.
    sample = _make_gym(order, 1, notice)
    if workers < 0:
        workers = _measured_workers(sample, num_envs, notice)
    sample.close()
    if not workers:
        return _make_gym(order, num_envs, None)
    from curriculum.envs.workers import Workers

    known = _REGISTERED.get(order.env_id)
    module = known.__module__ if known else ""
    built = (make_in_worker, (order, module), num_envs, workers)
    return Batch(Workers(*built, on_event=on_event))


def make_screen(env_id: str, **options: Any) -> Screen:
    """Builds one environment that shows itself as it is; see `Screen`.

    Args:
        env_id: as it goes by where it is played.
        **options: as for `make_env`, so that both play alike; what an agent sees is no matter.

    Raises:
        ConfigError, ComponentMissing: as `make_env`; it cannot be drawn.
    """
    order = Order(env_id, "screen", **options)
    order = replace(order, grayscale=False, crop=(), pooling="area", frame_stack=1)
    game = None
    if env_id not in _REGISTERED:
        order = replace(order, env_id=_resolved(env_id, None))
        game = atari_game(order.env_id)
    if game is not None:
        return Screen(_make_atari(order, game, 1), ATARI_FRAMES_PER_SECOND)
    env, rate = _made_gym(order, 1, None)
    return Screen(env, rate)


def make_in_worker(order: Order, module: str, num_envs: int) -> VectorEnv:
    """Builds a worker's share of a batch.

    Args:
        order: what is built.
        module: where a custom environment registers itself as it is imported, or "".
        num_envs: environments of this worker.
    """
    if module:
        importlib.import_module(module)
    return _make_gym(order, num_envs, None)


def _measured_workers(sample: VectorEnv, num_envs: int, notice: Notice | None) -> int:
    """Returns how many workers pay off: messages cost about 0.1 ms, so small steps stay here.

    Args:
        sample: one of the environments.
        num_envs: N.
        notice: is told where there are any.
    """
    cores, env_id = available_cores(), sample.spec.env_id
    known = _REGISTERED.get(env_id)
    if cores == 1 or num_envs == 1 or (known and known.__module__ == "__main__"):
        return 0
    step_s = _step_seconds(sample)
    workers = min(cores, num_envs) if step_s * num_envs > _WORTH_WORKERS_S else 0
    if notice and workers:
        notice(
            f"{env_id}: {num_envs} environments in {workers} worker processes, which was "
            "measured to be faster"
        )
    return workers


def _step_seconds(env: VectorEnv) -> float:
    """Returns the median time of a step."""
    rng = np.random.default_rng(0)
    env.reset([0])
    seconds = []
    for _ in range(_MEASURED_STEPS):
        began = time.perf_counter()
        step = env.step(env.spec.action.sample(rng)[None])
        seconds.append(time.perf_counter() - began)
        if (step.terminated | step.truncated)[0]:
            env.reset([0])
    return statistics.median(seconds)


def _resolved(env_id: str, notice: Notice | None) -> str:
    found, message = resolve(env_id, _installed(env_id))
    if message and notice:
        notice(message)
    return found


def _installed(env_id: str) -> Collection[str]:
    with _needing(env_id, _GYMNASIUM):
        import gymnasium
    return {*gymnasium.registry, *_REGISTERED}


def _make_atari(order: Order, game: AtariGame, num_envs: int) -> VectorEnv:
    env_id = order.env_id
    if order.observation == "state":
        raise ConfigError(
            f"environment {env_id} was asked for its {order.observation}; an Atari game shows "
            "pixels only: set observation: pixels"
        )
    unknown = sorted(set(order.kwargs) - set(_ATARI_KWARGS))
    if unknown:
        raise ConfigError(
            f"environment {env_id} was given env.kwargs {', '.join(unknown)}; an Atari game takes "
            f"{', '.join(_ATARI_KWARGS)} there, the rest are keys of env itself"
        )
    with _needing(env_id, _ALE):
        from curriculum.envs.atari import AtariGames
    options: dict[str, Any] = {
        "frame_skip": game.frame_skip if order.frame_skip == 1 else order.frame_skip,
        "grayscale": order.grayscale,
        "repeat_action_probability": order.repeat_action_probability
        or game.repeat_action_probability,
        "noop_max": order.noop_max,
        "max_episode_steps": order.max_episode_steps,
        "framing": order.framing,
        "maxpool": order.maxpool,
        "whole": order.observation == "screen",
    }
    options |= {_ATARI_KWARGS[name]: value for name, value in order.kwargs.items()}
    return Batch(_shaped(AtariGames(env_id, game.rom, num_envs, **options), order))


def _make_gym(order: Order, num_envs: int, notice: Notice | None) -> VectorEnv:
    return _made_gym(order, num_envs, notice)[0]


def _made_gym(order: Order, num_envs: int, notice: Notice | None) -> tuple[VectorEnv, float]:
    """Returns environments of Gymnasium, and how many frames a second they are made to show."""
    env_id = order.env_id
    with _needing(env_id, _GYMNASIUM):
        from curriculum.envs import car_racing
        from curriculum.envs.gym.view import is_image, view_of

    kwargs = _native_kwargs(order)
    first = _one(env_id, kwargs, notice)
    unseen = order.observation == "pixels" and not is_image(first.observation_space)
    if unseen or order.observation == "screen":
        first.close()
        kwargs = kwargs | {"render_mode": "rgb_array"}
        first = _one(env_id, kwargs, notice)
    envs = [first, *(_one(env_id, kwargs, None) for _ in range(num_envs - 1))]
    racing = env_id == car_racing.NAME and env_id not in _REGISTERED
    if racing and order.observation == "pixels" and not order.framing.plain:
        raise ConfigError(
            f"env.crop was {list(order.crop)} and env.pooling {order.pooling} for {env_id}, which "
            "is drawn here without its bar of indicators and made small by area; expected [] and "
            "area"
        )
    view = view_of(
        env_id,
        first,
        order.observation,
        frame_skip=order.frame_skip,
        grayscale=order.grayscale,
        max_episode_steps=order.max_episode_steps,
        top_rows=car_racing.TRACK_ROWS if racing else 0,
        framing=order.framing,
        notice=notice,
    )
    rate = float(first.metadata.get("render_fps") or USUAL_FRAMES_PER_SECOND)
    return _batch(order, envs, view, notice), rate


def _batch(order: Order, envs: list[gymnasium.Env], view: View, notice: Notice | None) -> VectorEnv:
    """Returns the fastest way to play environments that shows what they show, bit for bit."""
    from curriculum.envs import car_racing
    from curriculum.envs.gym.singles import GymSingle, Singles

    kind = "" if order.env_id in _REGISTERED else f"{order.env_id} {order.observation}"
    if kind == f"{lunar_lander.NAME} state":
        landers = lunar_lander.fast_landers(view.spec, envs, order.max_episode_steps, notice)
        if landers is not None:
            return Batch(_shaped(landers, order))
    singles: list[SingleEnv] = [GymSingle(env, view) for env in envs]
    spec = view.spec
    if kind == f"{car_racing.NAME} pixels":
        look: dict[str, Any] = {"grayscale": order.grayscale, "top_rows": car_racing.TRACK_ROWS}
        frames, spec = order.frame_skip, replace(spec, facts=LAP_FACTS)
        singles = [
            car_racing.CarRacer(env, frames, **look, notice=notice if env is envs[0] else None)
            for env in envs
        ]
    return Batch(_shaped(Singles(spec, singles, notice), order), view.limit)


def _shaped(core: Core, order: Order) -> Core:
    """Returns a core with the actions and the frames that were asked for."""
    return stacked(tabled(core, order.actions), order.frame_stack)


def _native_kwargs(order: Order) -> dict[str, Any]:
    native = lunar_lander.lunar_lander_kwargs(order.env_id, order.continuous)
    if order.max_episode_steps and order.env_id not in _REGISTERED:
        native["max_episode_steps"] = order.max_episode_steps * order.frame_skip
    return {**native, **order.kwargs}


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
        except (Exception, SystemExit) as e:
            raise fault_of(f"environment {env_id}", e, "as it was built") from e
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
    _require_environment(env_id, env)
    if env.render_mode == "rgb_array":
        # Some environments miss their drawing package only when they first draw.
        env.reset(seed=0)
        env.render()
    return env


def _require_environment(env_id: str, env: Any) -> None:
    import gymnasium

    if not isinstance(env, gymnasium.Env):
        raise ConfigError(
            f"environment {env_id} was made as {type(env).__name__}; expected a gymnasium.Env: "
            "correct the function that makes it"
        )
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gymnasium.Space):
            raise ConfigError(
                f"environment {env_id} has the {name} {space!r}; expected a space of "
                "gymnasium.spaces: declare it in the environment"
            )


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
