from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from curriculum.seeds import env_seed, generator

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
