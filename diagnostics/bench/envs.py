"""What is measured of environments: ours beside what others would step the same games with.

All play random actions, or one trivial action where that is said; episodes that end begin again,
and the time that takes counts.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from curriculum.envs.interface import VectorEnv
from curriculum.envs.simulation import SIMULATIONS, make_simulation
from diagnostics.bench.measuring import Case, NotMeasured
from diagnostics.cores import available_cores

if TYPE_CHECKING:
    from diagnostics.bench.rivals import Play

CORES = available_cores()
ATARI_ENVS, RIVAL_ENVS, ATARI_STEPS, ATARI_CALLS = 64, 8, 10, 8
LANDER_ENVS, LANDER_STEPS, LANDER_CALLS = 256, 30, 6
RACING_FRAMES, RACING_SKIP = 1000, 4
"""A whole episode of CarRacing, so that each run holds one reset per environment."""


def env_cases() -> Iterator[Case | Sequence[Case] | NotMeasured]:
    """Yields one group per game, real ones where they can be made, simulations always."""
    yield from _or_missing("Pong", ("gymnasium", "ale_py"), partial(_atari, "Pong", "pong"))
    yield from _or_missing(
        "Breakout", ("gymnasium", "ale_py"), partial(_atari, "Breakout", "breakout")
    )
    yield from _or_missing("Pong with V and M", ("ale_py", "torch"), _overlap)
    yield from _or_missing("CarRacing", ("gymnasium", "Box2D", "pygame", "ale_py"), _car_racing)
    yield from _or_missing("LunarLander", ("gymnasium", "Box2D"), _lunar_lander)
    for name in SIMULATIONS:
        kind = "state" if name == "lunarlander" else "pixels"
        env = make_simulation(name, 16, observation=kind, grayscale=name != "carracing")
        yield _case(f"simulated {name}", "numpy", env, 50)


def _or_missing(name: str, packages: Sequence[str], groups) -> Iterator:
    missing = [package for package in packages if find_spec(package) is None]
    if missing:
        yield NotMeasured(f"{name} needs {', '.join(missing)}")
    else:
        yield from groups()


def _atari(name: str, rom: str) -> Iterator[Sequence[Case] | NotMeasured]:
    from curriculum.envs.registry import make_env
    from diagnostics.bench.rivals import native_atari, steps_of, wrapped_atari

    env_id = f"{name}NoFrameskip-v4"
    ours = make_env(env_id, "pixels", ATARI_ENVS, frame_skip=4)
    bare = native_atari(rom, ATARI_ENVS, CORES)
    size = ours.spec.action.size
    actions = _discrete(size, ATARI_ENVS, ATARI_STEPS)
    title = f"{name}, 4 frames a step"
    beside = partial(Case, "env", title, unit="steps", calls=ATARI_CALLS)
    wanted = {"ale-py alone": 0.95}
    others = []
    if find_spec("cv2") is None or find_spec("stable_baselines3") is None:
        yield NotMeasured(
            f"{name} in Stable-Baselines3's wrappers: pip install stable-baselines3 "
            "opencv-python-headless"
        )
    else:
        for how in ("Async", "Sync"):
            made = wrapped_atari(env_id, RIVAL_ENVS, how == "Async")
            label = f"{how}VectorEnv, SB3 wrappers"
            wanted[label] = 2.0
            play = steps_of(made, _discrete(size, RIVAL_ENVS, ATARI_STEPS))
            items = RIVAL_ENVS * ATARI_STEPS
            others.append(beside(label, items=items, work=play, close=made.close))
    items = ATARI_ENVS * ATARI_STEPS
    yield [
        beside(
            "ours",
            items=items,
            work=_play(ours, actions),
            wanted=wanted,
            close=ours.close,
        ),
        beside("ale-py alone", items=items, work=steps_of(bare, actions), close=bare.close),
        *others,
    ]


def _overlap() -> Iterator[Sequence[Case]]:
    from curriculum.envs.registry import make_env
    from models.mdnrnn import MDNRNN
    from models.vae import ConvVAE

    env = make_env("PongNoFrameskip-v4", "pixels", ATARI_ENVS, frame_skip=4)
    vision, memory = ConvVAE((64, 64, 1)), MDNRNN(32, env.spec.action.size)
    actions = _discrete(env.spec.action.size, ATARI_ENVS, ATARI_STEPS)
    env.reset(range(ATARI_ENVS))

    def play(overlapped: bool) -> None:
        state = memory.initial_state(ATARI_ENVS)
        latents = np.zeros((ATARI_ENVS, 32), np.float32)
        for batch in actions:
            taken = env.spec.action.encode(env.send(batch))
            if overlapped:
                state = memory.step(state, latents, taken)
            step = env.recv()
            if not overlapped:
                state = memory.step(state, latents, taken)
            latents = vision.encode(step.observations)
            _begin_again(env, step.terminated | step.truncated)

    title = f"Pong with V and M, {ATARI_ENVS} games"
    items = ATARI_ENVS * ATARI_STEPS
    beside = partial(Case, "env", title, unit="steps", items=items, calls=ATARI_CALLS)
    yield [
        beside("M while they play", work=partial(play, True), wanted={"one after the other": 0}),
        beside("one after the other", work=partial(play, False), close=env.close),
    ]


def _car_racing() -> Iterator[Sequence[Case]]:
    from diagnostics.bench.rivals import steps_of, stock_car_racing

    for processes, skip, ratio in ((2, RACING_SKIP, 5.0), (1, 1, 2.0)):
        steps = RACING_FRAMES // skip
        where = f"{processes} processes" if processes > 1 else "1 process"
        title = f"CarRacing, skip {skip}, {where}"
        stock = stock_car_racing(processes, skip)
        batches = [("ours", _racing(processes, skip, processes if processes > 1 else 0))]
        if processes > 1:
            batches.append(("ours, 8 in each", _racing(8 * processes, skip, processes)))
        cases = []
        for label, env in batches:
            items = env.num_envs * RACING_FRAMES
            work = _play(env, _driving(env.num_envs, steps))
            cases.append(
                Case(
                    "env",
                    title,
                    label,
                    "frames",
                    items,
                    work,
                    wanted={"stock": ratio if label == "ours" else 0.0},
                    calls=1,
                    close=env.close,
                )
            )
        work = steps_of(stock, _driving(processes, steps))
        items = processes * RACING_FRAMES
        rival = Case("env", title, "stock", "frames", items, work, calls=1, close=stock.close)
        yield [*cases, rival]


def _racing(num_envs: int, skip: int, workers: int) -> VectorEnv:
    from curriculum.envs.registry import make_env

    options = {"frame_skip": skip, "grayscale": False, "workers": workers}
    return make_env("CarRacing-v3", "pixels", num_envs, **options)


def _lunar_lander() -> Iterator[Sequence[Case] | NotMeasured]:
    if find_spec("stable_baselines3") is None:
        yield NotMeasured("LunarLander in SB3's DummyVecEnv: pip install stable-baselines3")
    rng = np.random.default_rng(0)
    idle = [np.zeros(LANDER_ENVS, np.int64)] * LANDER_STEPS
    yield _landers("LunarLander, engines off", idle, 5.0)
    drawn = list(rng.integers(0, 4, (LANDER_STEPS, LANDER_ENVS)))
    yield _landers("LunarLander, random actions", drawn, 0.0)


def _landers(title: str, actions: Sequence[np.ndarray], ratio: float) -> list[Case]:
    from curriculum.envs.registry import make_env
    from diagnostics.bench.rivals import steps_of

    env = make_env("LunarLander-v3", "state", LANDER_ENVS, workers=CORES)
    here = make_env("LunarLander-v3", "state", LANDER_ENVS)
    items = LANDER_ENVS * LANDER_STEPS
    beside = partial(Case, "env", title, unit="steps", items=items, calls=LANDER_CALLS)
    rival = "DummyVecEnv of SB3"
    cases = [
        beside(
            f"ours, {CORES} workers",
            work=_play(env, actions),
            target=60_000.0 if ratio else 0.0,
            wanted={rival: ratio},
            close=env.close,
        ),
        beside("ours, in process", work=_play(here, actions), wanted={rival: 0}, close=here.close),
    ]
    if find_spec("stable_baselines3") is not None:
        import gymnasium
        from stable_baselines3.common.vec_env import DummyVecEnv

        dummy = DummyVecEnv([partial(gymnasium.make, "LunarLander-v3")] * LANDER_ENVS)
        dummy.seed(0)
        dummy.reset()
        cases.append(beside(rival, work=steps_of(dummy, actions), close=dummy.close))
    return cases


def _case(name: str, implementation: str, env: VectorEnv, steps: int) -> Case:
    rng = np.random.default_rng(0)
    batches = [
        np.stack([env.spec.action.sample(rng) for _ in range(env.num_envs)]) for _ in range(steps)
    ]
    items = env.num_envs * steps
    return Case("env", name, implementation, "steps", items, _play(env, batches), close=env.close)


def _play(env: VectorEnv, actions: Sequence[np.ndarray]) -> Play:
    """Returns what plays the actions `[steps, N, ...]`, episodes beginning again as they end."""
    env.reset(range(env.num_envs))

    def play() -> None:
        for batch in actions:
            step = env.step(batch)
            _begin_again(env, step.terminated | step.truncated)

    return play


def _begin_again(env: VectorEnv, over: np.ndarray) -> None:
    if over.any():
        env.reset(None, np.flatnonzero(over).tolist())


def _discrete(size: int, num_envs: int, steps: int) -> list[np.ndarray]:
    return list(np.random.default_rng(0).integers(0, size, (steps, num_envs)))


def _driving(num_envs: int, steps: int) -> list[np.ndarray]:
    """Steering at random with some gas, so that a car sees track, grass and curves."""
    rng = np.random.default_rng(0)
    low, high = (-1.0, 0.0, 0.0), (1.0, 0.6, 0.2)
    return list(rng.uniform(low, high, (steps, num_envs, 3)).astype(np.float32))
