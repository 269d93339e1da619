"""Learned agents from Python: opened without a runner, played step by step, dreamed in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from curriculum.agent import Agent, load_agent
from curriculum.agent.dream_env import DreamEnv
from curriculum.agent.episodes import run_episodes
from curriculum.cli.main import main
from curriculum.envs.export.single import ExportedEnv
from curriculum.errors import ConfigError, NoCheckpoint
from curriculum.records.rundir import RunDir

pytestmark = pytest.mark.gym

TWO_TASKS = """\
name: two
curriculum: {mode: GYM_ONLY, workers: 0}
collect: {num_random_rollouts: 4, max_steps_per_rollout: 30}
mdnrnn: {rnn_size: 8, sequence_length: 4}
controller: {population_size: 4, generations: 2, rollouts_per_candidate: 1, check_episodes: 2}
evaluate: {episodes: 3}
env: {num_envs: 2, max_episode_steps: 40}
tasks:
  pole: {env_id: CartPole-v1, observation: state, target: 500}
  car: {env_id: MountainCarContinuous-v0, observation: state, target: 90}
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("agents")
    (path / "two.yaml").write_text(TWO_TASKS)
    command = ["run", str(path / "two.yaml"), "--run-dir", str(path / "two"), "--quiet"]
    assert main(command) == 3
    return path / "two"


def play(agent: Agent, seed: int, sampled: int | None = None) -> tuple[float, int]:
    """One episode by `act` alone."""
    env = agent.make_env(1)
    seen, over, score, steps = env.reset([seed]), False, 0.0, 0
    agent.begin(sampled)
    while not over:
        step = env.step(np.asarray(agent.act(seen[0]))[None])
        seen, over = step.observations, bool(step.terminated[0] | step.truncated[0])
        score, steps = score + float(step.rewards[0]), steps + 1
    env.close()
    return score, steps


@pytest.mark.parametrize("task", ["pole", "car"])
def test_an_agent_of_a_run_acts_as_it_does_in_a_batch(run: Path, task: str) -> None:
    agent, seeds = load_agent(run, task), [3, 4, 5]
    env = agent.make_env(2)
    played = run_episodes(env, agent.player(2), seeds)
    env.close()
    alone = [play(agent, seed) for seed in seeds]
    assert [steps for _, steps in alone] == [episode.steps for episode in played]
    np.testing.assert_allclose([score for score, _ in alone], [e.score for e in played], rtol=1e-5)


def test_what_was_learned_is_the_whole_agent(run: Path) -> None:
    agent, other = load_agent(run, "pole"), load_agent(run, "pole")
    learned = agent.state()
    assert {name.partition("/")[0] for name in learned} == {"vision", "memory", "parameters"}
    changed = {n: a + 1 if a.dtype.kind == "f" else a for n, a in learned.items()}
    other.load(changed)
    now = other.state()
    assert all(np.array_equal(now[name], array) for name, array in changed.items())
    other.load({"parameters": learned["parameters"]})
    assert np.array_equal(other.state()["parameters"], learned["parameters"])
    name = next(n for n, a in changed.items() if n.startswith("memory/") and a.dtype.kind == "f")
    assert np.array_equal(other.state()[name], changed[name]), "what is not given stays"
    with pytest.raises(ValueError, match="expected"):
        other.load({"parameters": learned["parameters"][:-1]})


def test_drawn_actions_follow_from_their_seed(run: Path) -> None:
    agent = load_agent(run, "pole")
    assert play(agent, 3, sampled=1) == play(agent, 3, sampled=1)
    assert len({play(agent, 3, sampled=seed) for seed in range(8)}) > 1


def test_memory_hears_of_what_was_really_done(run: Path) -> None:
    agent = load_agent(run, "pole")
    env = agent.make_env(1)
    seen = env.reset([0])
    env.close()
    states = []
    for told in (None, 0, 1):
        agent.begin()
        said = agent.act(seen[0])
        if told is not None:
            agent.observe(told)
        agent.act(seen[0])
        assert agent._player is not None
        states.append(agent._player._perception.state()["memory"])  # type: ignore[attr-defined]
    assert not np.array_equal(states[1], states[2])
    assert np.array_equal(states[0], states[1 + int(said)])


def test_an_agent_says_what_it_needs(run: Path, tmp_path: Path) -> None:
    agent = load_agent(run, "pole")
    with pytest.raises(RuntimeError, match=r"call begin\(\) first"):
        agent.act(np.zeros(4, np.float32))
    agent.begin()
    with pytest.raises(RuntimeError, match="before act"):
        agent.observe(1)
    with pytest.raises(ValueError, match=r"has the shape \(3,\), expected \(4,\)"):
        agent.act(np.zeros(3, np.float32))
    with pytest.raises(ValueError, match="not finite"):
        agent.act(np.full(4, np.nan, np.float32))
    with pytest.raises(ValueError, match="num_envs was 0"):
        agent.make_env(0)
    with pytest.raises(ConfigError, match="is an agent of lunarlander, not of pong"):
        load_agent("lunarlander", "pong")
    with pytest.raises(ConfigError, match="several tasks, pole, car"):
        load_agent(run)
    with pytest.raises(ConfigError, match="has no task 'pong'"):
        load_agent(run, "pong")
    with pytest.raises(ConfigError, match="shipped are"):
        load_agent("nobody")
    empty = RunDir.create(tmp_path / "empty", TWO_TASKS)
    with pytest.raises(NoCheckpoint, match="no finished controller for pole"):
        load_agent(empty.path, "pole")
    text = TWO_TASKS.replace("workers: 0", "workers: 0, plugins: [json]")
    foreign = RunDir.create(tmp_path / "foreign", text)
    with pytest.raises(ConfigError, match="modules to be imported: json"):
        load_agent(foreign.path, "pole")


def test_a_shipped_agent_is_opened_by_its_name() -> None:
    pytest.importorskip("torch")
    score, steps = play(load_agent("lunarlander"), seed=11)
    assert score > 100 and steps < 1000


@pytest.mark.parametrize("task", ["pole", "car"])
def test_a_dream_of_a_run_is_a_gymnasium_environment(run: Path, task: str) -> None:
    import gymnasium
    from gymnasium.utils.env_checker import check_env

    env = DreamEnv.from_run(run, task, max_steps=7)
    check_env(env, skip_render_check=True)
    latents = [env.reset(seed=seed)[0].tolist() for seed in range(30)]
    assert len({tuple(z) for z in latents}) > 10, "dreams begin anywhere in the run's episodes"
    made = gymnasium.make("curriculum.dreams:curriculum/Dream-v0", path=run, task=task, max_steps=7)
    seen, _ = made.reset(seed=5)
    np.testing.assert_array_equal(seen, env.reset(seed=5)[0])
    for _ in range(7):
        seen, reward, terminated, truncated, _ = made.step(made.action_space.sample())
        assert np.isfinite(seen).all() and np.isfinite(reward)
        if terminated or truncated:
            break
    assert terminated or truncated


def test_a_dream_without_collected_data_begins_with_first_frames() -> None:
    pytest.importorskip("torch")
    env = DreamEnv.from_run("pong", render_mode="rgb_array")
    seen, _ = env.reset(seed=0)
    assert seen.shape == (32,)
    picture = env.render()
    assert picture is not None and picture.shape == (64, 64, 3) and picture.dtype == np.uint8
    assert picture.std() > 0
    with pytest.raises(ValueError, match="render_mode was 'rgb_array', expected None"):
        DreamEnv.from_run("lunarlander", render_mode="rgb_array")


def test_the_real_environment_is_one_of_gymnasium_too(run: Path) -> None:
    from gymnasium.error import ResetNeeded
    from gymnasium.utils.env_checker import check_env

    agent = load_agent(run, "pole")
    env = ExportedEnv(agent.make_env(1))
    with pytest.warns(UserWarning, match="infinity"):
        check_env(env, skip_render_check=True)
    again = ExportedEnv(agent.make_env())
    with pytest.raises(ResetNeeded, match="call reset"):
        again.step(0)
    again.reset(seed=0)
    ended = False
    while not ended:
        _, _, terminated, truncated, _ = again.step(1)
        ended = terminated or truncated
    with pytest.raises(ResetNeeded, match="call reset"):
        again.step(1)
    with pytest.raises(ValueError, match="a batch of 2"):
        ExportedEnv(agent.make_env(2))
    with pytest.raises(ValueError, match="render_mode was 'rgb_array', expected None"):
        ExportedEnv(agent.make_env(1), render_mode="rgb_array")
