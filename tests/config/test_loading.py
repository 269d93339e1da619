"""Loading: which source wins, and that everything wrong is told with its place."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from curriculum.config.loading import load_config
from curriculum.config.schema import Config
from curriculum.errors import ConfigError, ExitCode
from curriculum.tasks import BUILTIN
from tests.patience import HANG_S

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def load_text(text: str, *sets: str, preset: str | None = None) -> Config:
        path = tmp_path / "c.yaml"
        path.write_text(text)
        return load_config(path, sets, preset, BUILTIN)

    return load_text


def refusal(load: Load, text: str, *sets: str, preset: str | None = None) -> list[str]:
    """Returns the problems told, one a line, with the directory left out."""
    with pytest.raises(ConfigError) as caught:
        load(text, *sets, preset=preset)
    assert caught.value.exit_code == ExitCode.USAGE
    lines = str(caught.value).splitlines()
    if len(lines) > 1:
        assert lines[0] == f"the configuration has {len(lines) - 1} problems:"
        lines = lines[1:]
    return [
        line.strip()[line.strip().find("c.yaml") :] if "c.yaml" in line else line.strip()
        for line in lines
    ]


def names(config: Config) -> list[str]:
    return [task.name for task in config.tasks]


def test_without_tasks_all_four_are_walked(load: Load) -> None:
    config = load("name: x")
    assert names(config) == ["pong", "lunarlander", "breakout", "carracing"]
    assert [t.env_id for t in config.tasks] == [BUILTIN[n]["env_id"] for n in names(config)]


def test_tasks_are_selected_and_ordered(load: Load) -> None:
    assert names(load("tasks: {breakout: , pong: {}}")) == ["breakout", "pong"]
    assert names(load("curriculum: {tasks: [breakout, pong]}")) == ["breakout", "pong"]
    assert names(load("tasks: {pong: {}}", "curriculum.tasks=[lunarlander]")) == ["lunarlander"]
    assert names(load("name: x", "tasks.breakout.target=1")) == list(BUILTIN)


def test_the_strongest_source_wins(load: Load) -> None:
    """Each source alone beats the ones before it."""
    sources: list[tuple[str, tuple[str, ...], str | None, int]] = [
        ("name: x", (), None, 64),
        ("collect: {num_random_rollouts: 2}", (), None, 2),
        (
            "collect: {num_random_rollouts: 2}\ntasks: {pong: {collect: {num_random_rollouts: 3}}}",
            (),
            None,
            3,
        ),
    ]
    file = sources[-1][0]
    sources += [
        (file, (), "quick", 16),
        (file, ("collect.num_random_rollouts=5",), "quick", 5),
        (
            file,
            ("tasks.pong.collect.num_random_rollouts=6", "collect.num_random_rollouts=5"),
            "quick",
            6,
        ),
        (
            file,
            ("collect.num_random_rollouts=5", "collect.num_random_rollouts=7"),
            "quick",
            7,
        ),
    ]
    for text, sets, preset, expected in sources:
        pong = load(text, *sets, preset=preset).tasks[0]
        assert pong.collect.num_random_rollouts == expected


def test_built_in_tasks_win_over_general_sections_only(load: Load) -> None:
    tasks = {t.name: t for t in load("env: {frame_skip: 2, num_envs: 3}").tasks}
    assert tasks["pong"].env.frame_skip == 4
    assert tasks["lunarlander"].env.frame_skip == 2
    assert tasks["pong"].env.num_envs == 3
    assert load("tasks: {pong: {env: {frame_skip: 2}}}").tasks[0].env.frame_skip == 2
    assert load("name: x", "env.frame_skip=2").tasks[0].env.frame_skip == 2


def test_a_task_of_one_s_own_needs_yaml_alone(load: Load) -> None:
    config = load(
        "tasks:\n  cart: {env_id: CartPole-v1, observation: state, target: 475,\n"
        "         env: {kwargs: {sutton_barto_reward: true, limits: [1, 2.5]}}}\n",
        "tasks.cart.env.kwargs.extra=x",
    )
    (cart,) = config.tasks
    assert (cart.env_id, cart.observation, cart.target) == ("CartPole-v1", "state", 475.0)
    assert type(cart.target) is float
    assert cart.env.kwargs == {"sutton_barto_reward": True, "limits": [1, 2.5], "extra": "x"}
    own = load("name: x", "tasks.cart={env_id: C, observation: state, target: 1}")
    assert names(own) == [*BUILTIN, "cart"]


@pytest.mark.parametrize("key", ["env_id", "observation", "target"])
def test_a_task_of_one_s_own_says_what_it_is(load: Load, key: str) -> None:
    given = {"env_id": "C-v1", "observation": "state", "target": 3}
    del given[key]
    (line,) = refusal(load, f"tasks:\n  cart: {given}")
    assert line.startswith("c.yaml:2: tasks.cart: not a built-in task")
    assert line.endswith(f"missing {key}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "vae:\n  z_dim: -3",
            "c.yaml:2: vae.z_dim: given -3, expected an integer between 1 and 1024",
        ),
        ("vae: {z_dim: true}", "c.yaml:1: vae.z_dim: given true, expected an integer between"),
        ("vae: {z_dim: 3.0}", "expected an integer between 1 and 1024; write 3"),
        (
            "vae: {z_dim: '3'}",
            "given '3', expected an integer between 1 and 1024; write it without",
        ),
        ("vae: {z_dim: }", "vae.z_dim: given nothing, expected an integer"),
        ("vae: {z_dim: [3]}", "vae.z_dim: given [3], expected an integer"),
        ("vae: {beta: .nan}", "vae.beta: given nan, expected a number between 0 and 100"),
        ("vae: {reconstruction_scale: 1e999}", "given inf, expected a number above 0"),
        ("vae: {learning_rate: 0}", "given 0, expected a number above 0 and up to 1"),
        ("vae: {learning_rate: 1e-4 }\ncollect: {random_fraction: 2}", "c.yaml:2: collect.random_"),
        (
            "curriculum: {mode: gym_only}",
            "expected one of auto, FULL, GYM_ONLY, SIMULATION; did you",
        ),
        ("curriculum: {save_videos: yes}", "given 'yes', expected true or false"),
        ("curriculum: {save_videos: 1}", "given 1, expected true or false"),
        (
            "curriculum: {tasks: pong}",
            "given 'pong', expected a list, each item a text; write [pong]",
        ),
        ("curriculum: {tasks: [pong, pong]}", "expected no item twice"),
        ("curriculum: {tasks: [1]}", 'curriculum.tasks[0]: given 1, expected a text; write "1"'),
        ("controller: {features: []}", "expected at least one: one of z, dz, k, dk, a, h"),
        (
            "controller: {features: [z, q]}",
            "controller.features[1]: given 'q', expected one of z, dz, k, dk, a, h",
        ),
        ("controller: {hidden_sizes: [32, 0]}", "controller.hidden_sizes[1]: given 0, expected"),
        ("controller: {hidden_sizes: 32}", "expected a list"),
        ("name: a/b", "name: given 'a/b', expected a name of up to 64 letters"),
        ("name: ..", "expected a name"),
        ("run_dir: ''", "run_dir: given '', expected a text that is not empty"),
        ("seed: -1", "seed: given -1, expected an integer between 0 and"),
        ("nmae: 1", "c.yaml:1: nmae: unknown key; did you mean name?"),
        ("vae: {bta: 1}", "vae.bta: unknown key; did you mean beta?"),
        ("beta: 1", "beta: unknown key; did you mean vae.beta?"),
        (
            "curriculum: {epochs: 1}",
            "did you mean vae.epochs or mdnrnn.epochs or ppo.epochs?",
        ),
        ("vae: {qqq: 1}", "vae.qqq: unknown key; known are z_dim,"),
        ("vae: {channels: [8, 8, 8, 8, 8, 8]}", "vae.channels: given 6 items, expected 5 at most"),
        ("vae: 3", "c.yaml:1: vae: given 3, expected keys with values below it"),
        ("tasks: [pong]", "to choose tasks write curriculum.tasks"),
        ("tasks: 3", "tasks: given 3, expected keys"),
        ("tasks: {}", "c.yaml:1: tasks: no task is configured"),
        ("tasks: {a/b: {}}", "tasks: given the name 'a/b', expected a name"),
        ("tasks: {pong: {name: x}}", "tasks.pong.name: unknown key"),
        ("tasks: {pong: {env_id: ''}}", "tasks.pong.env_id: given '', expected a text that is not"),
        ("tasks: {pong: {vae: {z_dim: x}}}", "tasks.pong.vae.z_dim: given 'x', expected"),
        ("tasks: {pnog: {}}", "tasks.pnog: not a built-in task (did you mean pong?)"),
        (
            "curriculum: {tasks: [pnog]}",
            "given the unknown task 'pnog' (did you mean pong?); known",
        ),
        ("env: {kwargs: {a: [.inf]}}", "env.kwargs.a[0]: given inf, expected a finite number"),
        ("env: {actions: 3}", "env.actions: given 3, expected a list of lists of finite numbers"),
        ("env: {actions: [1, 2]}", "expected a list of lists of finite numbers"),
        ("env: {actions: [[1], []]}", "expected a list of lists of finite numbers"),
        ("env: {actions: [[1], [.inf]]}", "expected a list of lists of finite numbers"),
        ("env: {actions: [[1], [true]]}", "expected a list of lists of finite numbers"),
        ("env: {actions: [[0, 1], [0]]}", "expected as many numbers in one list as in another"),
        ("env: {actions: [[0, 1]]}", "expected at least two lists, and none of them twice"),
        ("env: {actions: [[0], [1], [0.0]]}", "at least two lists, and none of them twice"),
        ("[1, 2]", "the configuration: given [1, 2], expected keys with values below it"),
        ("hello", "the configuration: given 'hello', expected keys"),
        ("vae: {z_dim: 3, z_dim: 4}", "key z_dim is given twice"),
        ("vae: {z_dim: !!int 3}", "tag !!int"),
    ],
)
def test_wrong_values_are_told_with_what_was_expected(load: Load, text: str, expected: str) -> None:
    (line,) = refusal(load, text)
    assert expected in line
    assert line.startswith("c.yaml:")


def test_a_table_of_actions_is_read_from_any_source(load: Load) -> None:
    table = "[[0, 1, 0], [-0.6, 0.2, 0]]"
    expected = ((0.0, 1.0, 0.0), (-0.6, 0.2, 0.0))
    assert load(f"tasks: {{carracing: {{env: {{actions: {table}}}}}}}").tasks[0].env.actions == (
        expected
    )
    config = load("tasks: {carracing: }", f"tasks.carracing.env.actions={table}")
    assert config.tasks[0].env.actions == expected
    assert load(f"env: {{actions: {table}}}", "env.actions=[]").tasks[0].env.actions == ()


def test_all_problems_are_told_at_once(load: Load) -> None:
    lines = refusal(
        load,
        "seed: x\nvae:\n  z_dim: 0\n  z_dmi: 1\ntasks:\n  pong: {target: y}\nseed: 3\n",
        "vae.beta=-1",
        "nonsense",
        preset="quick",
    )
    assert sorted(line.split(": ")[0] for line in lines) == [
        "--set nonsense",
        "--set vae.beta=-1",
        "c.yaml:1",
        "c.yaml:3",
        "c.yaml:4",
        "c.yaml:6",
        "c.yaml:7",
    ]


def test_a_wrong_value_is_told_even_where_another_source_wins(load: Load) -> None:
    assert len(refusal(load, "vae: {z_dim: 0}", "vae.z_dim=8")) == 1


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("vae.beta", "expected KEY=VALUE"),
        ("=3", "expected KEY=VALUE"),
        ("vae..beta=3", "expected KEY=VALUE"),
        ("vae.beta=", "the value is missing"),
        ("vae.beta=x", "vae.beta: given 'x', expected a number between 0 and 100"),
        ("vae.beta=[1", "not valid YAML"),
        ("vae.beta=!!python/name:os.system", "tags are not allowed"),
        ("vae.beta=*a", "aliases are not allowed"),
        ("vae.beta.x=3", "vae.beta: given {'x': 3}, expected a number"),
        ("vea.beta=3", "vea: unknown key; did you mean vae?"),
        ("curriculum.tasks=pong", "expected a list"),
        ("curriculum.tasks=[pnog]", "unknown task 'pnog'"),
        ("tasks.pnog.target=3", "not a built-in task (did you mean pong?)"),
    ],
)
def test_wrong_overrides_are_named(load: Load, override: str, expected: str) -> None:
    (line,) = refusal(load, "name: x", override)
    assert line.startswith(f"--set {override}: ")
    assert expected in line


def test_overrides_are_read_like_the_file(load: Load) -> None:
    config = load(
        "name: x",
        "vae.learning_rate=1e-4",
        "curriculum.save_videos=true",
        "controller.hidden_sizes=[32, 16]",
        'run_dir="a=b"',
        "vae={beta: 0.5, epochs: 3}",
        "vae.epochs=4",
    )
    pong = config.tasks[0]
    assert (pong.vae.model.learning_rate, pong.vae.model.beta, pong.vae.epochs) == (1e-4, 0.5, 4)
    assert config.curriculum.save_videos is True
    assert pong.controller.hidden_sizes == (32, 16)
    assert config.run_dir == "a=b"


def test_an_unknown_preset_is_refused(load: Load) -> None:
    (line,) = refusal(load, "name: x", preset="fast")
    assert line == "preset 'fast' is unknown, expected one of quick, full, paper"


def test_thousands_of_problems_are_told_in_time(load: Load) -> None:
    started = time.process_time()
    with pytest.raises(ConfigError, match=r"has 20001 problems(.|\n)*and 19981 more$"):
        load("vae:\n" + "".join(f"  k{i}: 1\n" for i in range(20_000)) + "x: 1\n")
    assert time.process_time() - started < 2.0


def test_loading_needs_nothing_heavy() -> None:
    code = (
        "import sys, curriculum.config.loading;"
        "heavy = {'numpy', 'torch', 'gymnasium', 'rich'} & set(sys.modules);"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, timeout=HANG_S, check=False)
    assert done.returncode == 0
