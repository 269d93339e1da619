"""Environments of Gymnasium stepped one by one in this process, and checked as they are played."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import gymnasium
import numpy as np

from curriculum.envs.batch import Outcome, Rows, Slots
from curriculum.envs.gym.checks import Checked
from curriculum.envs.gym.view import View
from curriculum.envs.interface import EnvSpec
from curriculum.errors import EnvironmentFault

Notice = Callable[[str], None]


class SingleEnv(Protocol):
    """One environment as a batch plays it."""

    def reset(self, seed: int) -> np.ndarray:
        """Starts an episode and returns its first observation, a new array each time."""
        ...

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        """Holds an action for the frames of a step, or until the episode ends.

        Args:
            action: int64 scalar, or `[A]` float32 in environment units.

        Returns:
            The observation, a new array each time, summed reward, terminated, truncated.
        """
        ...

    def close(self) -> None:
        """Releases everything."""
        ...


@runtime_checkable
class TellsFacts(SingleEnv, Protocol):
    """One environment that tells facts of its steps, by the names in its batch's spec."""

    def facts(self) -> Sequence[float]:
        """Returns how things stand after the last step, finite numbers."""
        ...


class Singles:
    """N environments played one by one (`curriculum.envs.batch.Core`).

    Args:
        spec: what they look like from outside.
        singles: N equal environments, that tell facts if the spec names any.
        notice: is told what `close` raises.
    """

    def __init__(
        self, spec: EnvSpec, singles: Sequence[SingleEnv], notice: Notice | None = None
    ) -> None:
        self.spec = spec
        self.num_envs = len(singles)
        self.singles = tuple(singles)
        telling = [single for single in singles if isinstance(single, TellsFacts)]
        self._telling = telling if spec.facts else []
        self._notice: Notice = notice or (lambda text: None)
        self._dtype = np.uint8 if spec.observation == "pixels" else np.float32

    def begin(self, rows: Rows, seeds: list[int], slots: Slots) -> np.ndarray:
        """Resets environments; see `Core.begin`.

        Raises:
            EnvironmentFault: see `advance`.
        """
        observations = np.zeros((len(seeds), *self.spec.shape), self._dtype)
        for number, (row, seed) in enumerate(zip(rows.tolist(), seeds, strict=True)):
            observations[number] = self.singles[row].reset(seed)
        self._refuse_non_finite("an observation", observations, rows, slots)
        return observations

    def advance(self, actions: np.ndarray, slots: Slots) -> Outcome:
        """Steps those that are live; see `Core.advance`.

        Raises:
            EnvironmentFault: an environment raised, or gave what it does not declare, or numbers
                that are not finite.
        """
        everyone = np.arange(self.num_envs)
        observations = np.zeros((self.num_envs, *self.spec.shape), self._dtype)
        rewards = np.zeros(self.num_envs)
        terminated, truncated = np.zeros((2, self.num_envs), np.bool_)
        for row in np.flatnonzero(slots.live).tolist():
            observations[row], rewards[row], terminated[row], truncated[row] = self.singles[
                row
            ].step(actions[row])
        self._refuse_non_finite("a reward", rewards, everyone, slots)
        self._refuse_non_finite("an observation", observations, everyone, slots)
        return Outcome(observations, rewards, terminated, truncated, facts=self._facts(slots))

    def close(self) -> None:
        """Closes every environment, and notes what that raises."""
        raised = [_raised_by_closing(single) for single in self.singles]
        for text in dict.fromkeys(text for text in raised if text):
            self._notice(
                f"{self.spec.env_id} raised {text} as it was closed, after its work was done: "
                "nothing is lost"
            )

    def _facts(self, slots: Slots) -> np.ndarray | None:
        """Returns what those that are live tell of their step, `[N, K]`."""
        if not self._telling:
            return None
        facts = np.zeros((self.num_envs, len(self.spec.facts)), np.float32)
        for row in np.flatnonzero(slots.live).tolist():
            facts[row] = self._telling[row].facts()
        return facts

    def _refuse_non_finite(self, what: str, values: np.ndarray, rows: Rows, slots: Slots) -> None:
        if values.dtype.kind == "f" and not np.isfinite(values).all():
            bad = rows[~np.isfinite(values.reshape(len(rows), -1)).all(axis=1)]
            raise EnvironmentFault(
                f"environment {self.spec.env_id} gave {what} that is not finite in step "
                f"{slots.ages[bad[0]] + 1}, expected finite numbers: correct the environment",
                {"env_id": self.spec.env_id, "environments": bad.tolist()},
            )


class GymSingle:
    """Any environment of Gymnasium as a batch plays it (`SingleEnv`), checked as it is played.

    Args:
        env: the environment.
        view: how it is seen and acted on.
    """

    def __init__(self, env: gymnasium.Env, view: View) -> None:
        self._env = env
        self._view = view
        self._checked = Checked(view.spec.env_id, env)

    def reset(self, seed: int) -> np.ndarray:
        return self._seen(self._checked.reset(seed))

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool]:
        native, reward, terminated, truncated = self._checked.hold(
            self._view.native_action(action), self._view.spec.frames_per_step
        )
        return self._seen(native), reward, terminated, truncated

    def _seen(self, native: Any) -> np.ndarray:
        try:
            return self._view.see(self._env, native)
        except (Exception, SystemExit) as e:
            raise self._checked.fault(e) from e

    def close(self) -> None:
        self._env.close()


def _raised_by_closing(single: SingleEnv) -> str:
    try:
        single.close()
    except Exception as e:  # noqa: BLE001 - the batch tells it; what was played stays played
        return f"{type(e).__name__}: {e}"
    return ""


def hold(env: gymnasium.Env, action: Any, frames: int) -> tuple[Any, float, bool, bool]:
    """Holds an action for so many frames, or until the episode ends."""
    observation, total, terminated, truncated = None, 0.0, False, False
    for _ in range(frames):
        observation, reward, terminated, truncated, _ = env.step(action)
        total += float(reward)
        if terminated or truncated:
            break
    return observation, total, bool(terminated), bool(truncated)
