"""Old and misspelled environment ids."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curriculum.envs.aliases import (
    GYMNASIUM_VERSIONS,
    ROMS,
    AtariGame,
    atari_game,
    resolve,
)
from curriculum.errors import ConfigError
from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]
CURRENT = ("LunarLander-v3", "CarRacing-v3", "CartPole-v0", "CartPole-v1", "PongNoFrameskip-v4")
CURRENT += ("ALE/Pong-v5", "PongDeterministic-v4", "PongDeterministic-v0", "PongNoFrameskip-v0")


@pytest.mark.parametrize("env_id", CURRENT)
def test_current_ids_stay_as_they_are(env_id: str) -> None:
    assert resolve(env_id) == (env_id, None)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("LunarLander-v2", "LunarLander-v3"),
        ("lunarlander-v2", "LunarLander-v3"),
        ("LunarLander", "LunarLander-v3"),
        ("cartpole-v1", "CartPole-v1"),
        ("LunarLanderContinuous-v2", "LunarLanderContinuous-v3"),
        ("CarRacing-v0", "CarRacing-v3"),
        ("CarRacing-v1", "CarRacing-v3"),
        ("CarRacing-v2", "CarRacing-v3"),
        ("pong", "PongNoFrameskip-v4"),
        ("Pong-v0", "ALE/Pong-v5"),
        ("Pong-v4", "ALE/Pong-v5"),
        ("Pong-v5", "ALE/Pong-v5"),
        ("ALE/space_invaders-v5", "ALE/SpaceInvaders-v5"),
    ],
)
def test_renamed_ids_are_mapped_with_one_line(old: str, new: str) -> None:
    found, notice = resolve(old)
    assert found == new
    assert notice is not None
    assert old in notice
    assert new in notice
    assert "\n" not in notice


@pytest.mark.faults("an id that resembles one, or another version", expect="did you mean ...?")
@pytest.mark.parametrize(
    ("given_id", "meant"),
    [
        ("CartPol-v1", "CartPole-v1"),
        ("CartPole-v9", "CartPole-v1"),
        ("CartPole-v2", "CartPole-v1"),
        ("Taxi-v3", "Taxi-v4"),
        ("Blackjack-v0", "Blackjack-v1"),
        ("LunarLander-v7", "LunarLander-v3"),
        ("LunarLandr-v3", "LunarLander-v3"),
        ("PongNoFrameskip-v5", "PongNoFrameskip-v4"),
        ("PongNoFrameskip-v1", "PongNoFrameskip-v4"),
        ("PonNoFrameskip-v4", "PongNoFrameskip-v4"),
        ("PongDeterministic-v5", "PongDeterministic-v4"),
        ("ALE/Pong-v4", "ALE/Pong-v5"),
        ("ALE/PongNoFrameskip-v4", "PongNoFrameskip-v4"),
        ("Breakot-v5", "ALE/Breakout-v5"),
    ],
)
def test_a_guess_is_refused_and_only_suggested(given_id: str, meant: str) -> None:
    installed = {f"{name}-v{v}" for name, versions in GYMNASIUM_VERSIONS.items() for v in versions}
    with pytest.raises(ConfigError, match=f"did you mean .*{meant}"):
        resolve(given_id, installed)
    found, notice = resolve(given_id)
    assert found == given_id
    assert notice is not None and meant in notice


@given(st.sampled_from(ROMS), st.sampled_from(("v0", "v4", "v5")))
def test_every_game_resolves_to_an_id_that_is_one(rom: str, version: str) -> None:
    name = rom.title().replace("_", "")
    found, _ = resolve(f"ALE/{name}-v5" if version == "v5" else f"{name}NoFrameskip-{version}")
    game = atari_game(found)
    assert game is not None
    assert game.rom == rom
    assert resolve(found) == (found, None)


def test_an_atari_id_says_its_own_rules() -> None:
    assert atari_game("ALE/MsPacman-v5") == AtariGame("ms_pacman", 0.25, 4)
    assert atari_game("MsPacmanNoFrameskip-v4") == AtariGame("ms_pacman", 0.0, 1)
    assert atari_game("MsPacmanNoFrameskip-v0") == AtariGame("ms_pacman", 0.25, 1)
    assert atari_game("PongDeterministic-v4") == AtariGame("pong", 0.0, 4)
    assert atari_game("PongDeterministic-v0") == AtariGame("pong", 0.25, 4)
    assert atari_game("SpaceInvadersDeterministic-v4") == AtariGame("space_invaders", 0.0, 3)
    assert atari_game("LunarLander-v3") is None
    assert atari_game("Blackjack-v1") is None


def test_what_is_installed_decides() -> None:
    installed = ("LunarLander-v3", "LunarLander-v4", "mine/Maze-v0")
    assert resolve("LunarLander-v2", installed)[0] == "LunarLander-v4"
    assert resolve("LunarLander-v3", installed) == ("LunarLander-v3", None)
    with pytest.raises(ConfigError, match="did you mean mine/Maze-v0"):
        resolve("mine/Mase-v0", installed)
    assert resolve("package.module:Maze-v0", installed) == ("package.module:Maze-v0", None)


def test_an_unknown_id_is_refused_with_suggestions_once_all_ids_are_known() -> None:
    with pytest.raises(ConfigError, match="did you mean CartPole-v1"):
        resolve("CarPolish-v7", ("CartPole-v1", "Taxi-v4"))
    with pytest.raises(ConfigError, match="Zzzz-v0"):
        resolve("Zzzz-v0", ("CartPole-v1",))


def test_an_unknown_id_is_left_to_the_plugins_before_that() -> None:
    found, notice = resolve("MyOwnWorld-v0")
    assert found == "MyOwnWorld-v0"
    assert notice is not None
    assert "plugin" in notice


def test_neither_aliases_nor_registry_nor_dream_load_anything_heavy() -> None:
    code = (
        "import sys, curriculum.envs.aliases, curriculum.envs.registry, curriculum.world.dream\n"
        "print(sorted({'torch', 'gymnasium', 'ale_py', 'pygame'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=HANG_S
    )
    assert done.stdout.strip() == "[]", done.stderr


@pytest.mark.gym
def test_the_static_lists_are_those_of_the_installed_packages() -> None:
    import gymnasium
    from ale_py import roms

    assert sorted(roms.get_all_rom_ids()) == sorted(ROMS)
    listed = {f"{name}-v{v}" for name, versions in GYMNASIUM_VERSIONS.items() for v in versions}
    assert listed <= set(gymnasium.registry)
