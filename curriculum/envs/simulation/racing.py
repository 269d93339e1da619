"""Car racing in numpy: a random closed track, a car with limited grip, a view that turns with it.

Lengths are metres, speeds metres per second. A track is a closed curve around the origin whose
radius is a sum of a few harmonics of the angle, so where a point lies along and across it follows
from its polar coordinates by table look-up, for one car or for every pixel of a map.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from curriculum.envs.batch import Mask, Rows
from curriculum.envs.interface import ActionSpec, EnvSpec
from curriculum.envs.simulation.drawing import draw_boxes, paint
from curriculum.envs.simulation.game import Numbers, Streams

FPS = 50
SIZE = 64
TILES = 150
ANGLES = 1024
RADIUS = 80.0
HARMONICS = (2, 3, 4, 5)
AMPLITUDES = np.array([0.12, 0.10, 0.08, 0.05])
HALF_ROAD = 7.0
FIELD = 140.0
MAP_SIZE, MAP_HALF = 384, 192.0
PIXEL = 0.8
CAR_ROW, CAR_COLUMN = 48.0, 32.0
ENGINE, BRAKE, DRAG = 25.0, 25.0, 0.4
GRIP, GRASS_GRIP, GRASS_DRAG = 40.0, 15.0, 1.5
AXLE = 1.5
GYRATION = 2.0
STEER_LIMIT, STEER_RATE = 0.4, 3.0
AHEAD = (2, 5, 9)
OFF_FIELD, FRAME_COST, TILES_WORTH = -100.0, 0.1, 1000.0

X, Y, HEADING, FORWARD, SIDE, SPIN, STEER, ON_ROAD = range(8)
_COLOURS = ((102, 204, 102), (102, 230, 102), (102, 102, 102), (204, 0, 0))
_CHECK = 12


class Tracks:
    """N closed tracks as tables over the polar angle and over the distance driven.

    Attributes:
        radius: `[N, ANGLES]`, the middle of the road.
        lean: `[N, ANGLES]`, cosine between the radius and the road's normal.
        tile: `[N, ANGLES]` int, which tile lies there.
        points: `[N, TILES, 2]`, the middle of the road at the beginning of each tile.
        course: `[N, TILES]`, its direction there, radians.
    """

    def __init__(self, num_envs: int) -> None:
        self.radius = np.full((num_envs, ANGLES), RADIUS)
        self.lean = np.ones((num_envs, ANGLES))
        self.tile = np.zeros((num_envs, ANGLES), np.intp)
        self.points = np.zeros((num_envs, TILES, 2))
        self.course = np.zeros((num_envs, TILES))

    def lay(self, row: int, draws: Numbers) -> None:
        """Lays one track from uniform numbers `[2 * len(HARMONICS)]`: strengths, then phases."""
        angle = 2 * np.pi * np.arange(ANGLES) / ANGLES
        size, phase = draws.reshape(2, -1)
        order = np.array(HARMONICS)[:, None]
        waves = order * angle + 2 * np.pi * phase[:, None]
        strength = (AMPLITUDES * (0.4 + 0.6 * size))[:, None]
        radius = RADIUS * (1 + (strength * np.cos(waves)).sum(axis=0))
        slope = RADIUS * (-strength * order * np.sin(waves)).sum(axis=0)
        length = np.sqrt(radius**2 + slope**2)
        driven = np.concatenate([[0.0], np.cumsum(length)])
        starts = np.interp(np.arange(TILES) / TILES * driven[-1], driven, np.arange(ANGLES + 1))
        at = 2 * np.pi * starts / ANGLES
        middle = np.interp(starts, np.arange(ANGLES + 1), np.append(radius, radius[0]))
        rise = np.interp(starts, np.arange(ANGLES + 1), np.append(slope, slope[0]))
        self.radius[row] = radius
        self.lean[row] = radius / length
        self.tile[row] = (driven[:-1] / driven[-1] * TILES).astype(np.intp)
        self.points[row] = np.stack([middle * np.cos(at), middle * np.sin(at)], axis=1)
        self.course[row] = at + np.arctan2(middle, rise)

    def locate(self, rows: Rows, x: Numbers, y: Numbers) -> tuple[NDArray[np.intp], Numbers]:
        """Returns the tile and the distance to the middle (positive outwards) of points `[k]`."""
        angle = np.arctan2(y, x) / (2 * np.pi) * ANGLES
        place = np.floor(angle).astype(np.intp) % ANGLES
        outwards = np.sqrt(x * x + y * y) - self.radius[rows, place]
        return self.tile[rows, place], outwards * self.lean[rows, place]


class Racing:
    """N laps (`Game`): 1000 / TILES for each tile reached first, -0.1 a frame, -100 off the field.

    Actions are steering in [-1, 1] (positive turns right), gas and brake in [0, 1]. Tyres carry
    no more than a limited force in any direction, less on grass, so a car that brakes or
    accelerates hard in a bend slides. The episode ends with the last tile, or off the field.

    As a state, `[9]` float32: forward and sideways speed in units of 50 m/s, turn rate in rad/s,
    steering angle from -1 to 1, distance from the middle of the road in half roads, sine of the
    angle to the road, and how far to the left (in half roads) the road is 2, 5 and 9 tiles ahead.

    Args:
        streams: random streams of the N games.
        num_envs: N.
        observation: `pixels` is `[64, 64, C]` uint8 seen from above, the car pointing up; `state`
            the vector above.
        grayscale: one channel instead of three.
        frames_per_step: frames an action is held.
        max_episode_steps: the time limit in steps.
    """

    def __init__(
        self,
        streams: Streams,
        num_envs: int,
        observation: Literal["pixels", "state"],
        grayscale: bool,
        frames_per_step: int,
        max_episode_steps: int,
    ) -> None:
        self._streams = streams
        self._pixels = observation == "pixels"
        self._view = Camera(num_envs, grayscale) if self._pixels else None
        self._everyone = np.arange(num_envs)
        self.numbers = np.zeros((ON_ROAD + 1, num_envs))
        self.tracks = Tracks(num_envs)
        self.visited = np.zeros((num_envs, TILES), np.bool_)
        self.spec = EnvSpec(
            env_id="simulation/carracing",
            observation=observation,
            shape=(SIZE, SIZE, 1 if grayscale else 3) if self._pixels else (9,),
            action=ActionSpec("continuous", 3, (-1.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
            frames_per_step=frames_per_step,
            max_episode_steps=max_episode_steps,
        )

    def begin(self, rows: Rows) -> None:
        draws = self._streams.draw(rows, 2 * len(HARMONICS))
        for column, row in enumerate(rows.tolist()):
            self.tracks.lay(row, draws[:, column])
            if self._view is not None:
                self._view.survey(row, self.tracks)
        self.numbers[:, rows] = 0.0
        self.numbers[X : Y + 1, rows] = self.tracks.points[rows, 0].T
        self.numbers[HEADING, rows] = self.tracks.course[rows, 0]
        self.numbers[ON_ROAD, rows] = 1.0
        self.visited[rows] = False

    def frame(self, actions: np.ndarray, running: Mask) -> tuple[Numbers, Mask]:
        n = self.numbers
        self._drive(actions, n[ON_ROAD] > 0)
        tile, off = self.tracks.locate(self._everyone, n[X], n[Y])
        on_road = np.abs(off) < HALF_ROAD
        n[ON_ROAD] = on_road
        new = on_road & ~self.visited[self._everyone, tile] & running
        self.visited[self._everyone[new], tile[new]] = True
        away = (np.abs(n[X]) > FIELD) | (np.abs(n[Y]) > FIELD)
        rewards = new * (TILES_WORTH / TILES) - FRAME_COST + away * OFF_FIELD
        return rewards, away | self.visited.all(axis=1)

    def observe(self, rows: Rows) -> np.ndarray:
        if self._view is None:
            return self._state(rows)
        x, y, heading = self.numbers[: HEADING + 1, rows]
        return self._view.draw(rows, x, y, heading)

    def _drive(self, actions: np.ndarray, on_road: Mask) -> None:
        """Moves the cars by one frame: two axles, each with a circle of grip (bicycle model)."""
        n = self.numbers
        steer, gas, brake = actions.T
        turn = np.clip(-STEER_LIMIT * steer - n[STEER], -STEER_RATE / FPS, STEER_RATE / FPS)
        n[STEER] += turn
        grip = np.where(on_road, GRIP, GRASS_GRIP) / 2
        sine, cosine = np.sin(n[STEER]), np.cos(n[STEER])
        nose = n[SIDE] + AXLE * n[SPIN]
        slip_front = cosine * nose - sine * n[FORWARD]
        slip_rear = n[SIDE] - AXLE * n[SPIN]
        braking = np.clip(-n[FORWARD] * FPS, -BRAKE * brake, BRAKE * brake) / 2
        # Half the slip is taken away each frame, were there grip enough: stable at any speed.
        front_long, front_side = _circle(braking, -slip_front * FPS / 4, grip)
        rear_long, rear_side = _circle(braking + ENGINE * gas, -slip_rear * FPS / 4, grip)
        drag = DRAG * np.where(on_road, 1.0, GRASS_DRAG / DRAG) * n[FORWARD]
        along = front_long * cosine - front_side * sine + rear_long - drag
        across = front_long * sine + front_side * cosine + rear_side
        yaw = AXLE * (front_long * sine + front_side * cosine - rear_side) / GYRATION
        n[FORWARD], n[SIDE] = (
            n[FORWARD] + (along + n[SIDE] * n[SPIN]) / FPS,
            n[SIDE] + (across - n[FORWARD] * n[SPIN]) / FPS,
        )
        n[SPIN] += yaw / FPS
        n[HEADING] += n[SPIN] / FPS
        sine, cosine = np.sin(n[HEADING]), np.cos(n[HEADING])
        n[X] += (n[FORWARD] * cosine - n[SIDE] * sine) / FPS
        n[Y] += (n[FORWARD] * sine + n[SIDE] * cosine) / FPS

    def _state(self, rows: Rows) -> np.ndarray:
        x, y, heading, forward, side, spin, steer, _ = self.numbers[:, rows]
        tile, off = self.tracks.locate(rows, x, y)
        across = np.sin(heading - self.tracks.course[rows, tile])
        sine, cosine = np.sin(heading), np.cos(heading)
        ahead = [self.tracks.points[rows, (tile + k) % TILES] for k in AHEAD]
        lefts = [(p[:, 1] - y) * cosine - (p[:, 0] - x) * sine for p in ahead]
        columns = [forward / 50, side / 50, spin, steer / STEER_LIMIT, off / HALF_ROAD, across]
        columns += [left / HALF_ROAD for left in lefts]
        return np.stack(columns, axis=1).astype(np.float32)


class Camera:
    """Maps of N tracks, and pictures of them as seen from a car.

    Args:
        num_envs: N.
        grayscale: one channel instead of three.
    """

    def __init__(self, num_envs: int, grayscale: bool) -> None:
        self._colours = paint(_COLOURS, grayscale)
        self._maps = np.zeros((num_envs, MAP_SIZE * MAP_SIZE), np.uint8)
        line = (np.arange(MAP_SIZE) + 0.5) * (2 * MAP_HALF / MAP_SIZE) - MAP_HALF
        x, y = line[None, :], line[:, None]
        self._place = (np.floor(np.arctan2(y, x) / (2 * np.pi) * ANGLES) % ANGLES).astype(np.int16)
        self._far = np.hypot(x, y).astype(np.float32)
        self._grass = ((x // _CHECK + y // _CHECK) % 2).astype(np.uint8)
        rows, columns = np.mgrid[0:SIZE, 0:SIZE].reshape(2, -1)
        scale = PIXEL * MAP_SIZE / (2 * MAP_HALF)
        self._ahead = ((CAR_ROW - rows - 0.5) * scale).astype(np.float32)
        self._left = ((CAR_COLUMN - columns - 0.5) * scale).astype(np.float32)

    def survey(self, row: int, tracks: Tracks) -> None:
        """Draws the map of one track: light and dark grass in squares, and the road."""
        middle = tracks.radius[row].astype(np.float32)[self._place]
        half = (HALF_ROAD / tracks.lean[row]).astype(np.float32)[self._place]
        road = np.abs(self._far - middle) < half
        self._maps[row] = np.where(road, np.uint8(2), self._grass).reshape(-1)

    def draw(self, rows: Rows, x: Numbers, y: Numbers, heading: Numbers) -> np.ndarray:
        """Returns pictures `[k, 64, 64, C]` of the cars' surroundings, each car pointing up."""
        scale = MAP_SIZE / (2 * MAP_HALF)
        column, line = ((np.stack([x, y]) + MAP_HALF) * scale).astype(np.float32)[:, :, None]
        sine = np.sin(heading).astype(np.float32)[:, None]
        cosine = np.cos(heading).astype(np.float32)[:, None]
        texel = (line + sine * self._ahead + cosine * self._left).astype(np.int32)
        texel *= MAP_SIZE
        texel += (column + cosine * self._ahead - sine * self._left).astype(np.int32)
        texel += (rows * (MAP_SIZE * MAP_SIZE)).astype(np.int32)[:, None]
        labels = np.take(self._maps, texel)  # several times faster here than indexing
        frames = np.take(self._colours, labels, axis=0).reshape(rows.size, SIZE, SIZE, -1)
        at = np.full(rows.size, CAR_COLUMN - 2.0)
        draw_boxes(frames, at, np.full(rows.size, CAR_ROW - 3.0), 4.0, 6.0, self._colours[3])
        return frames


def _circle(along: Numbers, across: Numbers, limit: Numbers) -> tuple[Numbers, Numbers]:
    """Scales a demanded force down to what the grip carries, keeping its direction."""
    demanded = np.sqrt(along * along + across * across)
    share = np.minimum(1.0, limit / np.maximum(demanded, 1e-9))
    return along * share, across * share
