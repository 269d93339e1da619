"""One person's time with an agent: who acts, where, how warm dreams are, and what is to be seen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from curriculum.agent.agent import Agent, chosen
from curriculum.films.camera import step_seconds
from curriculum.insight.drawing import Picture
from curriculum.theatre.dreaming import Dream
from curriculum.theatre.keys import KeyMap
from curriculum.theatre.mind import Mind, Wish
from curriculum.theatre.reality import Reality
from models.interfaces import Float

PLACES = ("real", "dream", "both")
DRIVERS = ("agent", "you")
GUESSES = 3
"""Futures that M is asked for."""
PARTED = 5
"""Steps in a row that a dream has to be further from reality than a still picture would be."""


@dataclass(frozen=True)
class Moment:
    """What there is to see and to know after a step.

    Attributes:
        pictures: `[H, W, 3]` uint8 by name: `real`, `dream`, and of V and M `seen`, `drawn`,
            `missed`, `guess 1` and so on.
        facts: numbers and words by name.
        wish: what C would do where it acts.
    """

    pictures: dict[str, Picture]
    facts: dict[str, object]
    wish: Wish


@dataclass
class Parting:
    """When a dream that is acted in as reality is leaves it."""

    start: Float
    before: Float
    behind: int = 0
    usual: float = 0.0
    at: int | None = None
    gaps: list[float] = field(default_factory=list)

    def look(self, real: Float, dreamed: Float, steps: int) -> None:
        """Compares z `[1, Z]` of both after a step."""
        changed = float(np.linalg.norm(real - self.before))
        self.usual += (changed - self.usual) / (len(self.gaps) + 1)
        self.before = real.copy()
        # Nothing is far from a start that is a few steps old.
        still = max(float(np.linalg.norm(real - self.start)), PARTED * self.usual, 1e-6)
        gap = float(np.linalg.norm(real - dreamed))
        self.gaps.append(gap / still)
        self.behind = self.behind + 1 if self.gaps[-1] > 1.0 else 0
        if self.at is None and self.behind >= PARTED:
            self.at = steps - PARTED + 1

    def back(self, steps: int, real: Float) -> None:
        """Forgets all but the first so many steps, after which z was `[1, Z]`."""
        del self.gaps[steps:]
        self.before = real.copy()
        self.behind = next((n for n, gap in enumerate(reversed(self.gaps)) if gap <= 1.0), steps)
        if self.at is not None and self.at > steps:
            self.at = None


class Session:
    """An agent on stage.

    Args:
        agent: acts, unless a person does.
        seed: of the first episode.
        temperature: of dreams.
        sampled: whether the agent draws its actions as it is judged by.
        notice: is told what cannot be shown as it is.

    Attributes:
        place: where it is acted, of `PLACES`; in both, the dream is told what is done in reality.
        driver: who acts, of `DRIVERS`.
        keys: what a person holds, of `curriculum.theatre.keys.KEYS`.
        looking: whether V's and M's pictures are made, which costs more than the rest.
    """

    def __init__(
        self,
        agent: Agent,
        seed: int = 0,
        temperature: float = 1.0,
        *,
        sampled: bool = False,
        notice: Callable[[str], None] = lambda text: None,
    ) -> None:
        self.agent, self.temperature, self._sampled = agent, temperature, sampled
        self.place, self.driver, self.keys, self.looking = "real", "agent", frozenset[str](), True
        self.key_map = KeyMap.of(agent.spec)
        self._mind = Mind(agent)
        self._rng = np.random.default_rng(seed)
        self.real = Reality(agent, notice)
        self.begin(seed)

    @property
    def step_seconds(self) -> float:
        """How long a step is, in the game's own time."""
        return step_seconds(self.agent.spec, self.real.screen)

    @property
    def over(self) -> bool:
        """Whether what is acted in is over."""
        scene = self.dream if self.place == "dream" else self.real
        return scene is None or scene.over

    def begin(self, seed: int) -> None:
        """Begins the episode of a seed; where it is dreamed, from its first moment on."""
        self.real.begin(seed)
        self.dream: Dream | None = None
        self._parting: Parting | None = None
        self._surprise, self._usual = 0.0, 0.0
        self._rng = np.random.default_rng(seed)
        if self.place != "real":
            self._fall_asleep()

    def go(self, place: str) -> None:
        """Goes on somewhere else; who falls asleep dreams from where reality stands.

        Raises:
            ValueError: there is no such place.
        """
        if place not in PLACES:
            raise ValueError(f"there is no place {place!r}: expected one of {', '.join(PLACES)}")
        if place == self.place:
            return
        asleep, self.place = self.place == "dream", place
        if place == "real":
            self.dream, self._parting = None, None
        elif not (asleep and place == "dream"):
            self._fall_asleep()

    def swap(self) -> None:
        """Falls asleep in the middle of reality, or wakes up where one fell asleep."""
        self.go("real" if self.place == "dream" else "dream")

    def warm(self, temperature: float) -> None:
        """Sets the temperature of dreams, of this one too."""
        self.temperature = temperature
        if self.dream is not None:
            self.dream.warm(temperature)
            self.temperature = self.dream.temperature

    def change(self, index: int, value: float) -> None:
        """Gives a number of the dream's z another value."""
        if self.dream is not None:
            self.dream.change(index, value)

    def back(self, steps: int) -> None:
        """Goes back so many steps, or as many as are known, wherever it is acted."""
        if self.place == "dream" and self.dream is not None:
            self.dream.back(steps)
            return
        self.real.back(steps)
        if self.dream is None or self._parting is None:
            return
        age = self.real.steps - self._asleep_at
        if age < 0:
            self._fall_asleep()
            return
        self.dream.back(max(self.dream.steps - age, 0))
        self._parting.back(age, self.real.present.latents)

    def step(self) -> None:
        """Takes a step; does nothing where it is over."""
        if self.over:
            return
        action = self.action()
        if self.place == "dream" and self.dream is not None:
            self.dream.step(action)
            return
        before, expected = self.real.present, None
        if self.looking:
            expected = self._mind.likeliest(before.memory, before.latents, action)
        self.real.step(action)
        if expected is not None:
            self._be_surprised(expected, before.latents)
        if self.dream is not None and not self.dream.over and self.real.taken is not None:
            self.dream.step(self.real.taken)
            if self._parting is not None:
                latents = self.real.present.latents
                self._parting.look(latents, self.dream.latents, self.dream.steps)

    def action(self) -> np.ndarray:
        """Returns what whoever acts does now."""
        if self.driver == "you":
            return self.key_map.chosen(self.keys)
        agent, rng = self.agent, self._rng if self._sampled else None
        read, action = self._read(), self.agent.spec.action
        return np.asarray(chosen(agent.controller, read, rng, agent.epsilon, action)[0])

    def moment(self) -> Moment:
        """Returns what there is to see and to know now."""
        wish = self._mind.wish(self._read())
        pictures: dict[str, Picture] = {}
        if self.place != "dream":
            pictures["real"] = self.real.picture
        if self.dream is not None:
            pictures["dream"] = self.dream.picture
        if self.looking:
            pictures |= self._looked(wish)
        return Moment(pictures, self._facts(), wish)

    def close(self) -> None:
        """Releases the environment."""
        self.real.close()

    def _read(self) -> Float:
        if self.place == "dream" and self.dream is not None:
            return self.dream.read
        return self.real.present.read

    def _fall_asleep(self) -> None:
        present, self._asleep_at = self.real.present, self.real.steps
        seed = int(self._rng.integers(2**31))
        self.dream = Dream(self.agent, present, seed, self.temperature)
        start = present.latents.copy()
        self._parting = Parting(start, start) if self.place == "both" else None

    def _be_surprised(self, expected: Float, before: Float) -> None:
        """Compares what M thought likeliest with what came, by what usually changes."""
        latents = self.real.present.latents
        changed = float(np.linalg.norm(latents - before))
        self._usual = changed if not self._usual else 0.98 * self._usual + 0.02 * changed
        self._surprise = float(np.linalg.norm(latents - expected)) / max(self._usual, 1e-6)

    def _looked(self, wish: Wish) -> dict[str, Picture]:
        scene = self.dream if self.place == "dream" else self.real.present
        assert scene is not None, "who dreams has a dream"
        latents, memory = scene.latents, scene.memory
        action = self.key_map.chosen(self.keys) if self.driver == "you" else wish.action
        rng = np.random.default_rng(self.real.steps)
        futures = self._mind.guesses(memory, latents, action, self.temperature, GUESSES, rng)
        drawn, *guesses = self._mind.drawn(np.concatenate([latents, futures]))
        pictures = {f"guess {number}": guess for number, guess in enumerate(guesses, 1)}
        if self.place == "dream":
            return pictures
        seen = self._mind.seen(self.real.seen)
        missed = self._mind.missed(seen, drawn)
        return {
            "seen": seen,
            "drawn": drawn,
            **({} if missed is None else {"missed": missed}),
            **pictures,
        }

    def _facts(self) -> dict[str, object]:
        dream, parting = self.dream, self._parting
        latents = dream.latents if dream is not None else self.real.present.latents
        scene = dream if self.place == "dream" and dream is not None else self.real
        return {
            "place": self.place,
            "driver": self.driver,
            "over": self.over,
            "seed": self.real.seed,
            "step": self.real.steps,
            "score": self.real.score,
            "reward": scene.reward,
            "dream_step": dream.steps if dream is not None else None,
            "dream_score": dream.score if dream is not None else None,
            "dream_over": dream.over if dream is not None else None,
            "temperature": self.temperature,
            "surprise": self._surprise if self.place != "dream" else None,
            "parted": parting.at if parting is not None else None,
            "gap": parting.gaps[-1] if parting is not None and parting.gaps else None,
            "back": len(scene.past),
            "z": np.round(latents[0], 3).tolist(),
        }
