"""LunarLander as a batch plays it: Gymnasium's numbers, with little between Box2D and them.

Every sum and product stands in the order of Gymnasium 1.4.0, `envs/box2d/lunar_lander.py` (MIT
licence), whose formulas these are: another order would round differently.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from math import copysign, cos, pi, sin, sqrt, tanh
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.box2d import lunar_lander as stock

from curriculum.envs.lunar_lander.world import HEIGHT, HELIPAD_Y, WIDTH, Scene, Site, raw

Throttles = tuple[float, float]
"""Of the main engine, 0 or 0.5 to 1; of the side engines likewise, the sign is the direction."""
Frame = tuple[tuple[float, ...], float, bool]
"""The eight numbers of an observation, reward, terminated."""

_FPS, _SCALE = stock.FPS, stock.SCALE
_STEP = (1.0 / _FPS, 6 * 30, 2 * 30)
"""Seconds of a frame, rounds of the solver for velocities and for positions."""
_HALF_WIDTH, _HALF_HEIGHT = WIDTH / 2, HEIGHT / 2
_REST_Y = HELIPAD_Y + stock.LEG_DOWN / _SCALE
_ENGINES: tuple[Throttles, ...] = ((0.0, 0.0), (0.0, -1.0), (1.0, 0.0), (0.0, 1.0))
"""What the discrete actions mean."""
_DRAWS = 128

_advance = raw.b2World_Step
_x_of, _y_of = raw.b2Vec2_x_get, raw.b2Vec2_y_get
_angle_of, _spin_of = raw.b2Body___GetAngle, raw.b2Body___GetAngularVelocity
_is_awake = raw.b2Body___IsAwake
_push, _turn, _kick = (
    raw.b2Body_ApplyForceToCenter,
    raw.b2Body_ApplyTorque,
    raw.b2Body_ApplyLinearImpulse,
)


class FastLander:
    """Plays what `gymnasium.make` returned, bit for bit, without stepping it (a `SingleEnv`).

    Args:
        env: what `likeness.fits` accepts; it is asked how it was made, and closed in the end.
        frames_per_step: frames an action is held.
        max_episode_steps: steps after which an episode is truncated; 0 leaves it to `env`.
    """

    def __init__(
        self, env: gymnasium.Env, frames_per_step: int = 1, max_episode_steps: int = 0
    ) -> None:
        native: Any = env.unwrapped
        self._env = env
        self._further_frames = range(1, frames_per_step)
        self._limit = min(frame_limit(env), max_episode_steps * frames_per_step or sys.maxsize)
        self._continuous = bool(native.continuous)
        self._wind = (native.wind_power, native.turbulence_power) if native.enable_wind else None
        self._site = Site(native.gravity)
        self._play = _unstarted
        self._elapsed = 0

    def reset(self, seed: int) -> np.ndarray:
        """Starts an episode.

        Args:
            seed: at least 0.

        Returns:
            The first observation, `[8]` float32.
        """
        rng = np.random.Generator(np.random.PCG64(seed))
        heights = [HEIGHT / 2 * share for share in rng.random(12).tolist()]
        push = rng.uniform(-stock.INITIAL_RANDOM, stock.INITIAL_RANDOM, size=2).tolist()
        wind = Wind(rng, *self._wind) if self._wind else None
        flight = _flight(self._site, self._site.build(heights, push), rng, wind)
        first, _, _ = next(flight)
        self._play: Callable[[Throttles], Frame] = flight.send
        self._elapsed = 0
        return np.array(first, np.float32)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        """Holds an action for the frames of a step, or until the episode ends.

        Args:
            action: int64 scalar, or `[2]` float32.

        Returns:
            The observation `[8]` float32, summed reward, terminated, truncated.

        Raises:
            RuntimeError: there was no reset.
        """
        seen, total, terminated, truncated = self.play(action.tolist())
        return np.array(seen, np.float32), total, terminated, truncated

    def play(self, action: Any) -> tuple[tuple[float, ...], float, bool, bool]:
        """Does what `step` does with Python's own numbers: an int or two floats, eight floats."""
        throttles = _throttles(*action) if self._continuous else _ENGINES[action]
        seen, total, terminated = self._play(throttles)
        self._elapsed += 1
        for _ in self._further_frames:
            if terminated or self._elapsed >= self._limit:
                break
            seen, reward, terminated = self._play(throttles)
            self._elapsed += 1
            total += reward
        return seen, total, terminated, self._elapsed >= self._limit

    def close(self) -> None:
        """Lets the world go; may be called twice."""
        self._play = _unstarted
        self._env.close()


def frame_limit(env: gymnasium.Env) -> int:
    """Returns the frames after which an environment truncates; `sys.maxsize` where it does not."""
    limit = sys.maxsize
    while isinstance(env, gymnasium.Wrapper):
        if isinstance(env, gymnasium.wrappers.TimeLimit):
            limit = min(limit, env._max_episode_steps)
        env = env.env
    return limit


class Wind:
    """The wind of one episode.

    Args:
        rng: where its two phases are drawn from.
        push: largest force, in newtons.
        turn: largest torque, in newton metres.
    """

    def __init__(self, rng: np.random.Generator, push: float, turn: float) -> None:
        self._powers = (push, turn)
        self._phases = (int(rng.integers(-9999, 9999)), int(rng.integers(-9999, 9999)))

    def blow(self, hull: Any) -> None:
        """Pushes and turns the hull for one frame."""
        along, around = self._phases
        push, turn = self._powers
        _push(hull, (tanh(sin(0.02 * along) + sin(pi * 0.01 * along)) * push, 0.0), True)
        _turn(hull, tanh(sin(0.02 * around) + sin(pi * 0.01 * around)) * turn, True)
        self._phases = (along + 1, around + 1)


def _flight(
    site: Site, scene: Scene, rng: np.random.Generator, wind: Wind | None
) -> Generator[Frame, Throttles, None]:
    """Plays one episode; the first frame is part of a reset, its engines are off.

    A coroutine, because what an episode remembers between two frames is nobody else's affair and
    is nowhere nearer than in local variables.
    """
    _world, engine, hull, position, velocity = scene
    contacts = site.contacts
    draws = _draws(rng)
    x = y = angle = shaping = main = side = 0.0
    frame = 0
    while True:
        if wind and 1.0 not in contacts.legs:
            wind.blow(hull)
        if main or side:
            _fire(hull, (x, y, angle), (main, side), draws(frame))
        _advance(engine, *_STEP)
        frame += 1
        x, y, angle = _x_of(position), _y_of(position), _angle_of(hull)
        left, right = contacts.legs
        a, b = (x - _HALF_WIDTH) / _HALF_WIDTH, (y - _REST_Y) / _HALF_HEIGHT
        c, d = _x_of(velocity) * _HALF_WIDTH / _FPS, _y_of(velocity) * _HALF_HEIGHT / _FPS
        before, shaping = (
            shaping,
            -100 * sqrt(a * a + b * b)
            - 100 * sqrt(c * c + d * d)
            - 100 * abs(angle)
            + 10 * left
            + 10 * right,
        )
        terminated, reward = False, shaping - before - main * 0.30 - abs(side) * 0.03
        if contacts.crashed or abs(a) >= 1.0:
            terminated, reward = True, -100.0
        if not _is_awake(hull):
            terminated, reward = True, 100.0
        spin = 20.0 * _spin_of(hull) / _FPS
        main, side = yield (a, b, c, d, angle, spin, left, right), reward, terminated


def _draws(rng: np.random.Generator) -> Callable[[int], tuple[float, float]]:
    """Returns what gives the two draws of a frame, each in [-1, 1] / SCALE.

    Gymnasium draws them in every frame, needed or not, and nothing else draws after a reset; so
    they are drawn ahead, and only where an engine burns.
    """
    drawn: list[float] = []

    def of_frame(frame: int) -> tuple[float, float]:
        while 2 * frame >= len(drawn):
            drawn.extend((-1.0 + 2.0 * share) / _SCALE for share in rng.random(_DRAWS).tolist())
        return drawn[2 * frame], drawn[2 * frame + 1]

    return of_frame


def _fire(
    hull: Any,
    pose: tuple[float, float, float],
    throttles: Throttles,
    dispersion: tuple[float, float],
) -> None:
    """Applies the impulses of the engines to a hull at x, y and angle."""
    x, y, angle = pose
    main, side = throttles
    first, second = dispersion
    s, c = sin(angle), cos(angle)
    if main:
        offset = stock.MAIN_ENGINE_Y_LOCATION / _SCALE + 2 * first
        ox, oy = s * offset + -c * second, -c * offset - s * second
        power = stock.MAIN_ENGINE_POWER
        _kick(hull, (-ox * power * main, -oy * power * main), (x + ox, y + oy), True)
    if side:
        strength = abs(side)
        offset = 3 * second + copysign(stock.SIDE_ENGINE_AWAY, side) / _SCALE
        ox, oy = s * first + -c * offset, -c * first - s * offset
        power = stock.SIDE_ENGINE_POWER
        # The 17 is Gymnasium's, whose comment there calls it an oversight.
        place = (x + ox - s * 17 / _SCALE, y + oy + c * stock.SIDE_ENGINE_HEIGHT / _SCALE)
        _kick(hull, (-ox * power * strength, -oy * power * strength), place, True)


def _throttles(main: float, side: float) -> Throttles:
    """Returns the throttles that a continuous action means, 0 where an engine is off."""
    main = (min(main, 1.0) + 1.0) * 0.5 if main > 0.0 else 0.0
    side = max(-1.0, min(side, 1.0)) if abs(side) > 0.5 else 0.0
    return main, side


def _unstarted(_: Throttles) -> Frame:
    raise RuntimeError("LunarLander was stepped before its first reset: call reset first")
