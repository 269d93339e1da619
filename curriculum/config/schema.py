"""The configuration as frozen data: every key, its default, its range and what it means.

Nothing here reads a file; `loading.py` turns YAML into these types and checks `field` metadata.
What a model itself is told stands beside it, in `models.settings`, and is contained here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from curriculum.config.practice import ShapingConfig, TrainingConfig
from models.settings.key import key
from models.settings.mdnrnn import MDNRNNSettings
from models.settings.ppo import PPOSettings
from models.settings.qrdqn import QRDQNSettings
from models.settings.replay import ReplaySettings
from models.settings.sac import SACSettings
from models.settings.units import Units
from models.settings.vae import VAESettings

MODES = ("auto", "FULL", "GYM_ONLY", "SIMULATION")


OFF_POLICY = ("qrdqn", "sac")
"""Solvers that learn from a replay."""


BY_GRADIENTS = ("ppo", *OFF_POLICY)
"""Solvers that learn by gradients, which need torch."""


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
"""What runs and tasks may be called: they become directory names."""


MODULE = re.compile(r"(?!\d)\w+(?:\.(?!\d)\w+){0,20}")
"""What can be imported: names with dots between."""


INLINE = {"inline": True}
"""Marks a model's settings, whose keys stand among those of the section that contains them."""


@dataclass(frozen=True)
class CurriculumConfig:
    """The walk itself."""

    mode: str = key("auto", "what to run on: auto picks the best that works", choices=MODES)
    timeout_seconds: float = key(15.0, "limit of one component probe", low=5, high=60)
    max_retries: int = key(1, "tries of a failed stage before stepping down a mode", low=0, high=10)
    rounds: int = key(
        1, "passes collect..evaluate; later ones collect with the controller", low=1, high=100
    )
    tasks: tuple[str, ...] = key(
        (), "tasks to walk, in order; empty means all that are configured", unique=True
    )
    advance: str = key(
        "always",
        "what follows when a target is missed: always goes on to the next task, on_success ends "
        "the walk there",
        choices=("always", "on_success"),
    )
    attempts: int = key(
        1,
        "times a task is tried, each time anew and with other seeds, until its target is reached",
        low=1,
        high=10,
    )
    transfer: str = key(
        "none",
        "what a task begins from that the task finished before it has learned, where it fits: "
        "nothing, the weights of V, or those of V and M (world)",
        choices=("none", "vision", "world"),
    )
    stage_deadline_seconds: float = key(14400.0, "a stage past this is failed and retried", low=1)
    unit_deadline_seconds: float = key(
        1800.0, "a worker silent for so long over one unit of work is replaced", low=1
    )
    commit_seconds: float = key(60.0, "time between commits inside a long stage", low=1)
    device: str = key("auto", "where torch computes", choices=("auto", "cpu", "cuda"))
    workers: int = key(
        -1, "worker processes for episodes; -1 one per core, 0 none", low=-1, high=256
    )
    env_workers: int = key(
        -1,
        "processes for environments that a learner steps together; -1 as measured, 0 none",
        low=-1,
        high=256,
    )
    save_videos: bool = key(
        False, "write GIFs of the agent and PNG strips of reconstruction and dream"
    )
    tensorboard: bool = key(False, "write TensorBoard logs (needs the tensorboard extra)")
    sinks: tuple[str, ...] = key(
        (),
        "trackers that are told the run as well, offline unless their own variables say otherwise",
        choices=("tensorboard", "wandb", "mlflow", "trackio"),
    )
    plugins: tuple[str, ...] = key(
        (), "Python modules to import first; they may register environments", module=True
    )


@dataclass(frozen=True)
class EnvConfig:
    """How a task's environment is built; keys that do not concern it have no effect."""

    num_envs: int = key(16, "environments stepped together", low=1, high=1024)
    frame_skip: int = key(1, "frames one action is held", low=1, high=16)
    grayscale: bool = key(True, "one channel instead of three (pixels)")
    repeat_action_probability: float = key(0.0, "sticky actions of the emulator", low=0, high=1)
    noop_max: int = key(30, "random no-op actions at an Atari reset, at most", low=0, high=100)
    continuous: bool = key(False, "the continuous variant of LunarLander")
    max_episode_steps: int = key(
        0,
        "truncate episodes after so many steps; 0 is the environment's own limit, or 10,000 where "
        "it declares none",
        low=0,
    )
    actions: tuple[tuple[float, ...], ...] = key(
        (),
        "action vectors that C chooses among, which makes continuous actions discrete; none leaves "
        "actions as they are",
    )
    crop: tuple[int, ...] = key(
        (),
        "first row, end row, first column and end column of the native picture that are seen, at "
        "least 64 of each (pixels); empty is all of it",
        low=0,
        max_items=4,
        rectangle=64,
    )
    pooling: str = key(
        "area",
        "how a picture becomes 64 by 64 (pixels): the mean of what a pixel covers, or max, its "
        "brightest, which keeps a ball of two pixels as bright as it is",
        choices=("area", "max"),
    )
    maxpool: bool = key(
        True,
        "an Atari picture is the brightest of the last two frames, for games that flicker; false "
        "shows the last frame alone, where what moves is not drawn twice",
    )
    frame_stack: int = key(
        1,
        "frames in one observation (pixels): two show what moves among what looks like it",
        low=1,
        high=8,
    )
    simulation: str = key(
        "", "name of the numpy re-creation that stands in for it, if there is one"
    )
    kwargs: dict[str, Any] = field(
        default_factory=dict, metadata={"help": "further arguments of gymnasium.make"}
    )

    @property
    def channels(self) -> int:
        """Of an observation that is pixels."""
        return (1 if self.grayscale else 3) * self.frame_stack


@dataclass(frozen=True)
class CollectConfig:
    """Data for V and M."""

    num_random_rollouts: int = key(64, "episodes collected in the first round", low=1)
    num_policy_rollouts: int = key(
        32, "episodes collected by the controller in each later round", low=1
    )
    max_steps_per_rollout: int = key(1000, "steps after which a collected episode is cut", low=2)
    repeat_action_probability: float = key(
        0.75, "probability that the random policy keeps its last action", low=0, high=0.999
    )
    random_fraction: float = key(
        0.25, "share of random actions among the controller's when it collects", low=0, high=1
    )
    dataset: str = key(
        "",
        "a Minari dataset, by its id or directory, whose episodes the first round takes in place "
        "of playing its own; not read in mode SIMULATION",
    )


@dataclass(frozen=True)
class VAEConfig:
    """V, and how long it learns."""

    model: VAESettings = field(default_factory=VAESettings, metadata=INLINE)
    kind: str = key("", "a V of your own by the name it is registered by; empty is the mode's")
    epochs: int = key(10, "passes over the collected frames", low=1)
    max_steps: int = key(0, "update steps at most; 0 is no limit", low=0)
    batch_size: int = key(128, "frames per update", low=2, high=65536)
    joint_updates: int = key(
        0,
        "updates of V for each update of C, from frames that C's play shows; 0 leaves V as the "
        "vision stage learned it",
        low=0,
        high=10_000,
    )
    joint_envs: int = key(
        8, "environments whose frames are kept for these updates", low=1, high=4096
    )
    joint_steps: int = key(25_000, "newest steps of each whose frames are drawn from", low=2)


@dataclass(frozen=True)
class MDNRNNConfig:
    """M, and how long it learns."""

    model: MDNRNNSettings = field(default_factory=MDNRNNSettings, metadata=INLINE)
    kind: str = key("", "an M of your own by the name it is registered by; empty is the mode's")
    sequence_length: int = key(32, "steps per training sequence T", low=2, high=2000)
    epochs: int = key(20, "passes over the encoded episodes", low=1)
    max_steps: int = key(0, "update steps at most; 0 is no limit", low=0)
    batch_size: int = key(64, "sequences per update", low=1, high=65536)
    trained: bool = key(True, "false leaves M at its random start, to see what learning it brings")


@dataclass(frozen=True)
class ControllerConfig:
    """C: its shape, and how it is searched."""

    type: str = key("cpu", "cpu is pure numpy, original is torch", choices=("cpu", "original"))
    hidden_sizes: tuple[int, ...] = key(
        (), "hidden layers; none makes it linear as in the paper", low=1, high=4096, max_items=8
    )
    units: Units = field(default_factory=Units, metadata=INLINE)
    features: tuple[str, ...] = key(
        ("z", "h"),
        "what C sees: z, its change dz since the step before, the same of V's key points alone "
        "(k, dk), a what was done lately (means of actions over 4, 16 and 64 steps), and h",
        choices=("z", "dz", "k", "dk", "a", "h"),
        min_items=1,
        unique=True,
    )
    solver: str = key(
        "auto",
        "auto is pycma if installed, else the numpy ES; ppo learns by gradients from what it has "
        "just played, qrdqn (discrete actions) and sac (continuous ones) from a replay of all "
        "that was played; these three need torch",
        choices=("auto", "cma", "es", *BY_GRADIENTS),
    )
    solver_kind: str = key(
        "",
        "a solver of your own by the name it is registered by, which searches where solver does "
        "not learn by gradients; empty is as solver says",
    )
    polish_generations: int = key(
        0, "generations of CMA-ES over C's last layer after gradients; 0 is none", low=0
    )
    population_size: int = key(16, "candidates per generation", low=4, high=10000)
    rollouts_per_candidate: int = key(4, "episodes per candidate and generation", low=1, high=1000)
    generations: int = key(100, "generations at most", low=1)
    sigma: float = key(0.5, "initial standard deviation", low=0, open_low=True)
    hidden_sigma: float = key(
        0.1,
        "factor on sigma for weights that read h, which are many and matter less at first",
        low=0,
        open_low=True,
    )
    train_in_dream: bool = key(False, "learn inside M instead of the real environment")
    max_steps_per_rollout: int = key(
        0, "cut fitness episodes after so many steps; 0 is no cut", low=0
    )
    check_every: int = key(
        10, "generations between checks of the mean on fresh real episodes; 0 is never", low=0
    )
    check_episodes: int = key(16, "episodes of such a check", low=1)
    check_idle_steps: int = key(
        0,
        "cut an episode of a check after so many steps without a reward, its score as it stands: "
        "greedy games may go in circles for hours; the evaluation cuts none; 0 never does",
        low=0,
    )
    stop_margin: float = key(
        0.05,
        "stop when a confirmed check beats the target by this share of its size",
        low=0,
        high=10,
    )


@dataclass(frozen=True)
class DreamConfig:
    """M as an environment."""

    starts: str = key(
        "anywhere",
        "where dreams begin: anywhere in collected episodes, or with what these began with",
        choices=("anywhere", "first"),
    )
    temperature: float = key(1.0, "tau of the mixture", low=0.5, high=2.0)
    max_steps: int = key(300, "steps after which a dreamed episode is cut", low=1)
    num_envs: int = key(64, "dreams stepped together", low=1, high=65536)


@dataclass(frozen=True)
class EvaluateConfig:
    """The verdict."""

    episodes: int = key(100, "full real episodes on fresh seeds", low=1, high=1_000_000)
    sampled: bool = key(
        False, "judge by actions drawn from the policy instead of the most likely ones"
    )
    epsilon: float = key(
        0.0,
        "share of actions that sampled play draws from all of them, the others being the most "
        "likely ones, as agents that learn values are judged (Mnih et al. 2015); 0 draws from the "
        "policy",
        low=0,
        high=1,
    )
    both: bool = key(
        False, "report the other way of acting too, on the same seeds; the verdict is by `sampled`"
    )
    insight_episodes: int = key(
        20,
        "greedy episodes that are looked at more closely where an environment tells more than a "
        "score, as CarRacing does of laps; 0 is none",
        low=0,
    )
    confidence: float = key(0.95, "level of the bootstrap interval", low=0.5, high=0.999)


@dataclass(frozen=True)
class TaskConfig:
    """One rung: what is played, the score that passes, and this task's own sections."""

    name: str = key("", "filled in from the task's key")
    env_id: str = key("", "Gymnasium id, or registered name", min_items=1)
    observation: str = key("pixels", "what the agent sees", choices=("pixels", "state"))
    target: float = key(0.0, "mean score that passes")
    simulation_target: float = key(0.0, "mean score that passes in SIMULATION")
    env: EnvConfig = field(default_factory=EnvConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    vae: VAEConfig = field(default_factory=VAEConfig)
    mdnrnn: MDNRNNConfig = field(default_factory=MDNRNNConfig)
    controller: ControllerConfig = field(default_factory=ControllerConfig)
    ppo: PPOSettings = field(default_factory=PPOSettings)
    replay: ReplaySettings = field(default_factory=ReplaySettings)
    qrdqn: QRDQNSettings = field(default_factory=QRDQNSettings)
    sac: SACSettings = field(default_factory=SACSettings)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    shaping: ShapingConfig = field(default_factory=ShapingConfig)
    dream: DreamConfig = field(default_factory=DreamConfig)
    evaluate: EvaluateConfig = field(default_factory=EvaluateConfig)

    def target_of(self, *, simulated: bool) -> float:
        """The score that passes in the real environment, or in its numpy re-creation."""
        return self.simulation_target if simulated else self.target

    @property
    def learner(self) -> PPOSettings | QRDQNSettings | SACSettings:
        """What the model is told that learns C by gradients; PPO's where none does."""
        off_policy = {"qrdqn": self.qrdqn, "sac": self.sac}
        return off_policy.get(self.controller.solver, self.ppo)


@dataclass(frozen=True)
class Config:
    """A whole run, validated; sections at the top are defaults that each task has merged in."""

    name: str = key("curriculum", "name of the run; its directory is <run_dir>/<name>", name=True)
    seed: int = key(0, "root of every random stream", low=0, high=2**63 - 1)
    run_dir: str = key("runs", "parent of run directories", min_items=1)
    curriculum: CurriculumConfig = field(default_factory=CurriculumConfig)
    tasks: tuple[TaskConfig, ...] = ()
