"""CarRacing as a batch plays it: an action held for some frames, of which one is drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import gymnasium
import numpy as np

from curriculum.envs.action_table import TabledCore
from curriculum.envs.area import luminance, resize_area
from curriculum.envs.batch import Batch
from curriculum.envs.car_racing.lap import LapFollower
from curriculum.envs.gym.singles import Singles, hold
from curriculum.envs.interface import VectorEnv
from curriculum.envs.lap import Road
from curriculum.envs.stacking import Stacked

if TYPE_CHECKING:
    from curriculum.envs.car_racing.drawing import Drawing

Notice = Callable[[str], None]


class CarRacer:
    """CarRacing seen by its pixels (`curriculum.envs.gym.singles.TellsFacts`).

    Drawing is nearly all the time of a frame, and it reads the car and the track without changing
    them. So a frame that nobody sees is not drawn, and the others are drawn by `Drawing`. The
    first reset tries whether that gives the very pixels of the environment itself; where it does
    not, because another version of Gymnasium or pygame draws otherwise, every frame is left to
    the environment.

    Args:
        env: what `gymnasium.make` returns for CarRacing.
        frames_per_step: frames an action is held, at least 1.
        grayscale: one channel instead of three.
        top_rows: rows of the 96 that are kept; 0 is all.
        size: rows and columns of an observation.
        notice: is told where the environment has to draw by itself.
    """

    def __init__(
        self,
        env: gymnasium.Env,
        frames_per_step: int,
        *,
        grayscale: bool,
        top_rows: int,
        size: int = 64,
        notice: Notice | None = None,
    ) -> None:
        self._env = env
        self._frames = frames_per_step
        self._grayscale = grayscale
        self._top_rows = top_rows
        self._size = size
        self._notice = notice
        self._tried = False
        self._drawing: Drawing | None = None
        self._unseen = _Unseen(env)
        self._lap = LapFollower(env.unwrapped)

    def reset(self, seed: int) -> np.ndarray:
        """Starts an episode.

        Returns:
            The first observation `[size, size, C]` uint8, C 1 if grayscale, else 3.
        """
        self._lap.begin()
        if self._drawing is not None:
            with self._unseen:
                self._env.reset(seed=seed)
            self._drawing.begin_episode()
            return self._picture(self._drawing.frame(self._unseen.score))
        frame, _ = self._env.reset(seed=seed)
        if not self._tried:
            self._drawing = _trusted_drawing(self._env.unwrapped, self._top_rows, self._notice)
            self._tried = True
        return self._picture(frame)

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        """Holds an action for the frames of a step, or until the episode ends.

        Args:
            action: `[3]` float32 (steering, gas, brake), or one of five as int64.

        Returns:
            The last frame's observation `[size, size, C]` uint8, summed reward, terminated,
            truncated.
        """
        if self._drawing is None:
            frame, reward, terminated, truncated = hold(self._env, action, self._frames)
        else:
            with self._unseen:
                _, reward, terminated, truncated = hold(self._env, action, self._frames)
            frame = self._drawing.frame(self._unseen.score)
        return self._picture(frame), reward, terminated, truncated

    def facts(self) -> Sequence[float]:
        """Returns how the lap stands after the last step (`curriculum.envs.lap.LAP_FACTS`)."""
        return self._lap.facts()

    def road(self) -> Road:
        """Returns the track of this episode and which tiles were touched so far."""
        return self._lap.road()

    def close(self) -> None:
        """Releases everything."""
        self._env.close()

    def _picture(self, frame: np.ndarray) -> np.ndarray:
        small = resize_area(frame[: self._top_rows or None], self._size, self._size)
        return luminance(small) if self._grayscale else small


def racers_of(env: VectorEnv) -> tuple[CarRacer, ...]:
    """Returns what plays CarRacing in this process; nothing where that is played otherwise."""
    core = env.core if isinstance(env, Batch) else None
    while isinstance(core, TabledCore | Stacked):
        core = core.core
    singles = core.singles if isinstance(core, Singles) else ()
    return tuple(single for single in singles if isinstance(single, CarRacer))


class _Unseen:
    """While it is entered, CarRacing draws no observations.

    Args:
        env: CarRacing.

    Attributes:
        score: what the last frame that was not drawn would have shown.
    """

    def __init__(self, env: gymnasium.Env) -> None:
        self.score = 0.0
        self._racing: Any = env.unwrapped
        self._blank = np.zeros(env.observation_space.shape or (), np.uint8)

    def __enter__(self) -> None:
        # An attribute of the instance hides the method of its class until it is deleted.
        self._racing._render = self

    def __exit__(self, *exception: object) -> None:
        del self._racing._render

    def __call__(self, mode: str) -> Any:
        if mode != "state_pixels":
            return type(self._racing)._render(self._racing, mode)
        # Of what a picture shows, only the score changes between drawing and the end of a step.
        self.score = self._racing.reward
        return self._blank


def _trusted_drawing(racing: Any, top_rows: int, notice: Notice | None) -> Drawing | None:
    """Returns a drawing of the episode that has just begun, None if it draws anything wrong."""
    try:
        # Only who plays CarRacing has pygame and Box2D.
        from curriculum.envs.car_racing.drawing import Drawing

        drawing = Drawing(racing, top_rows)
        wrong = drawing.differences()
    except (ImportError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        drawing, wrong = None, f"{type(e).__name__}: {e}"
    if not wrong:
        return drawing
    if notice:
        notice(
            f"CarRacing of gymnasium {gymnasium.__version__} is not what the fast drawing was "
            f"made for ({wrong}): the environment draws by itself, which is slower"
        )
    return None
