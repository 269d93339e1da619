"""Key points: squares whose places are known are found to a pixel, and learn of nothing else."""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from models.interfaces import NonFiniteLoss  # noqa: E402
from models.networks.initialise import build  # noqa: E402
from models.networks.key_points import KeyPoints, changed_pixels  # noqa: E402
from models.settings.vae import VAESettings  # noqa: E402
from models.vae import ConvVAE  # noqa: E402

pytestmark = pytest.mark.torch

SIZE = 32


def seer(channels: int = 1, *, seed: int = 0, precision: Any = "float32", **changes: Any):
    usual = {"z_dim": 8, "channels": (4, 8), "learning_rate": 5e-3, "key_points": 2}
    settings = VAESettings(**{**usual, "key_point_channels": 16, **changes})
    return ConvVAE((SIZE, SIZE, channels), settings, seed=seed, precision=precision)


class World:
    """A white square of 2 x 2 that always moves, and a grey bar of 2 x 6 that seldom does.

    Args:
        channels: of the frames; in colour the square is red and the bar green.
        textured: whether there is a background that never moves.
        bar: whether there is a bar.
    """

    def __init__(self, channels: int = 1, *, textured: bool = False, bar: bool = False) -> None:
        self.channels, self.bar = channels, bar
        texture = np.random.default_rng(7).integers(0, 120, (SIZE, SIZE, channels), np.uint8)
        self.background = texture if textured else np.zeros_like(texture)

    def draw(self, squares: np.ndarray, bars: np.ndarray) -> np.ndarray:
        """Returns frames `[n, H, W, C]` of upper left corners `[n, 2]` (x, y)."""
        frames = np.repeat(self.background[None], len(squares), axis=0)
        bright = [(255,), (150,)] if self.channels == 1 else [(255, 40, 40), (40, 220, 40)]
        things = [(squares, (2, 2), bright[0]), (bars, (6, 2), bright[1])]
        for corners, (width, height), colour in things[: 1 + self.bar]:
            for frame, (x, y) in zip(frames, corners.tolist(), strict=True):
                frame[y : y + height, x : x + width] = colour
        return frames

    def pair(self, rng: np.random.Generator, n: int) -> tuple[np.ndarray, ...]:
        """Returns frames, those before, and the corners of squares and bars."""
        squares = rng.integers(3, SIZE - 5, (n, 2))
        bars = np.stack([rng.integers(0, SIZE - 6, n), np.full(n, SIZE - 3)], axis=1)
        moves = rng.choice([-2, -1, 1, 2], (n, 2))
        slides = rng.choice([-2, 2], n) * (rng.random(n) < 0.3)
        earlier = bars.copy()
        earlier[:, 0] = np.clip(bars[:, 0] + slides, 0, SIZE - 6)
        return self.draw(squares, bars), self.draw(squares - moves, earlier), squares, bars


def learn(vae: ConvVAE, world: World, updates: int, seed: int = 0) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    history = []
    for _ in range(updates):
        frames, before, _, _ = world.pair(rng, 32)
        history.append(vae.update(frames, before, rng))
    return history


def places(vae: ConvVAE, frames: np.ndarray, count: int = 2) -> np.ndarray:
    """Returns key points `[n, K, 2]` in pixels."""
    seen = vae.encode(frames)[:, : 2 * count].reshape(len(frames), count, 2)
    return seen * (SIZE / 4) + (SIZE - 1) / 2


def closest(found: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Returns the distances `[n]` of the key point that is closest on the whole."""
    distances = np.linalg.norm(found - centres[:, None], axis=2)
    return distances[:, np.median(distances, axis=0).argmin()]


def of_squares(corners: np.ndarray) -> np.ndarray:
    return corners + 0.5


@pytest.mark.parametrize(("channels", "textured"), [(1, False), (3, True)])
def test_a_moving_square_is_found_to_a_pixel(channels: int, textured: bool) -> None:
    vae, world = seer(channels, key_points=1), World(channels, textured=textured)
    history = learn(vae, world, 300)
    frames, _, squares, _ = world.pair(np.random.default_rng(9), 200)
    assert np.quantile(closest(places(vae, frames, 1), of_squares(squares)), 0.9) < 1.0
    assert history[-1]["key_point_nll"] < 0.6 * math.log(SIZE**2)
    assert history[-1]["key_point_outliers"] < 0.1
    assert history[-1]["key_point_sharpness"] > 0.5
    assert history[-1]["key_point_sigma"] < 2.0
    # The usual decoder has had little time; what the key point draws is where the square is.
    decoded = vae.decode(vae.encode(frames)).astype(np.float64).sum(axis=3)
    x, y = squares.T
    rows = np.arange(len(frames))
    there = decoded[rows, y, x] + decoded[rows, y + 1, x + 1]
    assert np.mean(there) > 2.0 * decoded.mean() + 20.0
    # Where there is none, nothing is sure, and nothing breaks.
    empty = np.repeat(world.background[None], 2, axis=0)
    assert np.isfinite(places(vae, empty, 1)).all()
    images = vae._images(np.concatenate([empty, frames[:2]])) - vae._counted.mean_frame
    with torch.no_grad():
        heat = vae._network.key_points._logits(images).softmax(dim=2).amax(dim=2)
    assert heat[:2].max() < heat[2:].min()


def fresh(
    count: int = 2, size: tuple[int, int] = (8, 12), frames: int = 1, **changes: Any
) -> KeyPoints:
    settings = VAESettings(z_dim=9, key_points=count, key_point_channels=4, **changes)
    module = build(lambda: KeyPoints((*size, frames), settings, frames), 0)
    module.start()
    return module


def test_heat_on_one_pixel_is_that_pixels_place() -> None:
    module = fresh(1)
    images = torch.zeros(3, 1, 8, 12)
    spots = [(0, 0), (11, 7), (5, 2)]
    for image, (x, y) in zip(images, spots, strict=True):
        image[0, y, x] = 1.0
    logits = 1e4 * torch.nn.PixelUnshuffle(4)(images)
    module._logits = lambda seen: logits.reshape(len(seen), 1, -1)  # type: ignore[method-assign]
    latents = module.latents(images)
    places = module.to_places(latents)
    torch.testing.assert_close(places[:, 0], torch.tensor(spots, dtype=torch.float32))
    torch.testing.assert_close(latents[0], torch.tensor([-5.5 / 3.0, -3.5 / 2.0]))


@torch.no_grad()
def test_a_shift_is_the_mean_under_the_window_of_what_is_in_the_newest_frame() -> None:
    module = fresh(frames=2, key_point_shifts=2)
    module.spread.copy_(torch.tensor([[0.02, -0.03], [0.0, 0.01]]))
    rng = torch.Generator().manual_seed(1)
    images = torch.randn(3, 2, 8, 12, generator=rng)
    expected = 7.0 * torch.rand(3, 2, 2, generator=rng)
    found = module._centred(expected, images)
    for _ in range(2):
        before, expected = expected, torch.zeros(3, 2, 2)
        for frame, k in product(range(3), range(2)):
            normal = torch.distributions.Normal(before[frame, k], module.sigmas[k])
            weights = 0.0
            for y, x in product(range(8), range(12)):
                place = torch.tensor([x, y], dtype=torch.float32)
                near = normal.log_prob(place).sum().exp()
                weight = float(images[frame, 1, y, x].abs() * near)
                expected[frame, k] += weight * place
                weights += weight
            expected[frame, k] /= weights
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-2)


def test_a_place_at_the_end_of_a_bar_goes_to_its_middle() -> None:
    bar = torch.zeros(1, 1, 32, 32)
    bar[0, 0, 20:22, 8:14] = -0.6
    end, middle = torch.tensor([[[8.0, 20.0]]]), torch.tensor([10.5, 20.5])
    apart = []
    for shifts in (0, 1, 2, 8):
        module = fresh(1, (32, 32), key_point_shifts=shifts)
        with torch.no_grad():
            module.spread.fill_(-0.1)  # a window of about 3 pixels
        apart.append(float((module._centred(end, bar)[0, 0] - middle).norm()))
        torch.testing.assert_close(module._centred(end, 0.0 * bar), end)
    assert apart[0] > 2.5
    assert apart[0] > apart[1] > apart[2] > apart[3]
    assert apart[2] < 1.0
    assert apart[3] < 0.1


def test_surprise_is_that_of_the_mixture_written_out() -> None:
    module = fresh()
    with torch.no_grad():
        module.spread.copy_(torch.tensor([[0.02, -0.03], [0.0, 0.01]]))
        module.share.copy_(torch.tensor([0.1, -0.05, 0.02]))
    rng = torch.Generator().manual_seed(1)
    now, then = 7.0 * torch.rand(2, 4, 2, 2, generator=rng)
    changed = torch.rand(4, 8, 12, generator=rng) < 0.2
    changed[1], changed[2] = False, False
    changed[2, 3, 4] = True
    sigmas, shares = module.sigmas, module.log_shares.exp()
    expected = torch.zeros(4)
    for frame in range(4):
        places = [torch.tensor([x, y]) for y, x in changed[frame].nonzero().tolist()]
        for place in places:
            likely = shares[2] / 96.0
            for k in range(2):
                for centre in (now[frame, k], then[frame, k]):
                    normal = torch.distributions.Normal(centre, sigmas[k])
                    likely = likely + 0.5 * shares[k] * normal.log_prob(place).sum().exp()
            expected[frame] -= likely.log() / max(4, len(places))
    torch.testing.assert_close(module.surprise(now, then, changed), expected)
    assert expected[1] == 0.0


def test_a_far_key_point_is_pulled_the_harder_the_further_it_is() -> None:
    module, changed = fresh(1), torch.zeros(1, 8, 12, dtype=torch.bool)
    changed[0, 4, 1] = True
    with torch.no_grad():
        module.share[1] = -10.0
    pulls = []
    for x in (4.0, 7.0, 11.0):
        place = torch.tensor([[[x, 4.0]]], requires_grad=True)
        module.surprise(place, place, changed).sum().backward()
        pulls.append(float(place.grad[0, 0, 0]))
    assert 0.0 < pulls[0] < pulls[1] < pulls[2]


def test_pixels_that_changed_in_any_channel_count() -> None:
    images = torch.zeros(1, 3, 4, 4)
    after = images.clone()
    after[0, 1, 2, 3], after[0, 2, 0, 0] = 0.06, 0.04
    assert changed_pixels(after, images).nonzero().tolist() == [[0, 2, 3]]


def test_places_learn_of_motion_alone() -> None:
    """Whatever the reconstruction weighs, what finds key points takes the same steps."""
    states = []
    for scale in (1.0, 40.0):
        vae = seer(reconstruction_scale=scale, gradient_clip=1e9)
        learn(vae, World(), 3)
        states.append(vae.state())
    apart = {n for n in states[0] if n[:6] == "weight" and (states[0][n] != states[1][n]).any()}
    finding = ("first", "second", "heat", "spread", "share")
    assert not {n for n in apart if n.startswith(tuple(f"weight.key_points.{f}" for f in finding))}
    assert {"weight.key_points.drawn.weight", "weight.down.0.weight"} <= apart


def test_key_points_are_the_first_latents_with_a_small_variance_and_no_kl() -> None:
    vae, world = seer(z_dim=7), World()
    frames, before, _, _ = world.pair(np.random.default_rng(0), 8)
    means, log_variances = vae.posterior(frames)
    assert means.shape == (8, 7)
    np.testing.assert_allclose(np.exp(0.5 * log_variances[:, :4]), 0.02, rtol=1e-5)
    rest, spread = means[:, 4:].astype(np.float64), log_variances[:, 4:].astype(np.float64)
    kl = 0.5 * (rest**2 + np.exp(spread) - 1.0 - spread).sum(axis=1).mean()
    vae._counted.mean_frame.copy_(vae._images(frames).mean(0, keepdim=True))
    seen = vae.posterior(frames)[0][:, 4:]
    assert np.abs(seen - rest).max() > 0.0
    plain = seer(z_dim=7, mean_frame_updates=1)
    plain.load_state({**plain.state(), "updates": np.array(1, np.int64)})
    metrics = plain.update(frames, before, np.random.default_rng(1))
    assert metrics["kl"] == pytest.approx(kl, rel=1e-4)


def test_frames_in_which_nothing_moved_are_learned_from_too() -> None:
    vae, world = seer(), World()
    frames = world.pair(np.random.default_rng(0), 8)[0]
    metrics = vae.update(frames, frames, np.random.default_rng(0))
    assert metrics["key_point_nll"] == 0.0
    assert all(np.isfinite(value) for value in metrics.values())


@pytest.mark.parametrize("channels", [1, 3])
def test_with_key_points_it_resumes_bit_for_bit_after_encoding(channels: int) -> None:
    world = World(channels, bar=True)
    whole, first = seer(channels), seer(channels)
    expected = learn(whole, world, 3) + learn(whole, world, 3, seed=1)
    first.encode(world.pair(np.random.default_rng(0), 4)[0])
    assert learn(first, world, 3) == expected[:3]
    second = seer(channels, seed=5)
    second.load_state(first.state())
    assert learn(second, world, 3, seed=1) == expected[3:]
    for name, value in whole.state().items():
        np.testing.assert_array_equal(second.state()[name], value, err_msg=name)


def test_a_batch_in_parts_takes_the_step_of_the_whole() -> None:
    whole, parts = (seer(learning_rate=1e-3) for _ in range(2))
    parts.parts = 3
    world = World(bar=True)
    for found, expected in zip(learn(parts, world, 4), learn(whole, world, 4), strict=True):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4)


def test_a_key_point_that_is_not_finite_is_refused_and_changes_nothing() -> None:
    vae = seer()
    learn(vae, World(), 1)
    name = "weight.key_points.spread"
    broken = {**vae.state(), name: np.full((2, 2), np.nan, np.float32)}
    vae.load_state(broken)
    with pytest.raises(NonFiniteLoss, match="refused"):
        learn(vae, World(), 1)
    for key, value in vae.state().items():
        np.testing.assert_array_equal(value, broken[key], err_msg=key)


def test_lower_precision_finds_the_same_places() -> None:
    exact, world = seer(), World()
    learn(exact, world, 60)
    rounded = seer(precision="bfloat16")
    rounded.load_state(exact.state())
    frames = world.pair(np.random.default_rng(3), 64)[0]
    apart = np.abs(places(exact, frames) - places(rounded, frames))
    assert 0.0 < np.quantile(apart, 0.9) < 0.5


def test_more_key_points_than_latents_are_refused() -> None:
    with pytest.raises(ValueError, match="expected z_dim above 8"):
        seer(key_points=4)
