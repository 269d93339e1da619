"""The diagnosis of a driver: its laps in numbers, and the worst and the median one drawn."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from curriculum.agent.told import ToldEpisode, tell_episodes
from curriculum.agent.work import EpisodesUnit
from curriculum.envs.interface import EnvSpec, VectorEnv
from curriculum.envs.lap import FRONT, SPEED, WHEELS_OFF, Road, X, Y
from curriculum.insight.drawing import Picture
from curriculum.insight.lap_picture import lap_panel, side_by_side
from curriculum.insight.laps import WHEELS, Lap, lap_of, summary_of, worst_and_median
from curriculum.insight.vision_probe import probe
from curriculum.pool import Executor
from models.interfaces import State


def told_episodes(
    executor: Executor,
    learned: State,
    seeds: Sequence[int],
    unit_size: int,
    on_wait: Callable[[], None] = lambda: None,
) -> list[ToldEpisode]:
    """Plays one full greedy episode per seed.

    Args:
        executor: it already knows what of the agent `learned` does not hold.
        learned: what of the agent was learned, see `Agent.state`.
        seeds: of the episodes.
        unit_size: episodes that are played together.
        on_wait: is called now and then.
    """
    units = [
        EpisodesUnit(learned, tuple(seeds[first : first + unit_size]))
        for first in range(0, len(seeds), unit_size)
    ]
    played = executor.map(tell_episodes, units, on_wait=on_wait)
    return [told for unit in played for told in unit]


def look_at_driving(
    told: Sequence[ToldEpisode], spec: EnvSpec, make_env: Callable[[int], VectorEnv]
) -> tuple[dict[str, Any], Picture | None]:
    """Looks at the laps of a driver.

    Args:
        told: at least one episode.
        spec: of the environments, which tell of laps.
        make_env: builds a batch of them in this process.

    Returns:
        What `curriculum.insight.laps.summary_of` says, with `speed` as `speed_read` tells it, and a
        picture of the worst and the median lap; None where the track cannot be looked at.
    """
    laps = [lap_of(one, spec) for one in told]
    panels = []
    env = make_env(1)
    try:
        for name, place in zip(("worst", "median"), worst_and_median(laps), strict=True):
            road = _driven_again(env, told[place])
            if road is not None:
                panels.append(_panel(name, told[place], laps[place], spec, road))
    finally:
        env.close()
    found = {**summary_of(laps), "speed": speed_read(told, spec)}
    return found, side_by_side(panels) if panels else None


def speed_read(told: Sequence[ToldEpisode], spec: EnvSpec) -> dict[str, float] | None:
    """Tells how well the car's speed can be read from what C reads.

    No frame shows it: a driver that does not know it brakes too late or never drives fast.

    Returns:
        `r2` of a linear readout and `kernel_r2` of a better one, on episodes of their own, and
        `rows`, how many were scored (`curriculum.insight.vision_probe.probe`); None where there is
        too little to tell.
    """
    column = spec.facts.index(SPEED)
    # What was read before a step goes with the speed after the step before.
    speeds = [one.facts[:-1, column] for one in told]
    features = np.concatenate([one.features[1:] for one in told])
    episodes = np.repeat(np.arange(len(told)), [len(speed) for speed in speeds])
    speed = np.concatenate(speeds)
    try:
        found = probe(features, {SPEED: speed}, {SPEED: np.ones(len(speed), np.bool_)}, episodes)
    except ValueError:  # too few steps
        return None
    scores = found.get(SPEED)
    return scores and {name: scores[name] for name in ("r2", "kernel_r2", "rows")}


def _driven_again(env: VectorEnv, told: ToldEpisode) -> Road | None:
    """Returns the track at the end of an episode: its actions from its seed lead there again."""
    from curriculum.envs.car_racing import racers_of  # who looks at nothing needs no Box2D

    racers = racers_of(env)
    if not racers:
        return None
    env.reset([told.episode.seed])
    for action in told.actions:
        env.step(np.asarray(action)[None])
    return racers[0].road()


def _panel(name: str, told: ToldEpisode, lap: Lap, spec: EnvSpec, road: Road) -> Picture:
    columns = [spec.facts.index(fact) for fact in (X, Y, WHEELS_OFF, FRONT)]
    x, y, off, front = told.facts[:, columns].T
    line = np.stack([x, y], axis=1)
    return lap_panel(_title(name, lap), road, int(front[-1]), line, off == WHEELS)


def _title(name: str, lap: Lap) -> str:
    came = f"round by frame {lap.came_round}" if lap.came_round else "did not come round"
    outcome = "complete" if lap.complete else came
    back = "not found back" if lap.lost else "always found back"
    times = "once" if len(lap.excursions) == 1 else f"{len(lap.excursions)} times"
    off = f"off the road {times}, {back}" if lap.excursions else "never off the road"
    return (
        f"{name}: {lap.score:.1f} in {lap.frames} frames, {outcome} (seed {lap.seed})\n"
        f"{lap.visited} of {lap.tiles} tiles, {lap.left_behind} left behind; {off}"
    )
