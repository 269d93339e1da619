"""Where things really are in an Atari game, read from the emulator's memory.

For measuring only, by probes, tests and players that show what a game allows: nothing that learns
or acts ever sees these numbers. A game of its own is played frame for frame as
`curriculum.envs.atari` plays its batch, and besides the frames its RAM is kept.
The addresses are those of Anand et al. 2019 (AtariARI); the offsets between RAM and screen were
calibrated on each thing's own pixels in the 210 x 160 frame.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from curriculum.agent.episodes import Policy
from curriculum.envs.aliases import atari_game, resolve
from curriculum.envs.framing import PLAIN, Framing
from curriculum.errors import ConfigError
from models.interfaces import Float, Frames

if TYPE_CHECKING:
    import ale_py

HALF_AN_HOUR = 108_000
"""Frames; the limit of an episode in `curriculum.envs.atari`."""

_SIZE = 64
_SCREEN = {"x": 160, "y": 210}
_SLOT = np.zeros(1, np.int64)
_BRICK_COLUMNS = (
    *((30, 6), (24, 6), (24, 4), (24, 2), (24, 0), (18, 0), (18, 2), (18, 4), (18, 6)),
    *((12, 4), (12, 6), (6, 6), (6, 4), (6, 2), (6, 0), (0, 0), (0, 2), (0, 4)),
)
"""Of each column of Breakout's bricks: address of its lowest row, those above follow, and bit."""


class Coordinate(NamedTuple):
    """Where RAM holds one coordinate of a thing's centre.

    Attributes:
        axis: `x` or `y`.
        address: in the 128 bytes of RAM.
        offset: added to the byte gives the centre's pixel on the 210 x 160 screen.
        seen_at: address of the byte that tells whether the thing is drawn.
        seen_from, seen_to: that byte's smallest and largest value where it is.
    """

    axis: Literal["x", "y"]
    address: int
    offset: float
    seen_at: int
    seen_from: int
    seen_to: int


COORDINATES: Mapping[str, Mapping[str, Coordinate]] = MappingProxyType(
    {
        "pong": {
            "ball_x": Coordinate("x", 49, -48.5, 54, 45, 206),
            "ball_y": Coordinate("y", 54, -12.5, 54, 45, 206),
            "player_y": Coordinate("y", 51, -6.0, 51, 38, 203),
            "enemy_y": Coordinate("y", 50, -7.5, 50, 34, 206),
        },
        "breakout": {
            "ball_x": Coordinate("x", 99, -48.5, 101, 1, 179),
            "ball_y": Coordinate("y", 101, 10.5, 101, 1, 179),
            "player_x": Coordinate("x", 72, -39.5, 72, 1, 255),
        },
    }
)
"""By ROM and name. The paddles of Pong stand at constant columns (RAM 45 and 46), which nothing can
be asked about. Among Breakout's bricks and above them the ball is drawn one screen row higher than
elsewhere, and in their colours, so that for the few frames in which it touches one the two are not
to be told apart; it is not drawn below the paddle's top."""


@dataclass(frozen=True)
class Truth:
    """Rows of played games: what was seen and where things were.

    An episode of T steps has T + 1 rows, as in `curriculum.datasets.episodes`; the last episode is
    cut where the rows end.

    Attributes:
        frames: `[n, 64, 64, 1]` uint8.
        previous: `[n, 64, 64, 1]` uint8, the row before; the same at an episode's first.
        actions: `[n]` int64, what was really done after each frame; 0 at an episode's last row.
        episodes: `[n]` int64, counted from 0.
        positions: name to `[n]` float32, centres in pixels of the 64 x 64 frame: 0 is the middle of
            the first row or column. Meaningless where the thing is not visible.
        visible: name to `[n]` bool: it is drawn, and in the part of the screen that is seen.
        rams: `[n, 128]` uint8, the emulator's memory.
    """

    frames: Frames
    previous: Frames
    actions: NDArray[np.int64]
    episodes: NDArray[np.int64]
    positions: dict[str, Float]
    visible: dict[str, NDArray[np.bool_]]
    rams: NDArray[np.uint8]

    def stacked(self, frames: int) -> Frames:
        """Returns what environments show that stack frames, `[n, 64, 64, frames]` uint8."""
        rows = np.arange(len(self.episodes))
        first = np.searchsorted(self.episodes, self.episodes)
        seen = [self.frames[np.maximum(rows - back, first)] for back in reversed(range(frames))]
        return np.concatenate(seen, axis=-1)


def play_with_truth(
    env_id: str,
    num_steps: int,
    seed: int,
    policy: Policy | np.ndarray | None = None,
    *,
    frame_skip: int = 4,
    keep: float = 0.0,
    noop_max: int = 30,
    max_episode_steps: int = 0,
    framing: Framing = PLAIN,
    maxpool: bool = True,
) -> Truth:
    """Plays one game after another and notes where things are.

    Args:
        env_id: an Atari id or a ROM's name whose `COORDINATES` are known.
        num_steps: n, rows to return.
        seed: of the emulator, idle frames and random actions.
        policy: asked for one slot, with frames `[1, 64, 64, 1]`; or `[n]` actions, one per row
            (those of rows where an episode ends are skipped); None is uniformly random.
        frame_skip: frames an action is held, at least 2; positions are those of the last.
        keep: probability that a random action is repeated.
        noop_max: up to so many idle frames pass before an episode.
        max_episode_steps: steps after which an episode is cut; 0 is 108,000 frames.
        framing: what of the screen is seen, and how it is made small.
        maxpool: whether the pixelwise maximum of the last two frames is seen, or the last alone.

    Returns:
        n rows. FIRE is pressed at resets and after lost lives, as in the batch.

    Raises:
        ConfigError: the game is not known.
        ValueError: a size does not fit.
    """
    if num_steps < 1 or frame_skip < 2:
        raise ValueError(
            f"num_steps was {num_steps} and frame_skip {frame_skip}; expected at least 1 and 2"
        )
    rom, sticky = _known_game(env_id)
    rng = np.random.default_rng([seed, num_steps])
    game = Game(
        rom,
        seed,
        frame_skip=frame_skip,
        sticky=sticky,
        noop_max=noop_max,
        rng=rng,
        framing=framing,
        maxpool=maxpool,
    )
    if policy is None:
        policy = _random_actions(rng, game.num_actions, num_steps, keep)
    limit = max_episode_steps or HALF_AN_HOUR // frame_skip
    record = _Record(num_steps)
    age, episode, ended = 0, -1, True
    for row in range(num_steps):
        fresh = ended
        if fresh:
            game.reset()
            age, episode = 0, episode + 1
            if not isinstance(policy, np.ndarray):
                policy.begin(_SLOT, np.array([episode]))
        record.note(row, game, episode, fresh)
        ended = game.over or age >= limit
        if row + 1 < num_steps and not ended:
            record.actions[row] = _play(game, policy, row)
            age += 1
    return record.truth(COORDINATES[rom], framing)


def _known_game(env_id: str) -> tuple[str, float]:
    game = atari_game(resolve(env_id)[0])
    if game is None or game.rom not in COORDINATES:
        raise ConfigError(
            f"where things are is known for {', '.join(COORDINATES)} only, not for {env_id!r}: "
            "add its RAM addresses to curriculum/insight/ground_truth.py"
        )
    return game.rom, game.repeat_action_probability


def _random_actions(
    rng: np.random.Generator, num_actions: int, steps: int, keep: float
) -> NDArray[np.int64]:
    drawn = rng.integers(num_actions, size=steps)
    changes = rng.random(steps) >= keep
    changes[0] = True
    return drawn[np.maximum.accumulate(np.where(changes, np.arange(steps), 0))]


def _play(game: Game, policy: Policy | np.ndarray, row: int) -> int:
    """Steps the game once and returns the action really taken."""
    if isinstance(policy, np.ndarray):
        return game.step(int(policy[row]))
    taken = game.step(int(policy.act(game.frame[None], _SLOT)[0]))
    policy.acted(np.array([taken]), _SLOT)
    return taken


class _Record:
    """The rows so far."""

    def __init__(self, rows: int) -> None:
        shape = (rows, _SIZE, _SIZE, 1)
        self.frames, self.previous = np.zeros(shape, np.uint8), np.zeros(shape, np.uint8)
        self.rams = np.zeros((rows, 128), np.uint8)
        self.actions, self.episodes = np.zeros(rows, np.int64), np.zeros(rows, np.int64)

    def note(self, row: int, game: Game, episode: int, first: bool) -> None:
        self.frames[row] = game.frame
        self.previous[row] = game.frame if first else self.frames[row - 1]
        self.rams[row] = game.ram
        self.episodes[row] = episode

    def truth(self, coordinates: Mapping[str, Coordinate], framing: Framing) -> Truth:
        positions, visible = {}, {}
        for name, place in coordinates.items():
            screen = self.rams[:, place.address] + np.float32(place.offset)
            positions[name] = on_frame(screen, place.axis, framing)
            shown = self.rams[:, place.seen_at]
            first, end = _seen_part(place.axis, framing)
            visible[name] = (shown >= place.seen_from) & (shown <= place.seen_to)
            visible[name] &= (screen >= first) & (screen < end)
        return Truth(
            self.frames,
            self.previous,
            self.actions,
            self.episodes,
            positions,
            visible,
            self.rams,
        )


def on_frame(screen: np.ndarray, axis: Literal["x", "y"], framing: Framing = PLAIN) -> Float:
    """Turns pixels of the 210 x 160 screen into pixels of the 64 x 64 frame; both count middles."""
    first, end = _seen_part(axis, framing)
    return ((screen - first + 0.5) * (_SIZE / (end - first)) - 0.5).astype(np.float32)


def bricks(rams: np.ndarray) -> NDArray[np.bool_]:
    """Returns which of Breakout's bricks stand.

    A brick is two neighbouring bits; the order of bits is that of the picture registers, which
    turns around within a row.

    Args:
        rams: `[n, 128]` uint8.

    Returns:
        `[n, 6, 18]`, rows from above, columns from the left.
    """
    bases, shifts = np.array(_BRICK_COLUMNS).T
    rows = np.arange(5, -1, -1)[:, None]
    return (rams[:, bases + rows] >> shifts & 3).astype(np.bool_)


def _seen_part(axis: Literal["x", "y"], framing: Framing) -> tuple[int, int]:
    """Returns the first and the end of the screen's pixels that are seen, along one axis."""
    if not framing.crop:
        return 0, _SCREEN[axis]
    top, bottom, left, right = framing.crop
    return (left, right) if axis == "x" else (top, bottom)


class Game:
    """One emulator, stepped as the native batch steps each of its own.

    Args:
        rom: name of the ROM.
        seed: of the emulator.
        frame_skip: frames an action is held, at least 2.
        sticky: probability that a frame repeats the action of the one before.
        noop_max: up to so many idle frames pass before an episode.
        rng: draws how many.
        framing: what of the screen is seen, and how it is made small.
        maxpool: whether the pixelwise maximum of the last two frames is seen, or the last alone.

    Attributes:
        frame: `[64, 64, 1]` uint8, what is seen now.
        ram: `[128]` uint8 of the last emulator frame that is in it.
        reward: of the last step.
        lives: that are left.
    """

    def __init__(
        self,
        rom: str,
        seed: int,
        *,
        frame_skip: int,
        sticky: float,
        noop_max: int,
        rng: np.random.Generator,
        framing: Framing = PLAIN,
        maxpool: bool = True,
    ) -> None:
        self._ale = _emulator(rom, seed, sticky)
        self._actions = self._ale.getMinimalActionSet()
        names = [action.name for action in self._actions]
        self._noop = self._actions[names.index("NOOP")]
        self._fire = names.index("FIRE") if "FIRE" in names else None
        self._frame_skip, self._noop_max, self._rng = frame_skip, noop_max, rng
        self._presses = 2 if sticky else 1
        self._press_fire, self.lives, self.reward = 0, 0, 0.0
        self._shrink = framing.shrinking(rom, *self._ale.getScreenDims())
        self._seen = slice(0, 2) if maxpool else slice(1, 2)
        self._last_two = [self._ale.getScreenGrayscale()] * 2
        self.num_actions = len(names)
        self.frame = np.zeros((_SIZE, _SIZE, 1), np.uint8)
        self.ram = self._ale.getRAM()

    @property
    def over(self) -> bool:
        return self._ale.game_over()

    def reset(self) -> None:
        """Starts the next episode; the emulator's random numbers go on."""
        self._ale.reset_game()
        for _ in range(int(self._rng.integers(self._noop_max + 1))):
            self._ale.act(self._noop)
        if self._fire is not None:
            self._ale.act(self._actions[self._fire])
        self.lives, self.reward = self._ale.lives(), 0.0
        self._press_fire = self._presses if self._presses > 1 else 0
        self._last_two = [self._ale.getScreenGrayscale()] * 2
        self._look()

    def step(self, action: int) -> int:
        """Holds an action and returns the one really taken."""
        if self._press_fire and self._fire is not None:
            action = self._fire
        self.reward = 0.0
        for frame in range(self._frame_skip):
            self.reward += self._ale.act(self._actions[action])
            # What the batch shows of an episode's end: frames after it are not looked at, so
            # those of the step before stay in their places.
            if self._ale.game_over():
                break
            place = frame - (self._frame_skip - 2)
            if place >= 0:
                self._last_two[place] = self._ale.getScreenGrayscale()
                self.ram = self._ale.getRAM()
        lost, self.lives = self._ale.lives() < self.lives, self._ale.lives()
        self._press_fire = self._presses if lost else max(self._press_fire - 1, 0)
        self._look(keep_ram=True)
        return action

    def _look(self, keep_ram: bool = False) -> None:
        brightest = np.max(self._last_two[self._seen], axis=0)[..., None]
        self.frame = self._shrink(brightest[None])[0]
        if not keep_ram:
            self.ram = self._ale.getRAM()


def _emulator(rom: str, seed: int, sticky: float) -> ale_py.ALEInterface:
    import ale_py
    from ale_py import roms

    ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    ale = ale_py.ALEInterface()
    ale.setInt("random_seed", seed % 2**31)
    ale.setFloat("repeat_action_probability", sticky)
    path = roms.get_rom_path(rom)
    if path is None:
        raise ConfigError(f"this ale-py does not have the ROM {rom!r}; install a newer ale-py")
    ale.loadROM(path)
    return ale
