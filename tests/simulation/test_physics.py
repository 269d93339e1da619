"""Known answers of the simulated games' physics, rewards and pictures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curriculum.envs.simulation import breakout, lander, make_simulation, pong, racing
from curriculum.envs.simulation.drawing import canvas, draw_boxes
from curriculum.envs.simulation.game import Game, Streams

RUNNING = np.ones(1, np.bool_)
STILL = np.zeros(1, np.int64)


def started(game: Game, streams: Streams) -> Game:
    for row in range(game.numbers.shape[1]):
        streams.seed(row, row)
    game.begin(np.arange(game.numbers.shape[1]))
    return game


def new_lander(**state: float) -> lander.Lander:
    streams = Streams(1)
    game = lander.Lander(streams, 1, False, 1, 1000)
    started(game, streams)
    for name, value in {"VX": 0.0, "VY": 0.0, **state}.items():
        game.numbers[getattr(lander, name)] = value
    return game


def new_pong(**state: float) -> pong.Pong:
    streams = Streams(1)
    game = pong.Pong(streams, 1, "state", True, 1, 1000)
    started(game, streams)
    for name, value in {"WAIT": 0.0, **state}.items():
        game.numbers[getattr(pong, name)] = value
    return game


def new_breakout(**state: float) -> breakout.Breakout:
    streams = Streams(1)
    game = breakout.Breakout(streams, 1, "state", True, 1, 1000)
    started(game, streams)
    for name, value in state.items():
        game.numbers[getattr(breakout, name)] = value
    return game


def new_racing(num_envs: int = 1, observation: str = "state") -> racing.Racing:
    streams = Streams(num_envs)
    game = racing.Racing(streams, num_envs, observation, True, 1, 250)  # type: ignore[arg-type]
    started(game, streams)
    return game


def test_lander_falls_as_gravity_says() -> None:
    game = new_lander(VX=1.0)
    frames, dt = 40, 1 / (lander.FPS * lander.SUBSTEPS)
    for _ in range(frames):
        game.frame(STILL, RUNNING)
    n = frames * lander.SUBSTEPS
    fallen = lander.GRAVITY * dt * dt * n * (n + 1) / 2
    assert game.numbers[lander.VY, 0] == pytest.approx(-lander.GRAVITY * n * dt)
    assert game.numbers[lander.Y, 0] == pytest.approx(lander.START_HEIGHT - fallen)
    assert game.numbers[lander.X, 0] == pytest.approx(n * dt)


def test_lander_engines_push_and_turn() -> None:
    lift, left, right = (new_lander() for _ in range(3))
    for _ in range(25):
        lift.frame(np.array([2]), RUNNING)
        left.frame(np.array([1]), RUNNING)
        right.frame(np.array([3]), RUNNING)
    expected = (lander.MAIN_THRUST - lander.GRAVITY) / 2
    uneven = lander.MAIN_THRUST * lander.THRUST_NOISE / 2
    assert abs(lift.numbers[lander.VY, 0] - expected) < uneven
    assert left.numbers[lander.SPIN, 0] == pytest.approx(lander.SIDE_SPIN / 2)
    assert right.numbers[lander.ANGLE, 0] == pytest.approx(-left.numbers[lander.ANGLE, 0])
    assert right.numbers[lander.VX, 0] == pytest.approx(-left.numbers[lander.VX, 0])


def test_lander_rests_on_its_springs_and_is_paid() -> None:
    game = new_lander(Y=0.65)
    for _ in range(300):
        rewards, ended = game.frame(STILL, RUNNING)
        if ended[0]:
            break
    sag = lander.GRAVITY / (2 * lander.SPRING)
    assert rewards[0] == lander.LANDED
    assert game.numbers[lander.Y, 0] == pytest.approx(lander.REST_HEIGHT - sag, abs=0.01)
    assert game.numbers[[lander.LEG_A, lander.LEG_B], 0].tolist() == [1.0, 1.0]


@pytest.mark.parametrize(
    "state", [{"Y": 1.0, "VY": -12.0}, {"Y": 0.7, "ANGLE": np.pi}, {"X": 9.99, "VX": 2.0}]
)
def test_lander_crashes(state: dict[str, float]) -> None:
    game = new_lander(**state)
    for _ in range(50):
        rewards, ended = game.frame(STILL, RUNNING)
        if ended[0]:
            break
    assert ended[0]
    assert rewards[0] == lander.CRASH


def test_lander_rewards_are_the_change_of_the_potential_less_fuel() -> None:
    env = make_simulation("lunarlander", 1)
    start = env.reset([5])[0].astype(np.float64)
    script = [2, 1, 0, 3, 2, 2, 0, 1, 1, 3]
    steps = [env.step(np.array([action])) for action in script]

    def potential(state: np.ndarray) -> float:
        away = np.hypot(state[0], state[1]) + np.hypot(state[2], state[3]) + abs(state[4])
        return -100.0 * float(away) + 10.0 * float(state[6] + state[7])

    fuel = 0.3 * script.count(2) + 0.03 * (script.count(1) + script.count(3))
    total = sum(float(step.rewards[0]) for step in steps)
    gained = potential(steps[-1].observations[0].astype(np.float64)) - potential(start)
    assert total == pytest.approx(gained - fuel, abs=1e-3)


def test_continuous_lander_throttles_as_documented() -> None:
    streams = Streams(4)
    game = started(lander.Lander(streams, 4, True, 1, 1000), streams)
    throttle = np.array([[-1.0, 0.4], [0.0, 0.6], [0.5, -1.0], [1.0, 0.0]])
    game.frame(throttle, np.ones(4, np.bool_))
    np.testing.assert_allclose(game.numbers[lander.MAIN], [0.0, 0.0, 0.75, 1.0])
    np.testing.assert_allclose(game.numbers[lander.SIDE], [0.0, 0.6, -1.0, 0.0])


def test_pong_ball_keeps_its_speed_at_a_wall() -> None:
    game = new_pong(X=30.0, Y=pong.TOP + 0.5, VX=1.0, VY=-1.2)
    game.frame(STILL, RUNNING)
    assert game.numbers[pong.VY, 0] == 1.2
    assert game.numbers[pong.Y, 0] == pytest.approx(pong.TOP + 0.7)


@settings(max_examples=40, deadline=None)
@given(st.floats(-8.0, 8.0))
def test_pong_angle_follows_the_spot_of_the_paddle(off: float) -> None:
    agent, reach = 30.0, (pong.PADDLE_HEIGHT + pong.BALL) / 2
    y = agent + pong.PADDLE_HEIGHT / 2 - pong.BALL / 2 + off
    game = new_pong(AGENT=agent, X=pong.AGENT_LEFT - pong.BALL - 1, Y=y, VX=1.6, VY=0.0)
    game.frame(STILL, RUNNING)
    speed = pong.SERVE_SPEED + pong.SPEED_UP
    hit = abs(off) < reach
    assert game.numbers[pong.VX, 0] == pytest.approx(-speed if hit else 1.6)
    expected = speed * pong.STEEPEST * off / reach if hit else 0.0
    assert game.numbers[pong.VY, 0] == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(("x", "vx", "reward"), [(63.5, 1.6, -1.0), (-1.5, -1.6, 1.0)])
def test_pong_point_is_scored_and_served_again(x: float, vx: float, reward: float) -> None:
    game = new_pong(X=x, VX=vx, WON=20.0)
    rewards, ended = game.frame(STILL, RUNNING)
    assert rewards[0] == reward
    assert ended[0] == (reward > 0)
    assert game.numbers[pong.X, 0] == (pong.SIZE - pong.BALL) / 2
    assert np.sign(game.numbers[pong.VX, 0]) == -reward


def test_pong_score_is_the_sum_of_rewards() -> None:
    env = make_simulation("pong", 8, "state")
    env.reset(range(8))
    total = np.zeros(8)
    rng = np.random.default_rng(0)
    for _ in range(env.spec.max_episode_steps or 0):
        total += env.step(rng.integers(6, size=8)).rewards
    numbers = env.core.game.numbers
    np.testing.assert_array_equal(total, numbers[pong.WON] - numbers[pong.LOST])
    assert (numbers[pong.LOST] == pong.GOAL).any()


@pytest.mark.parametrize("line", range(len(breakout.VALUES)))
def test_breakout_pays_a_brick_by_its_row(line: int) -> None:
    below = breakout.BRICKS_TOP + (line + 1) * breakout.BRICK_HEIGHT
    game = new_breakout(WAIT=0, X=20.0, Y=below - 0.5, VX=0.1, VY=-1.2)
    game.bricks[0, line + 1 :] = False
    rewards, ended = game.frame(STILL, RUNNING)
    assert rewards[0] == breakout.VALUES[line]
    assert game.numbers[breakout.VY, 0] > 0
    assert not game.bricks[0, line, 5]
    assert not ended[0]


def test_breakout_rewards_are_the_bricks_that_are_gone() -> None:
    env = make_simulation("breakout", 16, "state")
    state = env.reset(range(16))
    total = np.zeros(16)
    for _ in range(300):
        step = env.step(np.where(state[:, 0] > state[:, 4], 2, 3))
        state = step.observations
        total += step.rewards
    game = env.core.game
    assert isinstance(game, breakout.Breakout)
    whole = breakout.VALUES.sum() * breakout.COLUMNS
    standing = (game.bricks.sum(axis=2) * breakout.VALUES).sum(axis=1)
    np.testing.assert_array_equal(total, whole * (1 + game.numbers[breakout.WALL]) - standing)
    assert total.min() > 0


def test_breakout_fire_launches_and_waiting_ends() -> None:
    fired, waiting = new_breakout(), new_breakout()
    top = fired.numbers[breakout.Y, 0]
    fired.frame(np.array([breakout.FIRE]), RUNNING)
    assert fired.numbers[breakout.Y, 0] > top
    for _ in range(breakout.LAUNCH_DELAY - 1):
        waiting.frame(STILL, RUNNING)
    assert waiting.numbers[breakout.Y, 0] == top
    waiting.frame(STILL, RUNNING)
    assert waiting.numbers[breakout.Y, 0] > top


def test_breakout_ends_with_the_fifth_ball() -> None:
    game = new_breakout(PADDLE=0.0)
    ends = []
    for _ in range(breakout.LIVES):
        game.numbers[[breakout.X, breakout.Y, breakout.WAIT], 0] = [40.0, 63.5, 0.0]
        ends.append(bool(game.frame(STILL, RUNNING)[1][0]))
    assert ends == [False] * (breakout.LIVES - 1) + [True]


def test_breakout_builds_a_second_wall_and_ends_after_it() -> None:
    for wall, over in ((0, False), (1, True)):
        game = new_breakout(WAIT=0, X=20.0, Y=27.5, VX=0.1, VY=-1.2, WALL=wall)
        game.bricks[0] = False
        game.bricks[0, 5, 5] = True
        rewards, ended = game.frame(STILL, RUNNING)
        assert rewards[0] == breakout.VALUES[5]
        assert game.bricks[0].all()
        assert ended[0] == over


def test_tracks_are_closed_and_know_where_a_point_lies() -> None:
    tracks = new_racing(20).tracks
    rows = np.arange(20)
    gaps = np.linalg.norm(np.roll(tracks.points, -1, axis=1) - tracks.points, axis=2)
    assert gaps.max() < 1.1 * gaps.min()
    for tile in range(0, racing.TILES, 7):
        middle = (tracks.points[:, tile] + tracks.points[:, (tile + 1) % racing.TILES]) / 2
        found, off = tracks.locate(rows, *middle.T)
        assert (found == tile).all()
        assert np.abs(off).max() < 0.6
        aside = middle + 5.0 * np.stack(
            [np.sin(tracks.course[:, tile]), -np.cos(tracks.course[:, tile])], axis=1
        )
        assert np.abs(tracks.locate(rows, *aside.T)[1] - 5.0).max() < 1.5


def test_car_reaches_the_speed_at_which_drag_eats_the_engine() -> None:
    game = new_racing()
    for _ in range(1000):
        game._drive(np.array([[0.0, 0.5, 0.0]]), RUNNING)
    assert game.numbers[racing.FORWARD, 0] == pytest.approx(0.5 * racing.ENGINE / racing.DRAG, 1e-3)
    for _ in range(200):
        game._drive(np.array([[0.0, 0.0, 1.0]]), RUNNING)
    assert game.numbers[racing.FORWARD, 0] == pytest.approx(0.0, abs=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(0.1, 100))
def test_a_tyre_never_carries_more_than_its_grip(along: float, across: float, grip: float) -> None:
    demanded = np.array([[along], [across]])
    carried = np.stack(racing._circle(*demanded, np.array([grip])))
    assert np.linalg.norm(carried) <= min(grip, float(np.linalg.norm(demanded))) * (1 + 1e-9)
    np.testing.assert_allclose(carried[0] * across, carried[1] * along, atol=1e-6)


@pytest.mark.parametrize(("on_road", "grip"), [(True, racing.GRIP), (False, racing.GRASS_GRIP)])
@pytest.mark.parametrize("gas", [0.2, 0.6, 1.0])
def test_no_bend_is_taken_with_more_than_the_grip(on_road: bool, grip: float, gas: float) -> None:
    game = new_racing()
    for _ in range(400):
        game._drive(np.array([[1.0, gas, 0.0]]), np.array([on_road]))
    forward, side, spin = game.numbers[racing.FORWARD : racing.SPIN + 1, 0]
    assert spin < 0  # steering of +1 turns right
    assert np.hypot(forward, side) * abs(spin) < 1.1 * grip


def test_a_sharp_bend_taken_too_fast_slides_and_a_slow_one_does_not() -> None:
    slips = []
    for speed in (8.0, 45.0):
        game = new_racing()
        game.numbers[racing.FORWARD] = speed
        for _ in range(30):
            game._drive(np.array([[-1.0, speed * racing.DRAG / racing.ENGINE, 0.0]]), RUNNING)
        slips.append(abs(game.numbers[racing.SIDE, 0] - racing.AXLE * game.numbers[racing.SPIN, 0]))
    assert slips[0] < 0.5
    assert slips[1] > 5.0


def test_a_lap_pays_a_thousand_less_time() -> None:
    game = new_racing()
    total, ended = 0.0, np.zeros(1, np.bool_)
    for tile in range(racing.TILES):
        middle = game.tracks.points[0, [tile, (tile + 1) % racing.TILES]].mean(axis=0)
        for _ in range(2):
            assert not ended[0]
            game.numbers[:, 0] = 0.0
            game.numbers[: racing.Y + 1, 0] = middle
            rewards, ended = game.frame(np.zeros((1, 3)), RUNNING)
            total += rewards[0]
            if ended[0]:
                break
    frames = 2 * racing.TILES - 1
    assert ended[0]
    assert total == pytest.approx(racing.TILES_WORTH - racing.FRAME_COST * frames)


def test_leaving_the_field_costs_a_hundred() -> None:
    game = new_racing()
    game.numbers[racing.X] = racing.FIELD + 1
    rewards, ended = game.frame(np.zeros((1, 3)), RUNNING)
    assert ended[0]
    assert rewards[0] == pytest.approx(racing.OFF_FIELD - racing.FRAME_COST)


def test_the_road_is_seen_where_the_tyres_find_it() -> None:
    game = new_racing(6, "pixels")
    x, y, heading = game.numbers[: racing.HEADING + 1]
    frames = game.observe(np.arange(6))[..., 0]
    road = frames[0, int(racing.CAR_ROW) - 6, int(racing.CAR_COLUMN)]
    agree = []
    for row in range(4, racing.SIZE, 3):
        for column in range(2, 28, 3):
            ahead = (racing.CAR_ROW - row - 0.5) * racing.PIXEL
            left = (racing.CAR_COLUMN - column - 0.5) * racing.PIXEL
            px = x + ahead * np.cos(heading) - left * np.sin(heading)
            py = y + ahead * np.sin(heading) + left * np.cos(heading)
            off = game.tracks.locate(np.arange(6), px, py)[1]
            agree.append((np.abs(off) < racing.HALF_ROAD) == (frames[:, row, column] == road))
    assert np.mean(agree) > 0.97


@settings(max_examples=40, deadline=None)
@given(st.floats(-6, 22), st.floats(-6, 22), st.floats(0.5, 5), st.floats(0.5, 5))
def test_a_box_covers_its_area(left: float, top: float, width: float, height: float) -> None:
    frames = canvas(np.zeros((16, 16, 1), np.uint8), 2)
    white = np.array([255], np.uint8)
    draw_boxes(frames, np.array([left, 3.0]), np.array([top, 3.0]), width, height, white)
    seen_width = max(0.0, min(left + width, 16) - max(left, 0))
    seen_height = max(0.0, min(top + height, 16) - max(top, 0))
    painted = frames[0].astype(np.float64).sum() / 255
    assert painted == pytest.approx(seen_width * seen_height, abs=0.1)
    rows, columns = np.nonzero(frames[0, ..., 0])
    if rows.size:
        assert rows.min() >= np.floor(top)
        assert columns.max() < left + width
