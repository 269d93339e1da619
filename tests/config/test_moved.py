"""Moved keys: old files mean what they meant, and whoever wrote them is told what to write now."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from curriculum.cli.main import main
from curriculum.config.loading import changed_keys, config_hash, dump, load_config
from curriculum.config.moved import ADVANCE, GONE, MOVED
from curriculum.config.schema import Config, TaskConfig
from curriculum.errors import ConfigError
from curriculum.tasks import BUILTIN

Read = Callable[..., tuple[Config, list[str]]]
PRETRAINED = Path(__file__).parents[2] / "models" / "pretrained"


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read_text(text: str, *sets: str) -> tuple[Config, list[str]]:
        path = tmp_path / "c.yaml"
        path.write_text(text)
        notices: list[str] = []
        config = load_config(path, sets, None, BUILTIN, notices.append)
        return config, [n.removeprefix(f"{tmp_path}/") for n in notices]

    return read_text


@pytest.mark.parametrize(("old", "new"), MOVED.items(), ids=lambda place: ".".join(place))
def test_a_moved_key_is_read_where_it_stands(
    read: Read, old: tuple[str, str], new: tuple[str, str]
) -> None:
    usual = getattr(getattr(TaskConfig(), new[0]), new[1])
    other = {bool: "true", int: str(int(usual) + 1), float: "0.5"}[type(usual)]
    as_it_was, notices = read(f"{old[0]}:\n  {old[1]}: {other}")
    as_it_is, none = read(f"{new[0]}:\n  {new[1]}: {other}")
    assert as_it_was == as_it_is != read("name: curriculum")[0]
    was, now = ".".join(old), ".".join(new)
    assert notices == [f"c.yaml:2: {was} has moved: write {now}"] and not none


def test_keys_of_a_task_and_of_the_command_line_have_moved_too(read: Read) -> None:
    config, notices = read(
        "tasks:\n  pong:\n    ppo: {num_envs: 3, gamma: 0.5}\n    training: {reuse: 2}\n",
        "tasks.pong.ppo.num_steps=5",
        "ppo={patience: 7}",
    )
    pong = config.tasks[0]
    assert (pong.training.num_envs, pong.training.reuse, pong.ppo.gamma) == (3, 2, 0.5)
    assert (pong.training.num_steps, pong.training.patience) == (5, 7)
    assert notices == [
        "c.yaml:3: tasks.pong.ppo.num_envs has moved: write tasks.pong.training.num_envs",
        "--set ppo={patience: 7}: ppo.patience has moved: write training.patience",
        "--set tasks.pong.ppo.num_steps=5: tasks.pong.ppo.num_steps has moved: "
        "write tasks.pong.training.num_steps",
    ]


def test_a_key_at_both_places_is_refused(read: Read) -> None:
    text = "ppo:\n  num_envs: 3\ntraining:\n  num_envs: 3\n"
    with pytest.raises(
        ConfigError,
        match=r"c\.yaml:2: ppo.num_envs is training.num_envs now, which .*c\.yaml:4 gives; keep",
    ):
        read(text)


def test_another_source_may_use_the_other_place(read: Read) -> None:
    assert read("ppo: {num_envs: 3}", "training.num_envs=4")[0].tasks[0].training.num_envs == 4
    assert read("training: {num_envs: 3}", "ppo.num_envs=4")[0].tasks[0].training.num_envs == 4


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("ppo:\n  num_envs: x", "c.yaml:2: training.num_envs: given 'x', expected an integer"),
        ("ppo: 3", "c.yaml:1: ppo: given 3, expected keys"),
        ("ppo: {num_envs: 1}\ntraining: 3", "c.yaml:2: training: given 3, expected keys"),
        ("tasks: {pong: 3}\nppo: {num_envs: 1}", "c.yaml:1: tasks.pong: given 3, expected keys"),
    ],
)
def test_what_is_wrong_at_an_old_place_is_told_like_any_other(
    read: Read, text: str, told: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(text)
    assert told in str(caught.value)


@pytest.mark.parametrize("prefix", ["", "tasks.pong."])
def test_what_is_gone_and_was_off_is_left_out(read: Read, prefix: str) -> None:
    values = {key: 0 if key == "branches" else 7 for key in GONE}
    config, notices = read("name: x", *(f"{prefix}ppo.{k}={v}" for k, v in values.items()))
    assert config == read("name: x")[0]
    assert notices == [
        f"--set {prefix}ppo.{k}={v}: {prefix}ppo.{k} is gone, with the dreams that began in "
        "rollouts: remove it"
        for k, v in values.items()
    ]


@pytest.mark.parametrize("value", ["256", "-1", "x", "[0]"])
def test_what_is_gone_and_was_on_is_refused_with_the_reason(read: Read, value: str) -> None:
    text = f"tasks:\n  pong:\n    ppo: {{branch_steps: 3, branches: {value}}}\n"
    with pytest.raises(ConfigError) as caught:
        read(text)
    told = str(caught.value)
    assert "c.yaml:3: tasks.pong.ppo.branches: given" in told
    assert "C learned worse with them" in told and "51d6e8c" in told
    assert "unknown key" not in told


@pytest.mark.parametrize(("switch", "word"), ADVANCE.items())
def test_the_switch_that_ended_a_walk_is_a_choice_now(read: Read, switch: bool, word: str) -> None:
    value = str(switch).lower()
    config, notices = read(f"curriculum:\n  stop_on_miss: {value}\n  rounds: 2")
    assert config == read(f"curriculum: {{advance: {word}, rounds: 2}}")[0]
    assert config.curriculum.advance == word
    assert notices == [
        f"c.yaml:2: curriculum.stop_on_miss has moved: write curriculum.advance: {word}"
    ]
    assert "stop_on_miss" not in dump(config)
    assert read("name: x", f"curriculum.stop_on_miss={value}")[0].curriculum.advance == word


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{stop_on_miss: yes}", "curriculum.stop_on_miss: given 'yes', expected true or false"),
        ("{stop_on_miss: 1}", "curriculum.stop_on_miss: given 1, expected true or false"),
        ("{stop_on_miss: true, advance: always}", "is curriculum.advance now, which"),
        ("{advance: never}", "curriculum.advance: given 'never'"),
        ("{attempts: 0}", "curriculum.attempts: given 0"),
        ("{attempts: 11}", "curriculum.attempts: given 11"),
        ("{transfer: all}", "curriculum.transfer: given 'all'"),
    ],
)
def test_a_wrong_course_of_the_walk_is_told(read: Read, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(f"curriculum: {text}")
    assert told in str(caught.value)


def test_a_moved_key_is_no_change(read: Read) -> None:
    was, _ = read("tasks: {pong: {ppo: {num_envs: 3}}}")
    now, _ = read("tasks: {pong: {training: {num_envs: 3}}}")
    assert changed_keys(was, now) == [] and config_hash(was) == config_hash(now)
    assert "training:" in dump(was)


@pytest.mark.parametrize("agent", ["pong", "lunarlander"])
def test_shipped_agents_load_as_they_are(agent: str) -> None:
    (task,) = load_config(PRETRAINED / agent / "task.yaml").tasks
    assert (task.training.num_envs, task.training.reuse) == {
        "pong": (32, 4),
        "lunarlander": (16, 3),
    }[agent]


def test_a_command_says_what_has_moved(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("ppo: {num_envs: 3}\n")
    assert main(["validate", str(path), "--full"]) == 0
    out, err = capfd.readouterr()
    assert err == f"{path}:1: ppo.num_envs has moved: write training.num_envs\n"
    assert "num_envs: 3" in out and "moved" not in out
