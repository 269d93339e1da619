"""How the values of options are read, and what is said of those that are none."""

from __future__ import annotations

import argparse
import difflib
import re
from collections.abc import Mapping, Sequence

from curriculum.progress import STAGES

MODES = ("auto", "FULL", "GYM_ONLY", "SIMULATION")
WORDS: Mapping[str, str] = {
    "vae": "vision",
    "mdnrnn": "memory",
    "mdn-rnn": "memory",
    "rnn": "memory",
    "eval": "evaluate",
    "test": "evaluate",
}
"""What the stages are called elsewhere."""

SWITCHES = ("--save-videos", "--tensorboard")
"""Options that may be told true or false, or nothing."""

TRUTHS: Mapping[str, bool] = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}

SKIPPED: Mapping[str, str] = {"vae": "vision", "mdnrnn": "memory"}
"""Stages that an option leaves out, by the word in it."""


def duration(text: str) -> float:
    """Reads `90`, `90s`, `30m`, `2h` or `1h30m` as seconds."""
    match = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text)
    if not text or match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write 90s, 30m, 2h or 1h30m")
    hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return hours * 3600 + minutes * 60 + seconds


def seconds(text: str) -> float:
    """Reads a number of seconds; which ones are allowed, the configuration says."""
    try:
        return float(text)
    except ValueError as e:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds") from e


def positive(text: str) -> int:
    """Reads a whole number of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 1")
    return int(text)


def natural(text: str) -> int:
    """Reads a whole number of at least 0."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of at least 0")
    return int(text)


def stages(text: str) -> list[str]:
    """Reads stages by their own names or those of other programs, `all` of them too."""
    found: list[str] = []
    for part in text.split(","):
        word = part.strip().lower()
        name = WORDS.get(word, word)
        if name != "all" and name not in STAGES:
            known = (*STAGES, *WORDS, "all")
            close = difflib.get_close_matches(word, known, n=1)
            meant = f"; did you mean {close[0]}?" if close else ""
            raise argparse.ArgumentTypeError(
                f"{part.strip()!r} is no stage: there are {', '.join(known)}{meant}"
            )
        found += STAGES if name == "all" else [name]
    return found


def mode(text: str) -> str:
    """Reads a mode; a budget that is taken for one is told."""
    if text in MODES:
        return text
    if text.lower() in ("quick", "full", "paper"):
        forced = "; --mode FULL forces world models" if text.lower() == "full" else ""
        raise argparse.ArgumentTypeError(
            f"{text!r} is a budget, not a mode: write --preset {text.lower()}{forced}"
        )
    named = {name.lower(): name for name in MODES}
    if text.lower().replace("-", "_") in named:
        return named[text.lower().replace("-", "_")]
    raise argparse.ArgumentTypeError(f"{text!r} is no mode: there are {', '.join(MODES)}")


def spelled_out(given: Sequence[str]) -> list[str]:
    """Gives switches their value, so that they never take the word that follows them for it."""
    words: list[str] = []
    for word in given:
        if words and words[-1] in SWITCHES and word.lower() in TRUTHS:
            words[-1] += f"={word}"
        else:
            words.append(word)
    return [f"{word}=true" if word in SWITCHES else word for word in words]


def truth(text: str) -> bool:
    """Reads `true`, `yes`, `on` or `1`, and their opposites."""
    if text.lower() not in TRUTHS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither true nor false")
    return TRUTHS[text.lower()]


def sizes(text: str) -> list[int]:
    """Reads `64,64` as the sizes of hidden layers; `0` is none of them."""
    return [] if text in ("0", "[]") else [positive(p.strip()) for p in text.strip("[]").split(",")]
