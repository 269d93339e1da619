"""How an environment of Gymnasium is seen, by its pixels or its state, and acted on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from curriculum.envs.aliases import DEFAULT_EPISODE_STEPS
from curriculum.envs.area import luminance, resize_area
from curriculum.envs.framing import PLAIN, SIZE, Framing
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.errors import ConfigError, EnvironmentFault

Notice = Callable[[str], None]

_PRACTICALLY_INFINITE = 1e6


@dataclass(frozen=True)
class View:
    """How an environment of Gymnasium is seen and acted on.

    Attributes:
        spec: what it looks like from outside.
        see: makes an observation of one of the environment's own.
        native_action: makes one of the environment's own actions.
        limit: steps after which whoever plays it truncates an episode; 0 where the environment
            does that by itself.
    """

    spec: EnvSpec
    see: Callable[[gymnasium.Env, Any], np.ndarray]
    native_action: Callable[[np.ndarray], Any]
    limit: int = 0


def view_of(
    env_id: str,
    env: gymnasium.Env,
    observation: str,
    *,
    frame_skip: int = 1,
    grayscale: bool = True,
    max_episode_steps: int = 0,
    top_rows: int = 0,
    framing: Framing = PLAIN,
    notice: Notice | None = None,
) -> View:
    """Returns how an environment is seen and acted on.

    Args:
        env_id: the name it goes by.
        env: one of the environments.
        observation: `pixels` (the observation if it is an image, else what `render` draws,
            resized to 64 by 64), `state` (the observation, flattened to float32) or `screen` (what
            `render` draws, as large as it is).
        frame_skip: frames an action is held.
        grayscale: one channel instead of three (pixels).
        max_episode_steps: steps after which an episode is truncated; 0 leaves it to `env`, or is
            `DEFAULT_EPISODE_STEPS` where that declares no limit.
        top_rows: rows of the image that are kept; 0 is all.
        framing: what of the image is seen and how it is made small (pixels); another than
            the plain one looks at the grey of colours, not at the colours of its grey.
        notice: is told where continuous actions had to be given bounds, and episodes a limit.

    Raises:
        ConfigError: the spaces cannot be used.
    """
    action, native_action = _actions_of(env_id, env.action_space, notice)
    shape, see = _sight(env_id, env, observation, grayscale, top_rows, framing)
    kind = "state" if observation == "state" else "pixels"
    own = None if max_episode_steps else _own_limit(env, frame_skip)
    limit = max_episode_steps or (0 if own else DEFAULT_EPISODE_STEPS)
    if notice and not (own or max_episode_steps):
        notice(
            f"{env_id} declares no limit of its episodes: one that goes on is truncated after "
            f"{limit:,} steps (env.max_episode_steps)"
        )
    spec = EnvSpec(env_id, kind, shape, action, frame_skip, own or limit)
    return View(spec, see, native_action, limit)


def is_image(space: spaces.Space) -> bool:
    """Whether observations are uint8 images, `[H, W]` or `[H, W, 1 or 3]`."""
    if not isinstance(space, spaces.Box) or space.dtype != np.uint8:
        return False
    shape = space.shape
    return min(shape[:2], default=0) > 3 and (
        len(shape) == 2 or (len(shape) == 3 and shape[2] in (1, 3))
    )


def _own_limit(env: gymnasium.Env, frame_skip: int) -> int | None:
    """Returns the steps after which an environment truncates, None if it does not say."""
    frames = env.spec.max_episode_steps if env.spec else None
    while frames is None and isinstance(env, gymnasium.Wrapper):
        frames = getattr(env, "_max_episode_steps", None)
        env = env.env
    return None if frames is None else -(-frames // frame_skip)


def _actions_of(
    env_id: str, space: spaces.Space, notice: Notice | None
) -> tuple[ActionSpec, Callable[[np.ndarray], Any]]:
    """Returns the action space, and what turns one of its actions into the environment's own."""
    if isinstance(space, spaces.Discrete):
        start, integer = np.int64(space.start), np.dtype(space.dtype).type
        return ActionSpec("discrete", int(space.n)), lambda action: integer(start + action)
    if not isinstance(space, spaces.Box) or not np.issubdtype(space.dtype, np.floating):
        raise ConfigError(
            f"environment {env_id} has the action space {space}; expected Discrete or a Box of "
            "floats: wrap the environment and register it with curriculum.envs.registry"
        )
    low, high = _bounds(space)
    if notice and not (np.array_equal(low, space.low) and np.array_equal(high, space.high)):
        notice(f"{env_id} has actions without bounds: there they are kept within [-1, 1]")
    action = ActionSpec(
        "continuous", low.size, tuple(low.ravel().tolist()), tuple(high.ravel().tolist())
    )
    if not np.less(*action.bounds).all():
        raise ConfigError(
            f"environment {env_id} has the action space {space}, where a dimension has no width; "
            "expected low < high: wrap the environment and leave that dimension out"
        )
    shape, dtype, least, most = space.shape, space.dtype, space.low, space.high
    # The bounds are the space's own numbers: what was rounded outwards comes back to them.
    return action, lambda chosen: np.minimum(
        np.maximum(chosen.reshape(shape).astype(dtype), least), most
    )


def _bounds(space: spaces.Box) -> tuple[np.ndarray, np.ndarray]:
    """Returns the bounds, -1 and 1 where there is none or none that means anything."""
    low, high = space.low.astype(np.float64), space.high.astype(np.float64)
    low = np.where(low > -_PRACTICALLY_INFINITE, low, np.minimum(-1.0, high - 2.0))
    high = np.where(high < _PRACTICALLY_INFINITE, high, np.maximum(1.0, low + 2.0))
    return low, high


def _sight(
    env_id: str,
    env: gymnasium.Env,
    observation: str,
    grayscale: bool,
    top_rows: int,
    framing: Framing,
) -> tuple[tuple[int, ...], Callable[[gymnasium.Env, Any], np.ndarray]]:
    """Returns an observation's shape, and what makes one of the environment's own."""
    space = env.observation_space
    if observation == "state":
        return _flat_shape(env_id, space), lambda _, native: np.asarray(
            spaces.flatten(space, native), np.float32
        )
    if observation == "screen":
        return _screen(env_id, env)
    shape = (SIZE, SIZE, 1 if grayscale else 3)
    if not is_image(space) and env.render_mode != "rgb_array":
        raise ConfigError(
            f"environment {env_id} shows no pixels: its observations are {space} and its render "
            f"mode is {env.render_mode}; expected images [H, W] or [H, W, 1 or 3] of uint8, or "
            "rgb_array: set observation: state"
        )
    picture: Callable[[np.ndarray], np.ndarray]
    if framing.plain:
        picture = partial(_picture, grayscale=grayscale, top_rows=top_rows)
    else:
        picture = _framed(env_id, env, framing, grayscale)
    if is_image(space):
        return shape, lambda _, native: picture(native)
    return shape, lambda shown, _: picture(_rendered(env_id, shown))


def _screen(
    env_id: str, env: gymnasium.Env
) -> tuple[tuple[int, ...], Callable[[gymnasium.Env, Any], np.ndarray]]:
    """Returns the shape of what an environment draws, `[H, W, 3]`, and what has it drawn."""
    env.reset(seed=0)
    height, width = _rendered(env_id, env).shape[:2]

    def see(shown: gymnasium.Env, _: Any) -> np.ndarray:
        picture = _rendered(env_id, shown)
        return np.repeat(picture, 3, axis=2) if picture.shape[2] == 1 else picture.copy()

    return (height, width, 3), see


def _framed(
    env_id: str, env: gymnasium.Env, framing: Framing, grayscale: bool
) -> Callable[[np.ndarray], np.ndarray]:
    """Returns what makes `[64, 64, C]` of an image as the framing says.

    Raises:
        ConfigError: the framing does not fit the environment's images.
    """
    shrinking = lru_cache(partial(framing.shrinking, env_id))

    def picture(frame: np.ndarray) -> np.ndarray:
        image = frame if frame.ndim == 3 else frame[..., None]
        if grayscale and image.shape[2] == 3:
            image = luminance(image)
        small = shrinking(*image.shape[:2])(image[None])[0]
        return small if grayscale or small.shape[2] == 3 else np.repeat(small, 3, axis=2)

    space = env.observation_space
    shown = np.zeros(space.shape or (), np.uint8) if is_image(space) else _rendered(env_id, env)
    picture(shown)
    return picture


def _flat_shape(env_id: str, space: spaces.Space) -> tuple[int, ...]:
    if not space.is_np_flattenable:
        raise ConfigError(
            f"environment {env_id} has observations {space}, which have no fixed size; expected "
            "a space that gymnasium.spaces.flatten makes a vector of: wrap the environment"
        )
    return (spaces.flatdim(space),)


def _rendered(env_id: str, env: gymnasium.Env) -> np.ndarray:
    frame = env.render()
    array = frame if isinstance(frame, np.ndarray) else np.zeros(0)
    image = array.ndim == 3 and array.shape[-1] in (1, 3) and array.size
    if not image or array.dtype != np.uint8:
        what = f"{array.dtype} {array.shape}" if array is frame else type(frame).__name__
        raise EnvironmentFault(
            f"environment {env_id} rendered {what}; expected an image [H, W, 3] of uint8: correct "
            "its render, or set observation: state"
        )
    return array


def _picture(frame: np.ndarray, grayscale: bool, top_rows: int) -> np.ndarray:
    """Returns `[64, 64, C]` uint8 of an image `[H, W]` or `[H, W, 1 or 3]`."""
    image = frame if frame.ndim == 3 else frame[..., None]
    small = resize_area(image[: top_rows or None], SIZE, SIZE)
    if grayscale:
        return luminance(small) if small.shape[2] == 3 else small
    return np.repeat(small, 3, axis=2) if small.shape[2] == 1 else small
