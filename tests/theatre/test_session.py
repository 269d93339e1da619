"""An agent on stage: it plays as elsewhere, time can be turned back, dreams follow V and M."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from curriculum.agent.agent import Agent
from curriculum.agent.episodes import run_episodes
from curriculum.backends.backend import load_backend
from curriculum.theatre.keys import KEYS, KeyMap
from curriculum.theatre.session import GUESSES, PARTED, Parting, Session
from tests.agents import TASKS, agent_in


def agent_of(name: str, features: tuple[str, ...] = ("z", "dz", "h"), seed: int = 0) -> Agent:
    """An agent of mode SIMULATION whose V and M have seen a little, and whose C is random."""
    task = TASKS[name]
    controller = replace(task.controller, features=features, hidden_sizes=(8,))
    task = replace(task, controller=controller)
    return agent_in(load_backend("SIMULATION", {}), task, steps=12, seed=seed)


@pytest.fixture(params=["pong", "lunarlander", "carracing"])
def session(request: pytest.FixtureRequest):
    found = Session(agent_of(request.param), seed=5)
    yield found
    found.close()


def shown(session: Session) -> dict[str, object]:
    moment = session.moment()
    pictures = {name: picture.tobytes() for name, picture in moment.pictures.items()}
    known = {
        k: v for k, v in moment.facts.items() if k not in ("back", "surprise", "reward", "gap")
    }
    return {**pictures, **known, "wish": moment.wish.shares.tolist()}


def test_it_plays_the_episode_that_the_agent_plays_elsewhere(session: Session) -> None:
    agent = session.agent
    env = agent.make_env(1)
    (episode,) = run_episodes(env, agent.player(1), [11], max_steps=60)
    env.close()
    session.begin(11)
    for _ in range(60):
        session.step()
    assert session.real.score == pytest.approx(episode.score, abs=1e-6)
    assert session.real.steps == episode.steps


@pytest.mark.parametrize("place", ["real", "dream", "both"])
def test_what_is_gone_back_over_comes_again(session: Session, place: str) -> None:
    for _ in range(3):
        session.step()
    session.go(place)
    there = [shown(session)]
    for _ in range(12):
        session.step()
        there.append(shown(session))
    session.back(12)
    for number, expected in enumerate(there):
        if number:
            session.step()
        found = shown(session)
        differing = [name for name in expected if found[name] != expected[name]]
        assert not differing, (number, differing)


def test_time_is_turned_back_no_further_than_it_is_known(session: Session) -> None:
    session.step()
    session.back(500)
    assert session.real.steps == 0 and not session.real.over
    session.back(5)
    assert session.real.steps == 0


def test_other_actions_after_going_back_lead_elsewhere(session: Session) -> None:
    for _ in range(10):
        session.step()
    first = shown(session)
    session.back(9)
    session.driver, session.keys = "you", frozenset({"right", "up"})
    for _ in range(9):
        session.step()
    assert shown(session)["real"] != first["real"]
    assert session.real.steps == 10


def test_who_falls_asleep_dreams_from_there_and_wakes_up_where_he_fell_asleep(
    session: Session,
) -> None:
    for _ in range(4):
        session.step()
    before = shown(session)
    present = session.real.present
    session.swap()
    assert session.dream is not None and session.place == "dream"
    np.testing.assert_array_equal(session.dream.latents, present.latents)
    np.testing.assert_array_equal(session.dream.memory, present.memory)
    np.testing.assert_allclose(session.dream.read, present.read, atol=1e-6)
    assert "real" not in session.moment().pictures
    for _ in range(6):
        session.step()
    assert session.real.steps == 4 and session.dream.steps <= 6
    session.swap()
    assert session.dream is None and shown(session) == before


def test_in_both_the_dream_is_told_what_is_done_in_reality(session: Session) -> None:
    session.go("both")
    session.driver, session.keys = "you", frozenset({"left"})
    for _ in range(5):
        session.step()
        dream, real = session.dream, session.real
        assert dream is not None and dream.taken is not None and real.taken is not None
        np.testing.assert_array_equal(dream.taken, real.taken)
        if dream.over:
            break
    assert {"real", "dream"} <= set(session.moment().pictures)


def test_warmth_and_numbers_of_a_dream_can_be_changed(session: Session) -> None:
    session.go("dream")
    session.warm(9.0)
    assert session.temperature == 2.0 and session.dream is not None
    before = session.dream.latents.copy()
    picture = session.moment().pictures["dream"].copy()
    session.change(0, 4.0)
    assert session.dream.latents[0, 0] == 4.0
    np.testing.assert_array_equal(session.dream.latents[0, 1:], before[0, 1:])
    assert not np.array_equal(session.moment().pictures["dream"], picture)
    for index, value in ((-1, 1.0), (10_000, 1.0), (0, float("nan"))):
        session.change(index, value)
    assert session.dream.latents[0, 0] == 4.0
    session.warm(0.5)
    assert session.dream.latents[0, 0] == 4.0, "a change outlives another temperature"


def test_what_v_and_m_think_is_shown_or_not(session: Session) -> None:
    session.step()
    names = set(session.moment().pictures)
    guesses = {f"guess {n + 1}" for n in range(GUESSES)}
    assert {"real", "seen", "drawn"} | guesses <= names
    session.looking = False
    assert set(session.moment().pictures) == {"real"}


def test_an_episode_that_is_over_stays_and_a_new_one_begins(session: Session) -> None:
    session.real.over = True
    steps = session.real.steps
    session.step()
    assert session.over and session.real.steps == steps
    session.begin(3)
    assert not session.over and session.real.steps == 0 and session.real.seed == 3


def test_a_place_that_is_none_is_refused(session: Session) -> None:
    with pytest.raises(ValueError, match="no place 'elsewhere'"):
        session.go("elsewhere")


def test_a_dream_parts_once_it_is_further_away_than_a_picture_that_stands_still() -> None:
    start = np.zeros((1, 2), np.float32)
    parting = Parting(start, start)
    for step in range(1, 21):
        real = np.array([[0.1 * step, 0.0]], np.float32)
        wrong = 0.0 if step < 10 else 5.0
        parting.look(real, real + np.float32(wrong), step)
    assert parting.at == 10 and parting.behind >= PARTED
    faithful = Parting(start, start)
    for step in range(1, 21):
        real = np.array([[0.1 * step, 0.0]], np.float32)
        faithful.look(real, real * np.float32(0.9), step)
    assert faithful.at is None


@pytest.mark.parametrize("name", ["pong", "lunarlander", "breakout", "carracing"])
def test_every_set_of_keys_does_an_action_that_there_is(name: str) -> None:
    agent = agent_of(name, ("z",))
    keys = KeyMap.of(agent.spec)
    env = agent.make_env(1)
    env.reset([0])
    rng = np.random.default_rng(0)
    done = set()
    for _ in range(60):
        held = [key for key in KEYS if rng.random() < 0.2]
        action = keys.chosen(held)
        env.step(action[None])  # refuses what is out of bounds
        done.add(action.tobytes())
    env.close()
    assert len(done) > 1 and len(keys.names()) == agent.spec.action.size


def test_keys_of_a_car_steer_it() -> None:
    meanings = tuple(
        (steer, gas, brake)
        for steer in (-1.0, 0.0, 1.0)
        for gas, brake in ((0.0, 0.0), (0.7, 0.0), (0.0, 0.5))
    )
    spec = agent_of("carracing", ("z",)).spec
    action = replace(spec.action, kind="discrete", size=9, low=(), high=(), meanings=meanings)
    keys = KeyMap.of(replace(spec, action=action))
    for held, expected in (
        ((), (0.0, 0.0, 0.0)),
        (("left",), (-1.0, 0.0, 0.0)),
        (("right", "up"), (1.0, 0.7, 0.0)),
        (("down",), (0.0, 0.0, 0.5)),
    ):
        assert meanings[int(keys.chosen(held))] == expected
    assert keys.names()[4] == "gas 0.7" and keys.names()[3] == "roll"
