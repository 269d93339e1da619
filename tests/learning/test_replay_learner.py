"""A learner that draws from a replay goes through the loop as PPO does, exact resume included."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from curriculum.collecting.collector import Transition
from curriculum.config.schema import TaskConfig
from curriculum.datasets.columns import ColumnWriter
from curriculum.envs.interface import ActionSpec
from curriculum.errors import RunIOError, Stopped
from curriculum.learning.learner import BadInput
from curriculum.learning.loop import Loop
from curriculum.learning.off_policy import OffPolicy
from curriculum.learning.replay import Replay
from curriculum.learning.selection import Selection
from curriculum.records.files import refused as refused_by_disk
from curriculum.records.files import write_json
from curriculum.stages import controller as stage
from curriculum.stages.stage import StageContext
from curriculum.stops import Barrier
from models.interfaces import Metrics, NonFiniteLoss, State, Transitions
from models.settings.replay import ReplaySettings
from tests.learning.practising import ENVS, Killed, context, life, pole

POLE = pole(updates=12, features=("z", "dz"), num_steps=4, total_steps=12 * ENVS * 4)
REPLAY = ReplaySettings(
    capacity=90,
    learning_starts=40,
    batch_size=16,
    num_steps=2,
    gamma=0.9,
    updates_per_step=0.3,
    epsilon=0.1,
    epsilon_steps=50,
)
TASK = replace(
    POLE,
    controller=replace(POLE.controller, solver="qrdqn", hidden_sizes=()),
    training=replace(POLE.training, noise_persistence=0.5),
    replay=REPLAY,
)


class LinearQ:
    """Semi-gradient Q-learning, linear in the features (Sutton & Barto 2018, section 9.4)."""

    learning_rate, parts, device = 0.0, 1, "cpu"

    def __init__(self, num_features: int, num_actions: int, sick: int = 0) -> None:
        self.num_features, self.num_parameters = num_features, (num_features + 1) * num_actions
        self.weights = np.zeros((num_features, num_actions), np.float32)
        self.scales: list[tuple[np.ndarray, np.ndarray]] = []
        self.batches: list[Transitions] = []
        self.sick = sick

    def move_to(self, device: str) -> None:
        raise AssertionError("it has no other device")

    def set_feature_scale(self, mean: np.ndarray, std: np.ndarray) -> None:
        self.scales.append((mean, std))

    def update(self, batch: Transitions, rng: np.random.Generator) -> Metrics:
        self.batches.append(batch)
        if len(self.batches) == self.sick:
            raise NonFiniteLoss("NaN")
        rows, rate = np.arange(len(batch.returns)), np.float32(self.learning_rate)
        best = (batch.following @ self.weights).max(axis=1)
        error = batch.returns + batch.discounts * best
        error -= (batch.features @ self.weights)[rows, batch.actions]
        for row in rows:
            self.weights[:, batch.actions[row]] += rate * error[row] * batch.features[row]
        return {"loss": float(np.square(error).mean())}

    @contextmanager
    def all_or_nothing(self) -> Iterator[None]:
        before = self.weights.copy()
        try:
            yield
        except BaseException:
            self.weights = before
            raise

    def get_parameters(self) -> np.ndarray:
        return np.append(self.weights.ravel(), np.zeros(self.weights.shape[1], np.float32))

    def set_parameters(self, parameters: np.ndarray) -> None:
        raise AssertionError("it starts anew")

    def state(self) -> State:
        return {"weights": self.weights.copy()}

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        self.weights = np.array(state["weights"])


def made_of(ctx: StageContext) -> StageContext:
    """The same stage, whose backend learns with a `LinearQ`."""

    def make(task: TaskConfig, action: ActionSpec, num_features: int, seed: int) -> LinearQ:
        return LinearQ(num_features, action.size)

    return replace(ctx, backend=replace(ctx.backend, make_off_policy_learner=make))


def begun(path: Path, barrier: Barrier) -> tuple[StageContext, Loop]:
    """A loop that is about to begin, and the stage it is of."""
    ctx = made_of(context(path, TASK, barrier))
    agent = ctx.agent({})
    bare: dict[str, Any] = {"target": 1e9, "margin": 0.0, "episodes": 1}
    selection = Selection(ctx.place, lambda *given: [], agent.state(), **bare)
    selection.check = lambda *given, **options: 0.0  # type: ignore[method-assign]
    learner = stage.new_learner(ctx, agent, ctx.vision)
    assert isinstance(learner, OffPolicy)
    return ctx, stage.new_loop(ctx, agent, learner, selection)


def learned(path: Path, ticks: int | None, killed: bool = False) -> tuple[StageContext, int]:
    """Runs the loop to its end in lives of so many ticks; returns the last one and their number."""
    for number in range(1, 60):
        ctx, loop = begun(path, life(ticks, killed))
        try:
            loop.begin()
            loop.run()
            loop.save(complete=True)
        except (Stopped, Killed):
            continue
        finally:
            loop.close()
            ctx.executor.close()
        return ctx, number
    raise AssertionError("it never ended")


@pytest.mark.gym
@pytest.mark.parametrize(("ticks", "killed"), [(9, False), (25, False), (30, True)])
def test_a_replay_learner_resumed_is_the_same(tmp_path: Path, ticks: int, killed: bool) -> None:
    whole, _ = learned(tmp_path / "whole", None)
    parts, lives = learned(tmp_path / "parts", ticks, killed)
    assert lives > 2
    expected, found = (ctx.place.completed(stage.NAME) for ctx in (whole, parts))
    assert expected.arrays["learner/weights"].any(), "it has learned"
    assert found.arrays.keys() == expected.arrays.keys()
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    assert found.meta == expected.meta and found.appended == expected.appended
    for name, length in expected.appended.items():
        files = [ctx.place.directory / "replay" / name for ctx in (whole, parts)]
        assert files[0].read_bytes()[:length] == files[1].read_bytes()[:length], name


def half_done(path: Path) -> StageContext:
    """A stage that was killed in its middle, with a commit."""
    ctx, loop = begun(path, life(30, True))
    with pytest.raises(Killed):
        loop.begin()
        loop.run()
    loop.close()
    ctx.executor.close()
    commit = ctx.place.store.latest()
    assert commit is not None and not commit.complete and commit.appended["rewards.bin"] > 0
    return ctx


@pytest.mark.faults(
    "the files of a replay are longer than what was committed of them",
    expect="cut back, and it ends bit for bit as if they had not been",
)
@pytest.mark.gym
def test_what_is_there_beyond_a_commit_is_cut_off(tmp_path: Path) -> None:
    whole, _ = learned(tmp_path / "whole", None)
    ctx = half_done(tmp_path / "parts")
    for path in (ctx.place.directory / "replay").glob("*.bin"):
        with path.open("ab") as file:
            file.write(b"x" * 1001)
    parts, _ = learned(tmp_path / "parts", None)
    expected, found = (ctx.place.completed(stage.NAME) for ctx in (whole, parts))
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)
    for path in (whole.place.directory / "replay").iterdir():
        assert path.read_bytes() == (parts.place.directory / "replay" / path.name).read_bytes()


@pytest.mark.faults(
    "a file of a replay, {name}, is {how} when its run is gone on with",
    expect="a sentence that names it and says what to remove; no transition is made up",
)
@pytest.mark.gym
@pytest.mark.parametrize("name", ["features.bin", "ends.bin"])
@pytest.mark.parametrize("how", ["missing", "shorter than committed", "of another shape"])
def test_a_replay_that_lost_rows_is_refused(tmp_path: Path, name: str, how: str) -> None:
    ctx = half_done(tmp_path)
    path = ctx.place.directory / "replay" / name
    if how == "missing":
        path.unlink()
    elif how == "of another shape":
        facts = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
        write_json(path.with_suffix(".json"), {**facts, "row_shape": [7]})
    else:
        path.write_bytes(path.read_bytes()[:8])
    said = "use another run directory" if how == "of another shape" else "rows are lost; remove"
    with pytest.raises(RunIOError, match=said) as refused:
        learned(tmp_path, None)
    assert str(path) in str(refused.value)


@pytest.mark.faults(
    "the disk is full in the middle of appending to the replay",
    expect="what the disk said is told; with room again it ends bit for bit as if there had been",
)
@pytest.mark.gym
def test_a_disk_that_is_full_while_appending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = learned(tmp_path / "whole", None)
    append, calls = ColumnWriter.append, [0]

    def refusing(column: ColumnWriter, rows: np.ndarray) -> None:
        calls[0] += 1
        if calls[0] == 18:
            with column.path.open("ab") as file:
                file.write(rows.tobytes()[: rows.nbytes // 2])
            raise refused_by_disk(OSError(errno.ENOSPC, "No space left on device"), "append", path)
        append(column, rows)

    path = tmp_path / "parts"
    with monkeypatch.context() as patched:
        patched.setattr(ColumnWriter, "append", refusing)
        with pytest.raises(
            RunIOError, match=r"No space left on device: .* free space, then resume"
        ):
            learned(path, None)
    parts, _ = learned(path, None)
    expected, found = (ctx.place.completed(stage.NAME) for ctx in (whole, parts))
    assert found.meta == expected.meta and found.appended == expected.appended
    for name, array in expected.arrays.items():
        np.testing.assert_array_equal(found.arrays[name], array, err_msg=name)


def steps(count: int, seed: int = 0) -> Iterator[Transition]:
    """Steps of two environments whose episodes never end."""
    rng = np.random.default_rng(seed)
    flags = np.zeros(2, np.bool_)
    now = rng.standard_normal((2, 3)).astype(np.float32)
    for _ in range(count):
        following = rng.standard_normal((2, 3)).astype(np.float32)
        played = (rng.integers(0, 2, 2), np.ones(2, np.float32), flags, flags, following)
        yield Transition(now, *played, np.zeros(0, np.int64), following[:0])
        now = following


def small(path: Path, sick: int = 0, **options: Any) -> tuple[OffPolicy, LinearQ]:
    """Learns after every second step of two environments."""
    model = LinearQ(3, 2, sick)
    settings = replace(REPLAY, learning_starts=10, **options)
    kept = Replay(path, 2, 3, ActionSpec("discrete", 2), 100)
    return OffPolicy(model, kept, settings, 2, 2), model


def updated(
    learner: OffPolicy, given: Iterator[Transition], number: int, beside: bool = True
) -> Metrics:
    """Has it learn once more, some of it beside the environments' work unless told otherwise."""
    learner.begin(number, 0.1, np.random.default_rng([1, number]))
    for _ in range(2):
        if beside:
            learner.meanwhile()
        learner.observe(next(given))
    return learner.update(number, 0.1, np.random.default_rng([1, number]))


def test_gradients_are_made_in_proportion_to_steps_once_there_are_enough(tmp_path: Path) -> None:
    learner, model = small(tmp_path, updates_per_step=0.3)
    given, made = steps(60), []
    for number in range(30):
        assert learner.gathering == (4 * (number - 1) < 10)
        made.append(updated(learner, given, number).get("gradients", 0.0))
    # 0.3 of the steps since the tenth: 2, 6, 10, ... make 0.6, 1.8, 3.0, ...
    totals = [int((4 * n - 10) * 3 / 10) if n > 2 else 0 for n in range(30)]
    assert made == np.diff([0, *totals]).tolist() and sum(made) == len(model.batches) == 31


def test_where_a_gradient_is_made_changes_nothing(tmp_path: Path) -> None:
    given, found = list(steps(40)), []
    for beside in (False, True):
        learner, model = small(tmp_path / str(beside), updates_per_step=0.7)
        metrics = [updated(learner, iter(given[2 * n :]), n, beside) for n in range(20)]
        found.append((metrics, model.weights, [b.features for b in model.batches]))
    assert found[0][0] == found[1][0]
    np.testing.assert_array_equal(found[0][1], found[1][1])
    np.testing.assert_array_equal(*(np.concatenate(batches) for _, _, batches in found))
    # What is observed for an update is not drawn from before the next.
    newest = {tuple(row) for step in given[36:] for row in step.features.tolist()}
    assert not newest & {tuple(row) for batch in found[0][2] for row in batch.tolist()}


@pytest.mark.faults(
    "memory does not suffice for a gradient that is made while environments work",
    expect="the whole update is made again, and what is learned is the same",
)
@pytest.mark.parametrize("nth", [1, 3])
def test_an_update_short_of_memory_is_made_again_as_a_whole(tmp_path: Path, nth: int) -> None:
    given = list(steps(12))
    whole, expected = small(tmp_path / "whole", updates_per_step=1.0)
    short, model = small(tmp_path / "short", updates_per_step=1.0)
    for number in range(5):
        for learner in (whole, short):
            updated(learner, iter(given[2 * number :]), number)
    update, calls = model.update, [0]

    def failing(batch: Transitions, rng: np.random.Generator) -> Metrics:
        calls[0] += 1
        if calls[0] == nth:
            raise MemoryError("no room")
        return update(batch, rng)

    model.update = failing  # type: ignore[method-assign]
    with pytest.raises(MemoryError):
        updated(short, iter(given[10:]), 5)
    again = short.update(5, 0.1, np.random.default_rng([1, 5]))
    assert again == updated(whole, iter(given[10:]), 5)
    np.testing.assert_array_equal(model.weights, expected.weights)


def test_the_scale_of_features_is_that_of_the_first_steps(tmp_path: Path) -> None:
    learner, model = small(tmp_path, updates_per_step=1.0)
    given = list(steps(20))
    for number in range(10):
        updated(learner, iter(given[2 * number :]), number)
    first = np.concatenate([step.features for step in given[:5]])
    ((mean, std),) = model.scales
    np.testing.assert_allclose(mean, first.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(std, first.std(axis=0), rtol=1e-6)


def test_metrics_are_means(tmp_path: Path) -> None:
    learner, _ = small(tmp_path, updates_per_step=2.0)
    given = steps(20)
    for number in range(9):
        metrics = updated(learner, given, number)
    assert metrics["gradients"] == 8.0 and metrics["replay_steps"] == (18 - 2) * 2
    assert metrics.keys() == {"loss", "gradients", "replay_steps"}


@pytest.mark.faults(
    "the third of many gradients of an update from the replay is NaN",
    expect="none of them counts, the update is left out, what was collected is kept",
)
def test_an_update_is_made_as_a_whole(tmp_path: Path) -> None:
    whole, model = small(tmp_path / "whole", updates_per_step=1.0)
    sick, same = small(tmp_path / "sick", sick=2 + 4 + 3, updates_per_step=1.0)
    given = list(steps(20))
    for number in range(5):
        updated(whole, iter(given[2 * number :]), number)
        updated(sick, iter(given[2 * number :]), number)
    np.testing.assert_array_equal(same.weights, model.weights)
    with pytest.raises(NonFiniteLoss):
        updated(sick, iter(given[10:]), 5)
    np.testing.assert_array_equal(same.weights, model.weights)
    assert len(same.batches) == 9
    assert updated(sick, iter(given[12:]), 6)["gradients"] == 4
    assert sick.appended()["rewards.bin"] == 14 * 2 * 4


@pytest.mark.faults(
    "C is shown {what} that are NaN, while it learns from a replay",
    expect="not C's fault: nothing of it gets into the replay, no transition reaches across",
)
@pytest.mark.parametrize("what", ["features", "rewards", "cut_features"])
def test_what_is_not_finite_does_not_get_into_the_replay(tmp_path: Path, what: str) -> None:
    learner, model = small(tmp_path, updates_per_step=1.0)
    given = list(steps(40))
    for number in range(4):
        updated(learner, iter(given[2 * number :]), number)
    bad = np.full((2, 3) if what != "rewards" else 2, np.nan, np.float32)
    before = model.weights.copy()
    with pytest.raises(BadInput, match="that C was shown are not finite"):
        updated(learner, iter([replace(given[8], **{what: bad}), given[9]]), 4)
    np.testing.assert_array_equal(model.weights, before)
    assert learner.appended()["rewards.bin"] == 8 * 2 * 4
    for number in range(5, 15):
        updated(learner, iter(given[2 * number :]), number)
    assert all(np.isfinite(batch.following).all() for batch in model.batches)
    # Of the last two steps before the gap it is not known what followed.
    across = {tuple(row) for step in given[6:8] for row in step.features.tolist()}
    drawn = {tuple(row) for batch in model.batches for row in batch.features.tolist()}
    assert not across & drawn and len(drawn) > 30
