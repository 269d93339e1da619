"""LunarLander in numpy: a rigid body with three engines, two sprung legs and ground that can kill.

SI units throughout; the origin is the middle of the landing pad, the body is where its centre of
mass is. Observation, reward and engine geometry follow Gymnasium's documentation of LunarLander.
Feet are springs and dampers with Coulomb friction, integrated by semi-implicit Euler; the ground
pushes straight up, also on slopes.
"""

from __future__ import annotations

import numpy as np

from curriculum.envs.batch import Mask, Rows
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.envs.simulation.game import Numbers, Streams

FPS = 50
SUBSTEPS = 2
HALF_WIDTH, HALF_HEIGHT = 10.0, 20.0 / 3.0
START_HEIGHT, REST_HEIGHT, CEILING = 10.0, 0.6, 20.0
START_SPEED = 4.0
GRAVITY = 10.0
MAIN_THRUST, SIDE_THRUST, SIDE_SPIN = 17.5, 2.4, 6.0
THRUST_NOISE, THRUST_LEAN = 0.2, 1.5
GYRATION = 0.18
SPRING, DAMPING = 128.0, 12.0
GRIP, FRICTION = 10.0, 0.8
STILL_SPEED, STILL_FRAMES = 0.15, 25
CRASH, LANDED = -100.0, 100.0
MAIN_FUEL, SIDE_FUEL = 0.30, 0.03

X, Y, VX, VY, ANGLE, SPIN, LEG_A, LEG_B, STILL, SHAPING, MAIN, SIDE = range(12)
_FEET = np.array([[-0.667, -0.6], [0.667, -0.6]])
_HULL = np.array([[-0.567, -0.333], [0.567, -0.333], [-0.467, 0.567], [0.467, 0.567]])
_CORNERS = np.concatenate([_FEET, _HULL])
_TERRAIN_POINTS = 11
_PAD_POINTS = slice(4, 7)


class Lander:
    """N landings (`Game`), with the reward that Gymnasium documents for LunarLander.

    The reward is the change of -100 (distance + speed + |angle|) + 10 per leg on the ground, in
    units of the observation, less 0.3 for a frame of the main engine and 0.03 for one of a side
    engine, and -100 or +100 for a crash (or flying off, here also upwards) or coming to rest.

    The observation is `[8]` float32: x, y (0 at rest on the pad), vx, vy, angle, angular velocity,
    left leg down, right leg down. Actions are no-op, left, main, right engine; or, continuous, main
    and lateral throttle in [-1, 1], where the main engine starts at 0 with half its thrust and a
    side engine at 0.5.

    Args:
        streams: random streams of the N games.
        num_envs: N.
        continuous: Box(2) instead of Discrete(4).
        frames_per_step: frames an action is held.
        max_episode_steps: the time limit in steps.
    """

    def __init__(
        self,
        streams: Streams,
        num_envs: int,
        continuous: bool,
        frames_per_step: int,
        max_episode_steps: int,
    ) -> None:
        self._streams = streams
        self._continuous = continuous
        self._everyone = np.arange(num_envs)
        self.numbers = np.zeros((SIDE + 1, num_envs))
        self.ground = np.zeros((num_envs, _TERRAIN_POINTS))
        space = (
            ActionSpec("continuous", 2, (-1.0, -1.0), (1.0, 1.0))
            if continuous
            else ActionSpec("discrete", 4)
        )
        self.spec = EnvSpec(
            env_id="simulation/lunarlander",
            observation="state",
            shape=(8,),
            action=space,
            frames_per_step=frames_per_step,
            max_episode_steps=max_episode_steps,
        )

    def begin(self, rows: Rows) -> None:
        n = self.numbers
        n[:, rows] = 0.0
        n[Y, rows] = START_HEIGHT
        n[VX : VY + 1, rows] = START_SPEED * (2 * self._streams.draw(rows, 2) - 1)
        heights = HALF_HEIGHT * (self._streams.draw(rows, _TERRAIN_POINTS + 2) - 0.5)
        smooth = (heights[:-2] + heights[1:-1] + heights[2:]) / 3
        smooth[_PAD_POINTS] = 0.0
        self.ground[rows] = smooth.T
        n[SHAPING, rows] = self._shaping()[rows]

    def frame(self, actions: np.ndarray, running: Mask) -> tuple[Numbers, Mask]:
        n = self.numbers
        self._throttle(actions)
        self._fire(running)
        touched = np.zeros(n.shape[1], np.bool_)
        for _ in range(SUBSTEPS):
            touched |= self._move(1.0 / (FPS * SUBSTEPS))
        before = n[SHAPING].copy()
        n[SHAPING] = self._shaping()
        rewards = n[SHAPING] - before - MAIN_FUEL * n[MAIN] - SIDE_FUEL * np.abs(n[SIDE])
        crashed = touched | (np.abs(n[X]) >= HALF_WIDTH) | (n[Y] >= CEILING)
        landed = self._resting() & ~crashed
        rewards = np.where(crashed, CRASH, np.where(landed, LANDED, rewards))
        return rewards, crashed | landed

    def observe(self, rows: Rows) -> np.ndarray:
        x, y, vx, vy, angle, spin, leg_a, leg_b = self._scaled()
        columns = np.stack([x, y, vx, vy, angle, spin, leg_a, leg_b], axis=1)
        return columns[rows].astype(np.float32)

    def _throttle(self, actions: np.ndarray) -> None:
        """Sets the main engine's power in [0, 1] and the side engines' in [-1, 1]."""
        n = self.numbers
        if not self._continuous:
            n[MAIN] = actions == 2
            n[SIDE] = (actions == 3).astype(np.float64) - (actions == 1)
            return
        main, side = actions.T
        n[MAIN] = np.where(main > 0, 0.5 + 0.5 * main, 0.0)
        n[SIDE] = np.where(np.abs(side) > 0.5, side, 0.0)

    def _fire(self, running: Mask) -> None:
        """Adds one frame of thrust; a main engine that burns is uneven and leans a little."""
        n = self.numbers
        noise = np.zeros((2, n.shape[1]))
        burning = np.flatnonzero((n[MAIN] > 0) & running)
        noise[:, burning] = 2 * self._streams.draw(burning, 2) - 1
        along = n[MAIN] * MAIN_THRUST * (1 + THRUST_NOISE * noise[0])
        across = n[MAIN] * THRUST_LEAN * noise[1] + n[SIDE] * SIDE_THRUST
        sine, cosine = np.sin(n[ANGLE]), np.cos(n[ANGLE])
        n[VX] += (across * cosine - along * sine) / FPS
        n[VY] += (across * sine + along * cosine) / FPS
        n[SPIN] -= n[SIDE] * SIDE_SPIN / FPS

    def _move(self, seconds: float) -> Mask:
        """Moves the body under gravity and ground; returns where the hull touched the ground."""
        n = self.numbers
        sine, cosine = np.sin(n[ANGLE]), np.cos(n[ANGLE])
        body_x, body_y = _CORNERS[:, 0, None], _CORNERS[:, 1, None]
        arm_x = body_x * cosine - body_y * sine
        arm_y = body_x * sine + body_y * cosine
        depth = self._ground_at(n[X] + arm_x) - n[Y] - arm_y
        feet = slice(0, len(_FEET))
        arm_x, arm_y, sunk = arm_x[feet], arm_y[feet], depth[feet]
        down = sunk > 0
        rise = n[VY] + n[SPIN] * arm_x
        slide = n[VX] - n[SPIN] * arm_y
        push = np.where(down, np.maximum(SPRING * sunk - DAMPING * rise, 0.0), 0.0)
        drag = np.clip(-GRIP * slide, -FRICTION * push, FRICTION * push)
        n[VX] += (drag[0] + drag[1]) * seconds
        n[VY] += (push[0] + push[1] - GRAVITY) * seconds
        turn = arm_x * push - arm_y * drag
        n[SPIN] += (turn[0] + turn[1]) / GYRATION * seconds
        n[X] += n[VX] * seconds
        n[Y] += n[VY] * seconds
        n[ANGLE] += n[SPIN] * seconds
        n[LEG_A : LEG_B + 1] = down
        return (depth[len(_FEET) :] > 0).any(axis=0)

    def _ground_at(self, x: Numbers) -> Numbers:
        """Returns the height of the ground under `[k, N]` points, by linear interpolation."""
        spacing = 2 * HALF_WIDTH / (_TERRAIN_POINTS - 1)
        place = np.clip((x + HALF_WIDTH) / spacing, 0.0, _TERRAIN_POINTS - 1.001)
        point = place.astype(np.intp)
        left = self.ground[self._everyone, point]
        return left + (place - point) * (self.ground[self._everyone, point + 1] - left)

    def _scaled(self) -> tuple[Numbers, ...]:
        """Returns the eight numbers of the observation, `[N]` each, in its units."""
        n = self.numbers
        return (
            n[X] / HALF_WIDTH,
            (n[Y] - REST_HEIGHT) / HALF_HEIGHT,
            n[VX] * HALF_WIDTH / FPS,
            n[VY] * HALF_HEIGHT / FPS,
            n[ANGLE],
            n[SPIN] * 20.0 / FPS,
            n[LEG_A],
            n[LEG_B],
        )

    def _shaping(self) -> Numbers:
        x, y, vx, vy, angle, _, leg_a, leg_b = self._scaled()
        distance, speed = np.sqrt(x * x + y * y), np.sqrt(vx * vx + vy * vy)
        return -100.0 * (distance + speed + np.abs(angle)) + 10.0 * (leg_a + leg_b)

    def _resting(self) -> Mask:
        """Counts frames without motion on the ground and returns where there are enough."""
        n = self.numbers
        slow = np.abs(n[VX]) + np.abs(n[VY]) + np.abs(n[SPIN]) < STILL_SPEED
        grounded = (n[LEG_A] + n[LEG_B]) > 0
        n[STILL] = np.where(slow & grounded, n[STILL] + 1, 0.0)
        return n[STILL] >= STILL_FRAMES
