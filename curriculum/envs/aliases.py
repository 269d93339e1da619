"""Environment ids: renamed ones become the id that is installed, with a notice; others are refused.

An id that resembles one is a guess, and another version is another game: both get a "did you mean".
Nothing here imports an emulator, so a configuration can be checked on any machine; `registry.py`
asks again with the ids that are really installed.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from curriculum.errors import ConfigError

_ROM_NAMES = """
adventure air_raid alien amidar assault asterix asteroids atlantis atlantis2 backgammon bank_heist
basic_math battle_zone beam_rider berzerk blackjack bowling boxing breakout carnival casino
centipede chopper_command combat crazy_climber crossbow darkchambers defender demon_attack
donkey_kong double_dunk earthworld elevator_action enduro entombed et fishing_derby flag_capture
freeway frogger frostbite galaxian gopher gravitar hangman haunted_house hero human_cannonball
ice_hockey jamesbond journey_escape joust kaboom kangaroo keystone_kapers king_kong klax koolaid
krull kung_fu_master laser_gates lost_luggage mario_bros maze_craze miniature_golf montezuma_revenge
mr_do ms_pacman name_this_game othello pacman phoenix pitfall pitfall2 pong pooyan private_eye qbert
riverraid road_runner robotank seaquest sir_lancelot skiing solaris space_invaders space_war
star_gunner superman surround tennis tetris tic_tac_toe_3d time_pilot trondead turmoil tutankham
up_n_down venture video_checkers video_chess video_cube video_pinball warlords wizard_of_wor
word_zapper yars_revenge zaxxon
"""

ROMS = tuple(_ROM_NAMES.split())
"""Games of the Arcade Learning Environment, as its ROM files are called."""

GYMNASIUM_VERSIONS = {
    "Acrobot": (1,),
    "Ant": (2, 3, 4, 5),
    "BipedalWalker": (3,),
    "BipedalWalkerHardcore": (3,),
    "Blackjack": (1,),
    "CarRacing": (3,),
    "CartPole": (0, 1),
    "CliffWalking": (1,),
    "FrozenLake": (1,),
    "FrozenLake8x8": (1,),
    "HalfCheetah": (2, 3, 4, 5),
    "Hopper": (2, 3, 4, 5),
    "Humanoid": (2, 3, 4, 5),
    "HumanoidStandup": (2, 4, 5),
    "InvertedDoublePendulum": (2, 4, 5),
    "InvertedPendulum": (2, 4, 5),
    "LunarLander": (3,),
    "LunarLanderContinuous": (3,),
    "MountainCar": (0,),
    "MountainCarContinuous": (0,),
    "Pendulum": (1,),
    "Pusher": (2, 4, 5),
    "Reacher": (2, 4, 5),
    "Swimmer": (2, 3, 4, 5),
    "Taxi": (4,),
    "Walker2d": (2, 3, 4, 5),
}
"""Gymnasium's own environments and their versions, for where Gymnasium cannot be asked."""

RENAMED = {
    "CarRacing": (0, 1, 2),
    "LunarLander": (0, 1, 2),
    "LunarLanderContinuous": (0, 1, 2),
}
"""Versions that Gymnasium took away as it numbered the same game anew."""

UNLIMITED = frozenset({"Blackjack-v1", "CliffWalking-v1", "CliffWalkingSlippery-v1"})
"""Gymnasium's own environments that declare no limit of their episodes."""

DEFAULT_EPISODE_STEPS = 10_000
"""Steps after which an episode is truncated where neither task nor environment sets a limit."""

_DETERMINISTIC_FRAMES, _SPACE_INVADERS_FRAMES = 4, 3
_ATARI = re.compile(
    r"(?P<space>ALE/)?(?P<name>\w+?)(?P<kind>NoFrameskip|Deterministic)?(?:-v(?P<version>\d+))?",
    re.IGNORECASE,
)
_VERSIONED = re.compile(r"(?P<name>.+?)(?:-v(?P<version>\d+))?")
_ROM_BY_LETTERS = {rom.replace("_", ""): rom for rom in ROMS}
_WORTH_SUGGESTING = 0.5


@dataclass(frozen=True)
class AtariGame:
    """What an Atari id stands for.

    Attributes:
        rom: name of the ROM, snake_case.
        repeat_action_probability: the id's own sticky actions.
        frame_skip: frames the id itself holds an action.
    """

    rom: str
    repeat_action_probability: float
    frame_skip: int


def atari_game(env_id: str) -> AtariGame | None:
    """Returns the game behind a resolved Atari id, None if it is no such id.

    Args:
        env_id: as `resolve` returns it: `ALE/Pong-v5` (sticky actions 0.25, 4 frames a step;
            Machado et al. 2018), `PongNoFrameskip-v4` (neither), `PongDeterministic-v4` (4 frames;
            3 in Space Invaders, whose shots blink), or the last two with v0 (sticky).
    """
    match = _ATARI.fullmatch(env_id)
    rom = match and _ROM_BY_LETTERS.get(match["name"].replace("_", "").lower())
    if not match or not rom:
        return None
    if env_id == f"ALE/{_title(rom)}-v5":
        return AtariGame(rom, 0.25, 4)
    fixed = _SPACE_INVADERS_FRAMES if rom == "space_invaders" else _DETERMINISTIC_FRAMES
    for kind, frames in (("NoFrameskip", 1), ("Deterministic", fixed)):
        for version, sticky in (("v0", 0.25), ("v4", 0.0)):
            if env_id == f"{_title(rom)}{kind}-{version}":
                return AtariGame(rom, sticky, frames)
    return None


def resolve(env_id: str, installed: Collection[str] | None = None) -> tuple[str, str | None]:
    """Finds the environment that an id means.

    Args:
        env_id: what was asked for.
        installed: ids that can be made here, Atari left out; None where that is not known, then
            an id that is not known is passed on, since a plugin may register it later.

    Returns:
        The id to make, and a one-line notice if it is another one or not known.

    Raises:
        ConfigError: the id is not among `installed` and is no known name of one.
    """
    known = _static_ids() if installed is None else set(installed)
    if ":" in env_id or (env_id in known and not _is_legacy_atari(env_id)):
        return env_id, None
    found = _atari_id(env_id) or _renamed(env_id, known)
    if found == env_id:
        return env_id, None
    if found:
        rules = " (4 frames a step, sticky actions)" if _is_legacy_atari(env_id) else ""
        return found, f"environment {env_id} does not exist here: using {found}{rules}"
    meant = _suggestions(env_id, known)
    if installed is None:
        return env_id, f"environment {env_id} is not a known one: {meant}a plugin must register it"
    raise ConfigError(
        f"environment {env_id!r} is not installed; {meant}install the package that brings it, or "
        "name the module that registers it under curriculum.plugins"
    )


def _title(rom: str) -> str:
    return rom.title().replace("_", "")


def _static_ids() -> set[str]:
    return {f"{name}-v{v}" for name, versions in GYMNASIUM_VERSIONS.items() for v in versions}


def _is_legacy_atari(env_id: str) -> bool:
    """Whether it is a game's name with v0 or v4, which ale-py has with a random frame skip."""
    match = _ATARI.fullmatch(env_id)
    if not match or match["space"] or match["kind"] or match["version"] not in ("0", "4"):
        return False
    return match["name"].lower() in _ROM_BY_LETTERS


def _atari_id(env_id: str) -> str | None:
    """Returns the canonical id of what names a game and its rules, in whatever case.

    A bare name has no rules of its own and gets those of the tasks here; `Pong-v0` and `-v4`, whose
    frame skip is random, are told as the v5 that took their place.
    """
    match = _ATARI.fullmatch(env_id)
    rom = match and _ROM_BY_LETTERS.get(match["name"].replace("_", "").lower())
    if not match or not rom:
        return None
    title, kind, version = _title(rom), (match["kind"] or "").lower(), match["version"]
    if kind:
        kind = "NoFrameskip" if kind == "noframeskip" else "Deterministic"
        fits = not match["space"] and version in ("0", "4", None)
        return f"{title}{kind}-v{version or 4}" if fits else None
    if match["space"]:
        return f"ALE/{title}-v5" if version in ("5", None) else None
    if title in GYMNASIUM_VERSIONS:
        return None
    if version is None:
        return f"{title}NoFrameskip-v4"
    return f"ALE/{title}-v5" if version in ("0", "4", "5") else None


def _renamed(env_id: str, known: Collection[str]) -> str | None:
    """Returns the newest known version of an id that has none, or one that was renamed; the name
    is compared without case."""
    wanted = _VERSIONED.fullmatch(env_id)
    if not wanted:
        return None
    versions = {
        int(match["version"] or 0): other
        for other in known
        if (match := _VERSIONED.fullmatch(other))
        and match["name"].casefold() == wanted["name"].casefold()
    }
    if not versions:
        return None
    newest = versions[max(versions)]
    if wanted["version"] is None:
        return newest
    name = newest.rpartition("-v")[0]
    if int(wanted["version"]) in RENAMED.get(name, ()):
        return newest
    return versions.get(int(wanted["version"]))


def _spellings(known: Collection[str]) -> Iterator[tuple[str, str]]:
    """Yields what a misspelled id is compared with, and the id that it means."""
    for env_id in sorted(known):
        yield env_id.casefold(), env_id
    for rom in ROMS:
        title = _title(rom)
        for kind in ("NoFrameskip", "Deterministic"):
            yield f"{title}{kind}-v4".casefold(), f"{title}{kind}-v4"
        for spelling in (f"ALE/{title}-v5", f"{title}-v5", title):
            yield spelling.casefold(), _atari_id(spelling) or spelling


def _suggestions(env_id: str, known: Collection[str]) -> str:
    spellings = dict(_spellings(known))
    close = difflib.get_close_matches(env_id.casefold(), spellings, 3, _WORTH_SUGGESTING)
    names = dict.fromkeys(spellings[name] for name in close)
    return f"did you mean {' or '.join(names)}? Otherwise " if names else ""
