"""The replay: what is drawn is what was collected, over any number of steps, and it comes back."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.collecting.collector import Transition
from curriculum.datasets.columns import ColumnWriter
from curriculum.datasets.mapped import MappedColumn
from curriculum.envs.interface import ActionSpec
from curriculum.errors import RunIOError
from curriculum.learning.replay import Replay
from models.interfaces import Transitions

ENVS, GAMMA = 3, 0.5
BUTTONS = ActionSpec("discrete", 4)
NAMES = ("features", "actions", "returns", "discounts", "following")


def collected(steps: int, seed: int) -> list[Transition]:
    """Episodes of up to four steps; C reads `[row, episode, step]`, a reward is the step's number.

    Of the last observation of an episode that was cut it reads the step -1.
    """
    rng = np.random.default_rng(seed)
    now = np.zeros((ENVS, 3), np.float32)
    now[:, 0] = np.arange(ENVS)
    made = []
    for _ in range(steps):
        ends = rng.integers(0, 4, ENVS)
        terminated, truncated = ends == 0, ends == 1
        following = now + np.array([0, 0, 1], np.float32)
        over = terminated | truncated
        following[over] = now[over] * [1, 1, 0] + [0, 1, 0]
        cut = np.flatnonzero(truncated)
        last = now[cut] * np.array([1, 1, 0], np.float32) + np.array([0, 0, -1], np.float32)
        actions, rewards = rng.integers(0, 4, ENVS), now[:, 2].copy()
        flags = (terminated, truncated)
        made.append(
            Transition(now, actions, rewards, *flags, following, cut, last.astype(np.float32))
        )
        now = following
    return made


def replay(path: Path, capacity: int = 10**6) -> Replay:
    return Replay(path, ENVS, 3, BUTTONS, capacity)


def expected(made: list[Transition], t: int, n: int, steps: int) -> tuple[float, float, list]:
    """The return, the discount and the features of a transition, step by step."""
    earned, discount = 0.0, 1.0
    for step in made[t : t + steps]:
        earned += discount * float(step.rewards[n])
        discount *= GAMMA
        if step.terminated[n]:
            return earned, 0.0, step.following[n].tolist()
        if step.truncated[n]:
            return earned, discount, step.cut_features[step.cut.tolist().index(n)].tolist()
        following = step.following[n].tolist()
    return earned, discount, following


def check(batch: Transitions, made: list[Transition], steps: int) -> None:
    """Every row is a transition that was made, n steps of which are there."""
    places = {
        tuple(s.features[n].tolist()): (t, n) for t, s in enumerate(made) for n in range(ENVS)
    }
    for row, features in enumerate(batch.features.tolist()):
        t, n = places[tuple(features)]
        assert t + steps < len(made)
        earned, discount, following = expected(made, t, n, steps)
        assert batch.actions[row] == made[t].actions[n]
        assert batch.returns[row] == pytest.approx(earned)
        assert batch.discounts[row] == pytest.approx(discount)
        if discount:
            assert batch.following[row].tolist() == following


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 40), st.integers(1, 5), st.integers(0, 99))
def test_what_is_drawn_was_collected(tmp_path_factory, count: int, steps: int, seed: int) -> None:
    made = collected(count, seed)
    kept = replay(tmp_path_factory.mktemp("replay"))
    rng = np.random.default_rng(seed)
    for number, transition in enumerate(made, start=1):
        kept.add(transition)
        assert kept.drawable(steps) == max(0, number - steps) * ENVS
        if number % 7 == 0:
            check(kept.sample(8, rng, gamma=GAMMA, num_steps=steps), made[:number], steps)
    if count > steps:
        check(kept.sample(200, rng, gamma=GAMMA, num_steps=steps), made, steps)
    assert kept.num_steps == count


@pytest.mark.parametrize("steps", [1, 3])
def test_every_step_is_drawn_alike_but_old_ones_and_ones_that_are_not_over(
    tmp_path: Path, steps: int
) -> None:
    made, kept = collected(30, 0), replay(tmp_path, capacity=10)
    for transition in made:
        kept.add(transition)
    batch = kept.sample(20_000, np.random.default_rng(0), gamma=GAMMA, num_steps=steps)
    found, counts = np.unique(batch.features, axis=0, return_counts=True)
    wanted = np.unique(np.concatenate([s.features for s in made[20 : 30 - steps]]), axis=0)
    np.testing.assert_array_equal(found, wanted)
    share = 20_000 / ((10 - steps) * ENVS)
    assert np.abs(counts - share).max() < 6 * np.sqrt(share)


def test_by_hand(tmp_path: Path) -> None:
    """One environment, rewards 1, 2, 4, ...: cut after the second step, ended after the fifth."""
    kept = Replay(tmp_path, 1, 1, BUTTONS, 100)
    for t in range(8):
        cut = np.flatnonzero([t == 1])
        kept.add(
            Transition(
                features=np.array([[t]], np.float32),
                actions=np.array([t % 4]),
                rewards=np.array([2.0**t], np.float32),
                terminated=np.array([t == 4]),
                truncated=np.array([t == 1]),
                following=np.array([[t + 1]], np.float32),
                cut=cut,
                cut_features=np.full((len(cut), 1), -1.0, np.float32),
            )
        )
    batch = kept.sample(300, np.random.default_rng(0), gamma=GAMMA, num_steps=3)
    drawn = zip(*(getattr(batch, name).tolist() for name in NAMES), strict=True)
    found = {int(f[0]): (a, r, d, None if d == 0 else g[0]) for f, a, r, d, g in drawn}
    assert found == {
        0: (0, 1 + 2 / 2, 1 / 4, -1.0),
        1: (1, 2.0, 1 / 2, -1.0),
        2: (2, 4 + 8 / 2 + 16 / 4, 0.0, None),
        3: (3, 8 + 16 / 2, 0.0, None),
        4: (0, 16.0, 0.0, None),
    }
    again = kept.sample(300, np.random.default_rng(0), gamma=GAMMA, num_steps=2)
    rows = again.features[:, 0] == 5
    assert again.returns[rows].tolist() == [32 + 64 / 2] * rows.sum() and rows.any()
    assert (again.following[rows] == 7).all() and (again.discounts[rows] == 1 / 4).all()


def test_no_transition_reaches_across_a_gap(tmp_path: Path) -> None:
    made, kept = collected(40, 4), replay(tmp_path)
    runs = [made[:9], made[12:14], made[20:40]]
    for transition in [step for run in runs for step in run]:
        kept.add(transition)
    assert kept.drawable(3) == (9 - 3 + 0 + 20 - 3) * ENVS
    whole = kept.sample(600, np.random.default_rng(0), gamma=GAMMA, num_steps=3)
    drawn = {tuple(features) for features in whole.features.tolist()}
    for run, last in ((runs[0], 6), (runs[1], 0), (runs[2], 17)):
        there = {tuple(f) for step in run[:last] for f in step.features.tolist()}
        missing = {tuple(f) for step in run[last:] for f in step.features.tolist()}
        assert there <= drawn and not missing & drawn
        rows = [row for row, f in enumerate(whole.features.tolist()) if tuple(f) in there]
        part = {name: getattr(whole, name)[rows] for name in NAMES}
        check(Transitions(**part), run, 3)


def test_what_a_crash_left_beyond_a_commit_is_cut_off(tmp_path: Path) -> None:
    made = [*collected(5, 7), *collected(20, 1)]
    kept = replay(tmp_path)
    for transition in made[:17]:
        kept.add(transition)
    lengths, state = dict(kept.lengths()), {k: a.copy() for k, a in kept.state().items()}
    kept.sync()
    for transition in made[17:]:
        kept.add(transition)
    expected_batch = kept.sample(50, np.random.default_rng(3), gamma=GAMMA, num_steps=3)
    again = replay(tmp_path)
    again.cut(lengths)
    again.load_state(state)
    assert again.num_steps == 17
    assert again.drawable(3) == (5 - 3 + 12 - 3) * ENVS
    for transition in made[17:]:
        again.add(transition)
    found = again.sample(50, np.random.default_rng(3), gamma=GAMMA, num_steps=3)
    for name in NAMES:
        np.testing.assert_array_equal(getattr(found, name), getattr(expected_batch, name))
    again.cut({})
    with pytest.raises(ValueError, match="a replay of 0 steps"):
        again.sample(1, np.random.default_rng(0), gamma=GAMMA)


def test_a_commit_costs_the_same_however_much_was_collected(tmp_path: Path) -> None:
    kept = replay(tmp_path)
    sizes = []
    for transition in collected(60, 2):
        kept.add(transition)
        sizes.append(sum(a.nbytes for a in kept.state().values()) + len(kept.lengths()))
    assert len(set(sizes)) == 1


def test_more_rows_than_were_mapped_are_read(tmp_path: Path) -> None:
    """The mapping is longer than the file, and is made anew once the file outgrows it."""
    column = MappedColumn(tmp_path / "c.bin", "int64", (2,))
    assert column.rows().shape == (0, 2)
    wanted = np.arange(20_000).reshape(-1, 2)
    for start in range(0, len(wanted), 700):
        column.writer.append(wanted[start : start + 700])
        np.testing.assert_array_equal(column.rows(), wanted[: start + 700])
        assert column.writer.path.stat().st_size == column.writer.length()
    column.cut(16 * 5)
    np.testing.assert_array_equal(column.rows(), wanted[:5])
    column.writer.append(wanted[:3])
    np.testing.assert_array_equal(column.rows(), wanted[[0, 1, 2, 3, 4, 0, 1, 2]])


def test_continuous_actions_and_refused_arguments(tmp_path: Path) -> None:
    sticks = ActionSpec("continuous", 2, (-1.0, -1.0), (1.0, 1.0))
    kept = Replay(tmp_path, 1, 1, sticks, 5)
    nothing, flag = np.zeros((0, 1), np.float32), np.zeros(1, np.bool_)
    for t in range(2):
        one = np.full((1, 1), t, np.float32)
        actions = np.array([[0.25, -0.5]], np.float32)
        rest = (np.ones(1, np.float32), flag, flag, one + 1, np.zeros(0, int), nothing)
        kept.add(Transition(one, actions, *rest))
    batch = kept.sample(2, np.random.default_rng(0), gamma=GAMMA)
    assert batch.actions.tolist() == [[0.25, -0.5]] * 2 and batch.following.tolist() == [[1.0]] * 2
    with pytest.raises(ValueError, match="capacity"):
        Replay(tmp_path / "none", 1, 1, sticks, 0)


def test_a_full_disk_leaves_the_rows_before(tmp_path: Path, monkeypatch) -> None:
    made, kept = collected(20, 1), replay(tmp_path)
    for transition in made[:10]:
        kept.add(transition)
    lengths = dict(kept.lengths())
    append = ColumnWriter.append

    def refusing(column: ColumnWriter, rows: np.ndarray) -> None:
        if column.path.name == "ends.bin":
            raise RunIOError("No space left on device")
        append(column, rows)

    for transition in made[10:]:
        kept.add(transition)
    with monkeypatch.context() as patched:
        patched.setattr(ColumnWriter, "append", refusing)
        with pytest.raises(RunIOError, match="No space"):
            kept.lengths()
    again = replay(tmp_path)
    again.cut(lengths)
    assert again.num_steps == 10
    assert kept.num_steps == 20
    check(kept.sample(200, np.random.default_rng(0), gamma=GAMMA, num_steps=2), made, 2)
