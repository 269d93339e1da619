"""Which key point is where a thing is, and how often: planted places are found, with strays."""

from __future__ import annotations

import numpy as np
import pytest

from curriculum.insight.key_point_probe import probe_key_points

N = 1000


def test_the_coordinate_that_follows_is_found_and_strays_are_counted() -> None:
    rng = np.random.default_rng(0)
    episodes, ones = np.repeat(np.arange(10), N // 10), np.ones(N, np.bool_)
    ball = rng.uniform(0, 160, (N, 2))
    places = rng.normal(0, 1, (N, 6))
    # The third key point follows the ball, and is anywhere in a fifth of the frames.
    follows = (ball - [79.5, 80.0]) / 40.0 + rng.normal(0, 0.01, (N, 2))
    stray = rng.random(N) < 0.2
    places[:, 4:] = np.where(stray[:, None], rng.uniform(-4, 4, (N, 2)), follows)
    positions = {"ball_x": ball[:, 0], "ball_y": ball[:, 1], "noise": rng.uniform(0, 160, N)}
    scores = probe_key_points(places, positions, dict.fromkeys(positions, ones), episodes)
    for name in ("ball_x", "ball_y"):
        assert scores[name]["key_point"] == 2.0
        assert scores[name]["near"] == pytest.approx(0.8, abs=0.08)
        assert scores[name]["median_pixels"] < 1.0
    assert scores["noise"]["near"] < 0.1
    assert scores["noise"]["rows"] == 200.0


def test_what_is_exact_is_near_everywhere_and_what_is_not_seen_is_left_out() -> None:
    rng = np.random.default_rng(1)
    x = rng.uniform(0, 64, N)
    episodes, ones = np.repeat(np.arange(5), N // 5), np.ones(N, np.bool_)
    places = np.stack([np.zeros(N), -x / 16.0], axis=1)
    positions, visible = {"x": x, "gone": x, "still": 0 * x}, {"x": ones, "gone": ~ones}
    scores = probe_key_points(places, positions, {**visible, "still": ones}, episodes)
    assert scores["x"]["near"] == 1.0 and scores["x"]["r2"] == pytest.approx(1.0)
    assert "gone" not in scores
    assert scores["still"]["r2"] == 0.0
