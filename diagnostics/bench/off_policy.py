"""Steps that learners from a replay need to a target, beside Stable-Baselines3's DQN and SAC.

Both sides play one environment at a time, are judged by the same rule, and stop where they reach
the target: the first of two evaluations in a row, 1,000 steps apart, whose 20 greedy episodes on
seeds of their own have the wanted mean. The rivals have the hyper-parameters of their own zoo.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import gymnasium
import numpy as np

from models.controller_cpu import CPUController, PolicyShape
from models.interfaces import Float, OffPolicyLearner, Transitions
from models.off_policy.qrdqn import QRDQN
from models.off_policy.sac import SAC
from models.settings.qrdqn import QRDQNSettings
from models.settings.replay import ReplaySettings
from models.settings.sac import SACSettings
from models.settings.units import Units

EPISODES, EVERY = 20, 1_000
_EVALUATION_SEED, _HIDDEN = 10_000, (64, 64)
_UNITS = Units("relu", layer_norm=True)

Act = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Race:
    """A task, and how both sides learn it.

    Attributes:
        env_id: the environment.
        target: the mean return that is wanted.
        steps: after which a learner has failed.
        replay, qrdqn, sac: what ours are told.
        rival: `DQN` or `SAC` of Stable-Baselines3.
        rival_settings: its hyper-parameters.
    """

    env_id: str
    target: float
    steps: int
    replay: ReplaySettings
    rival: str
    rival_settings: Mapping[str, Any]
    qrdqn: QRDQNSettings = field(default_factory=QRDQNSettings)
    sac: SACSettings = field(default_factory=SACSettings)


@dataclass(frozen=True)
class Reached:
    """How one learner with one seed came to the target.

    Attributes:
        env_id, learner, seed: which.
        target: the wanted mean return.
        steps: of the environment, None if it never did.
        best: the best mean of an evaluation.
        seconds: of wall time, evaluations included.
    """

    env_id: str
    learner: str
    seed: int
    target: float
    steps: int | None
    best: float
    seconds: float


RACES = (
    Race(
        "CartPole-v1",
        475.0,
        50_000,
        ReplaySettings(
            learning_starts=1_000,
            batch_size=128,
            updates_per_step=0.5,
            epsilon=0.04,
            epsilon_steps=8_000,
        ),
        "DQN",
        {
            "learning_rate": 2.3e-3,
            "batch_size": 64,
            "buffer_size": 100_000,
            "learning_starts": 1_000,
            "gamma": 0.99,
            "target_update_interval": 10,
            "train_freq": 256,
            "gradient_steps": 128,
            "exploration_fraction": 0.16,
            "exploration_final_eps": 0.04,
            "policy_kwargs": {"net_arch": [256, 256]},
        },
        qrdqn=QRDQNSettings(learning_rate=1e-3),
    ),
    Race(
        "Pendulum-v1",
        -200.0,
        20_000,
        ReplaySettings(
            learning_starts=500, batch_size=256, updates_per_step=1.0, num_steps=1, gamma=0.98
        ),
        "SAC",
        {"learning_rate": 1e-3},
        sac=SACSettings(learning_rate=1e-3, temperature_learning_rate=1e-3),
    ),
)


class Curve:
    """Evaluations along a training.

    Args:
        race: what is learned.
    """

    def __init__(self, race: Race) -> None:
        self._race = race
        self._env = gymnasium.make(race.env_id)
        self.means: list[float] = []

    def reached(self, act: Act) -> bool:
        """Evaluates greedy actions; returns whether the target was reached twice in a row."""
        returns = []
        for episode in range(EPISODES):
            observation, _ = self._env.reset(seed=_EVALUATION_SEED + episode)
            total, over = 0.0, False
            while not over:
                observation, reward, terminated, truncated, _ = self._env.step(act(observation))
                total, over = total + float(reward), terminated or truncated
            returns.append(total)
        self.means.append(float(np.mean(returns)))
        return min(self.means[-2:]) >= self._race.target and len(self.means) > 1

    def result(self, learner: str, seed: int, begun: float) -> Reached:
        """Returns what came of it."""
        race, means = self._race, self.means
        done = len(means) > 1 and min(means[-2:]) >= race.target
        steps = EVERY * (len(means) - 1) if done else None
        best = max(means, default=float("nan"))
        seconds = perf_counter() - begun
        return Reached(race.env_id, learner, seed, race.target, steps, best, seconds)


class Past:
    """What was played, for transitions of up to n steps.

    Args:
        settings: of drawing from it.
    """

    def __init__(self, settings: ReplaySettings) -> None:
        self._settings = settings
        self._rows: list[tuple[np.ndarray, Any, float, bool, bool, np.ndarray]] = []

    def add(self, *step: Any) -> None:
        """Takes features, action, reward, terminated, truncated and the features that followed."""
        self._rows.append(step)  # type: ignore[arg-type]

    def scale(self) -> tuple[Float, Float]:
        """Returns the mean and the spread of each feature, `[F]`."""
        seen = np.array([row[0] for row in self._rows], np.float32)
        return seen.mean(0), seen.std(0)

    def sample(self, rng: np.random.Generator) -> Transitions:
        """Draws a batch, each step with equal probability."""
        drawn = [self._from(int(t)) for t in rng.integers(len(self._rows), size=self._batch_size)]
        features, actions, returns, discounts, following = zip(*drawn, strict=True)
        kind = np.int64 if np.ndim(actions[0]) == 0 else np.float32
        return Transitions(
            np.array(features, np.float32),
            np.array(actions, kind),
            np.array(returns, np.float32),
            np.array(discounts, np.float32),
            np.array(following, np.float32),
        )

    @property
    def _batch_size(self) -> int:
        return self._settings.batch_size

    def _from(self, t: int) -> tuple[np.ndarray, Any, float, float, np.ndarray]:
        """Returns the transition that begins with a step."""
        features, action = self._rows[t][:2]
        total, discount = 0.0, 1.0
        following, terminated = features, False
        for row in self._rows[t : t + self._settings.num_steps]:
            _, _, reward, terminated, truncated, following = row
            total, discount = total + discount * reward, discount * self._settings.gamma
            if terminated or truncated:
                break
        return features, action, total, 0.0 if terminated else discount, following


def races(seeds: int, steps: int | None = None) -> Iterator[Reached]:
    """Runs both sides of each race, seed by seed.

    Args:
        seeds: how many.
        steps: cuts each training, None for the race's own length.

    Yields:
        What came of each training, as it ends.
    """
    for race in RACES:
        for seed in range(seeds):
            yield ours(race, seed, steps or race.steps)
            yield rivals(race, seed, steps or race.steps)


def ours(race: Race, seed: int, steps: int) -> Reached:
    """Trains our learner of a race's kind of actions."""
    begun, curve, env = perf_counter(), Curve(race), gymnasium.make(race.env_id)
    shape = _shape(env)
    learner: OffPolicyLearner = (
        QRDQN(shape, race.qrdqn, seed=seed) if shape.discrete else SAC(shape, race.sac, seed=seed)
    )
    kind = "discrete" if shape.discrete else "continuous"
    acting = CPUController(
        shape.num_features,
        kind,
        shape.action_size,
        _HIDDEN,
        shape.low,
        shape.high,
        units=_UNITS,
    )

    def act(observation: np.ndarray) -> np.ndarray:
        return acting.act(observation[None].astype(np.float32))[0]

    for step in _training(race, env, learner, acting, np.random.default_rng(seed)):
        acting.set_parameters(learner.get_parameters())
        if (step % EVERY == 0 and curve.reached(act)) or step >= steps:
            break
    return curve.result(type(learner).__name__, seed, begun)


def _training(
    race: Race,
    env: gymnasium.Env[Any, Any],
    learner: OffPolicyLearner,
    acting: CPUController,
    rng: np.random.Generator,
) -> Iterator[int]:
    """Plays and learns in turns; yields the number of steps taken, after each."""
    settings, past, owed, step = race.replay, Past(race.replay), 0.0, 0
    observation, _ = env.reset(seed=int(rng.integers(2**31)))
    env.action_space.seed(int(rng.integers(2**31)))
    while True:
        action = _explored(race, env, acting, observation, step, rng)
        following, reward, terminated, truncated, _ = env.step(action)
        past.add(observation, action, float(reward), terminated, truncated, following)
        over = terminated or truncated
        observation = env.reset()[0] if over else following
        step += 1
        if step == settings.learning_starts:
            learner.set_feature_scale(*past.scale())
        owed += settings.updates_per_step * (step > settings.learning_starts)
        for _ in range(int(owed)):
            learner.update(past.sample(rng), rng)
        owed -= int(owed)
        yield step


def _explored(
    race: Race,
    env: gymnasium.Env[Any, Any],
    acting: CPUController,
    observation: np.ndarray,
    step: int,
    rng: np.random.Generator,
) -> Any:
    """Returns a random action, one of the best, or a sample of the policy."""
    settings, rows = race.replay, observation[None].astype(np.float32)
    if step < settings.learning_starts:
        return env.action_space.sample()
    if race.rival == "SAC":
        return acting.sample(rows, rng)[0]
    share = max(settings.epsilon, 1.0 - step / max(1, settings.epsilon_steps))
    return env.action_space.sample() if rng.random() < share else acting.act(rows)[0]


def rivals(race: Race, seed: int, steps: int) -> Reached:
    """Trains Stable-Baselines3's learner with its zoo's hyper-parameters."""
    import stable_baselines3
    from stable_baselines3.common.callbacks import BaseCallback

    class Judge(BaseCallback):
        def _on_step(self) -> bool:
            due = self.num_timesteps % EVERY == 0
            return not (due and curve.reached(lambda o: model.predict(o, deterministic=True)[0]))

    begun, curve = perf_counter(), Curve(race)
    kind = getattr(stable_baselines3, race.rival)
    model = kind("MlpPolicy", race.env_id, seed=seed, device="cpu", **race.rival_settings)
    model.learn(steps, callback=Judge())
    return curve.result(f"SB3 {race.rival}", seed, begun)


def _shape(env: gymnasium.Env[Any, Any]) -> PolicyShape:
    """Returns the controller's sizes and bounds for an environment."""
    features, action = env.observation_space.shape, env.action_space
    assert features is not None
    if isinstance(action, gymnasium.spaces.Discrete):
        return PolicyShape(features[0], "discrete", int(action.n), _HIDDEN, None, None, _UNITS)
    assert isinstance(action, gymnasium.spaces.Box)
    size = action.shape[0]
    bounds = action.low, action.high
    return PolicyShape(features[0], "continuous", size, _HIDDEN, *bounds, _UNITS)
