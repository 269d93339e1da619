"""The words that people of this field type: accepted with their meaning, or told what to write."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from curriculum.cli.arguments import build_parser
from curriculum.cli.arguments.readers import spelled_out
from curriculum.cli.meaning import config_path, directory_of, idle, sets_of, stages_of
from curriculum.config.schema import Config
from curriculum.errors import ConfigError
from curriculum.progress import STAGES
from curriculum.tasks import load_config

Said = list[str]


def meant(line: str) -> tuple[Config, tuple[str, ...], Path, Said]:
    """Returns what a command line comes to: configuration, stages, directory, and what was said."""
    said: Said = []
    args = build_parser().parse_args(line.split())
    config = load_config(config_path(args), sets_of(args, said.append), args.preset)
    return config, stages_of(args), directory_of(args, config), said + list(idle(args, config))


def first(config: Config):
    return config.tasks[0]


TYPED: list[tuple[str, Callable[[Config], object], object]] = [
    ("run --env LunarLander-v2", lambda c: [t.name for t in c.tasks], ["lunarlander"]),
    (
        "run --env-list Breakout,ALE/Pong-v5",
        lambda c: [t.name for t in c.tasks],
        ["breakout", "pong"],
    ),
    ("run quick --tasks CarRacing-v2", lambda c: [t.name for t in c.tasks], ["carracing"]),
    ("run default --mode simulation", lambda c: c.curriculum.mode, "SIMULATION"),
    ("run default --mode gym-only", lambda c: c.curriculum.mode, "GYM_ONLY"),
    ("run default --experiment first", lambda c: c.name, "first"),
    ("run --save-videos default", lambda c: c.curriculum.save_videos, True),
    ("run default --save-videos True", lambda c: c.curriculum.save_videos, True),
    ("run default --save-videos False", lambda c: c.curriculum.save_videos, False),
    ("run --tensorboard default", lambda c: c.curriculum.tensorboard, True),
    ("run default --hidden-sizes 64,32", lambda c: first(c).controller.hidden_sizes, (64, 32)),
    ("run default --hidden-sizes 0", lambda c: first(c).controller.hidden_sizes, ()),
    ("run default --solver cma --hidden-sizes 0", lambda c: first(c).controller.solver, "cma"),
    ("run default --vae-epochs 7", lambda c: first(c).vae.epochs, 7),
    ("run default --mdnrnn-epochs 7", lambda c: first(c).mdnrnn.epochs, 7),
    ("run default --cma-generations 7", lambda c: first(c).controller.generations, 7),
]


@pytest.mark.parametrize(("line", "of", "expected"), TYPED, ids=[line for line, _, _ in TYPED])
def test_a_word_of_the_field_has_its_meaning(
    line: str, of: Callable[[Config], object], expected: object
) -> None:
    assert of(meant(line)[0]) == expected


README = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(run [^`]*)` \| `(run [^`]*)` \|$", README, re.MULTILINE)


def test_readme_has_a_table_of_such_words() -> None:
    assert len(ROWS) >= 10


@pytest.mark.parametrize(("typed", "here"), ROWS)
def test_both_sides_of_readmes_table_mean_the_same(typed: str, here: str) -> None:
    assert meant(typed)[:3] == meant(here)[:3]


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", STAGES),
        ("--stage all", STAGES),
        ("--stage collect,vae,encode,mdnrnn,controller,eval", STAGES),
        ("--stage mdnrnn,vae", ("vision", "memory")),
        ("--stage collect --stage vision", ("collect", "vision")),
        ("--component vae", ("vision",)),
        ("--skip-vae --skip-mdnrnn", ("collect", "encode", "controller", "evaluate")),
        ("--stage vae,encode --skip-vae", ("encode",)),
    ],
)
def test_stages_are_named_as_elsewhere(words: str, expected: tuple[str, ...]) -> None:
    assert meant(f"run quick {words}")[1] == expected


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--mode quick", "write --preset quick"),
        ("--mode full", "--mode FULL forces world models"),
        ("--mode fast", "'fast' is no mode"),
        ("--stage vea", "did you mean vae?"),
        ("--save-videos=maybe", "neither true nor false"),
        ("--hidden-sizes 64,x", "no whole number"),
        ("--solver dqn", "invalid choice"),
    ],
)
def test_what_is_no_such_word_is_told(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ending:
        build_parser().parse_args(["run", "quick", *words.split()])
    assert ending.value.code == 2 and said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("run", "nothing says what to run"),
        ("run --env CartPole-v1", "env_id: CartPole-v1, observation: state"),
        ("run --env lunarlandr", "lunarlandr"),
        ("run quick --skip-vae --stage vae", "no stage is left"),
        ("run quick --resume nowhere", "there is no run"),
    ],
)
def test_what_means_nothing_is_refused(line: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        meant(line)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (
            "run default --tasks pong --cma-pop-size 9",
            "learned by ppo; --solver cma searches (pong)",
        ),
        (
            "run default --tasks lunarlander --vae-epochs 9",
            "normalised without epochs (lunarlander)",
        ),
        ("run default --tasks pong --vae-epochs 9", "vae.max_steps ends it after 800 updates"),
        ("run default --tasks pong --mdnrnn-epochs 9", "mdnrnn.max_steps ends it after 300"),
        ("run --env ALE/Pong-v5", "--set tasks.pong.env_id=ALE/Pong-v5 plays it by its own rules"),
    ],
)
def test_an_option_that_can_do_nothing_says_so(line: str, said: str) -> None:
    assert any(said in text for text in meant(line)[3])


@pytest.mark.parametrize(
    "line",
    [
        "run default",
        "run default --tasks pong --num-random-rollouts 9",
        "run default --tasks pong --solver cma --cma-pop-size 9",
        "run default --tasks pong --vae-epochs 9 --set vae.max_steps=0",
        "run --env LunarLander-v3",
    ],
)
def test_what_acts_as_it_says_is_passed_over(line: str) -> None:
    assert meant(line)[3] == []


def test_a_directory_to_resume_is_that_run(tmp_path: Path) -> None:
    from curriculum.config.loading import dump
    from curriculum.records.rundir import RunDir

    kept = load_config(Path("quick"), ["seed=5"])
    RunDir.create(tmp_path / "run", dump(kept))
    config, _, directory, _ = meant(f"run --resume {tmp_path / 'run'}")
    assert config == kept and directory == tmp_path / "run"
    with pytest.raises(ConfigError, match="name two runs"):
        meant(f"run quick --resume {tmp_path / 'run'} --run-dir {tmp_path / 'other'}")
    assert meant(f"run quick --checkpoint-dir {tmp_path / 'x'}")[2] == tmp_path / "x"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["run", "--save-videos", "a.yaml"], ["run", "--save-videos=true", "a.yaml"]),
        (["run", "a.yaml", "--save-videos", "No"], ["run", "a.yaml", "--save-videos=No"]),
        (["--tensorboard"], ["--tensorboard=true"]),
        (["--tensorboard", "--save-videos", "1"], ["--tensorboard=true", "--save-videos=1"]),
        (["play", "true"], ["play", "true"]),
    ],
)
def test_a_switch_never_takes_the_next_word_for_its_value(
    given: list[str], expected: list[str]
) -> None:
    assert spelled_out(given) == expected


def test_every_preset_can_be_typed() -> None:
    from curriculum.cli.arguments.shared import PRESETS as typed
    from curriculum.config.presets import PRESETS

    assert tuple(PRESETS) == typed


@pytest.mark.parametrize("task", ["pong", "lunarlander", "breakout", "carracing"])
def test_the_papers_recipe_is_that_of_every_task(task: str) -> None:
    config = meant(f"run default --preset paper --tasks {task}")[0]
    (found,) = config.tasks
    assert found.collect.num_random_rollouts == 10_000 and found.vae.max_steps == 0
    assert (found.vae.model.channels, found.vae.model.z_dim) == ((32, 64, 128, 256), 32)
    assert (found.vae.model.beta, found.vae.model.motion_weight) == (1.0, 0.0)
    assert found.vae.model.key_points == found.vae.joint_updates == 0
    assert (found.mdnrnn.model.rnn_size, found.mdnrnn.model.num_mixtures) == (256, 5)
    assert (found.mdnrnn.sequence_length, found.mdnrnn.epochs) == (100, 20)
    controller = found.controller
    assert (controller.features, controller.hidden_sizes, controller.solver) == (
        ("z", "h"),
        (),
        "cma",
    )
    assert (controller.population_size, controller.rollouts_per_candidate) == (64, 16)
    assert controller.generations == 800 and not controller.train_in_dream
    assert found.env.actions == () and found.env.frame_stack == 1
    assert not found.evaluate.sampled and found.evaluate.episodes == 100
