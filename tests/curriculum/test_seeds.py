from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curriculum.seeds import env_seed, following_seed, generator

PLACES = st.lists(st.one_of(st.integers(0, 2**31), st.text(max_size=8)), max_size=5)


@given(st.integers(0, 2**62), PLACES)
def test_a_place_always_has_the_same_stream(root: int, place: list[int | str]) -> None:
    first, second = generator(root, *place), generator(root, *place)
    assert first.random(4).tolist() == second.random(4).tolist()
    assert 0 <= env_seed(root, *place) < 2**31


def test_neighbouring_places_have_different_streams() -> None:
    places = [(task, n) for task in ("pong", "breakout") for n in range(500)]
    assert len({env_seed(0, *place) for place in places}) == len(places)
    assert len({generator(0, *place).random() for place in places}) == len(places)


@given(st.integers(0, 2**70), st.integers(1, 2**20))
def test_seeds_follow_within_the_range_of_emulators(seed: int, turn: int) -> None:
    assert 0 <= following_seed(seed, turn) < 2**31
    assert following_seed(seed, turn) == following_seed(seed, turn)


def test_followers_differ_from_each_other_and_from_their_neighbours() -> None:
    followers = [following_seed(seed, turn) for seed in range(30) for turn in range(1, 31)]
    assert len(set(followers)) == len(followers)
    spread = [following_seed(5, turn) / 2**31 for turn in range(1, 2001)]
    assert abs(sum(spread) / len(spread) - 0.5) < 0.03


def test_the_first_followers_of_zero_are_those_of_the_reference() -> None:
    """SplitMix64's first outputs for seed 0, as published with its C source, without 33 bits."""
    published = (0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F)
    assert [following_seed(0, turn) for turn in (1, 2, 3)] == [word >> 33 for word in published]
