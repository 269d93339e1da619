"""V in torch: a convolutional variational autoencoder (Ha & Schmidhuber 2018, appendix A.1).

Stride-2 convolutions and transposed ones, as in the paper, with three changes. Blocks of 4 x 4
pixels are folded into channels first and unfolded last, which loses nothing and spares a CPU the
convolutions at full size. The mean frame of the data is taken off the input and
put back before the decoder's sigmoid, so that the network learns only what changes. Pixels that
moved since the frame before weigh more in the reconstruction than the background: a few bright
ones are all there is of a ball. If asked, the reconstruction is compared at coarser scales as
well (`models.networks.coarse`). If asked, hidden layers are normalised over the batch. And if
asked, the first latents are the places of things that move (`models.networks.key_points`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.exported.modules import Decoder, Encoder
from models.interfaces import Float, Frames, Metrics, State
from models.networks.background import Background, Counted
from models.networks.coarse import coarse_error
from models.networks.convolutions import AutoEncoder, Statistics
from models.networks.initialise import build
from models.networks.key_points import KeyPoints, Motion, changed_pixels
from models.networks.pixels import image_metrics, latent_metrics, moving, to_pixels
from models.neural.descent import Descent, held
from models.neural.device import device_memory
from models.neural.precision import Precision
from models.numeric.threads import one_torch_thread
from models.settings.vae import VAESettings

_USUAL = VAESettings()
_CHUNK = 128
_TRIALS, _UNEXPLAINED = 2, 0.2
_APART = 7919  # of seeds, so that no other V begins with the weights of a second trial


class _Part(NamedTuple):
    """Some rows of a batch of `batch` frames: images, those before, what moved, and their noise."""

    images: Tensor
    before: Tensor
    moved: Tensor
    noise: Tensor
    batch: int


class _Seen(NamedTuple):
    """What a forward pass gave: frames, posterior `[B, Z]`, the loss's terms `[1]`, and how sharp
    the heat maps of key points are `[2 B, K]`."""

    decoded: Tensor
    mean: Tensor
    log_variance: Tensor
    reconstruction: Tensor
    coarse: Tensor
    kl: Tensor
    surprise: Tensor
    sharpness: Tensor


class ConvVAE:
    """V: frames to latents, learned by reconstruction.

    The loss is `reconstruction_scale * E_B[sum_pixels w (x - x')^2] + coarse_weight * E_B[U] +
    beta_t * E_B[KL]`, the KL summed over latents (Kingma & Welling 2014, appendix B), `beta_t`
    ramped linearly from zero over `beta_warmup_steps`, U the variance that is left unexplained at
    coarser scales (`models.networks.coarse`), and `w = background_weight + motion_weight * moved`,
    where a pixel moved if it or one of its eight neighbours changed by more than 0.02 since the
    frame before; `w = 1` if `motion_weight` is zero. Key points add `key_point_weight * E_B[S +
    key_point_entropy * H + key_point_travel * D]`, S how unlikely the places of changed pixels are
    (`KeyPoints.surprise`), H the entropy of heat maps and D the pixels that key points moved since
    the frame before; they learn from this alone, have no KL, and their posterior's
    deviation is 0.02. From some weights all of them go to one thing and leave another to none,
    for good: then they begin anew (`key_point_trial`).

    Metrics of an update: `loss`; its terms `reconstruction` and `coarse` (unscaled; the
    latter only if it counts), `kl` (nats) and `beta`;
    `pixel_accuracy` (share of values reconstructed within 0.05 of [0, 1]);
    `moving_variance_explained` (1 - squared error / squared distance from the mean frame, over
    moving pixels; 0 if nothing moves); `latent_magnitude` (mean |mu|), `latent_std` (of mu over the
    batch, averaged), `posterior_std`; `active_latents` (whose mu varies by more than 0.01, Burda et
    al. 2016, section 5.3); `gradient_norm` before clipping; with key points `key_point_nll` (S,
    nats), `key_point_outliers` (weight of changes that none explains), `key_point_restarts` (1 if
    they begin anew after it, else 0), `key_point_sharpness` (mean of heat maps' largest values)
    and, in pixels, `key_point_sigma` and `key_point_smallest_sigma`.

    Args:
        frame_shape: `(H, W, C)`; H and W divisible by `settings.shrink`.
        settings: see there; after `mean_frame_updates` the means over the data stay.
        device: where it computes.
        seed: of the initial weights.
        frames: how many lie in the C channels, the oldest first; key points are of the newest, and
            found by what changed since the others too.
        precision: format of the convolutions while learning and encoding, see
            `resolve_precision`; pictures are decoded in float32.

    Raises:
        ValueError: the frame cannot be halved that often, or a size is not positive.
    """

    single_pass = False
    device: str = held()
    parts: int = held()
    learning_rate: float = held()

    def __init__(
        self,
        frame_shape: Sequence[int],
        settings: VAESettings = _USUAL,
        *,
        device: str = "cpu",
        seed: int = 0,
        frames: int = 1,
        precision: Precision = "auto",
    ) -> None:
        self.frame_shape = _checked_shape(frame_shape, settings)
        self.latent_size = settings.z_dim
        self._settings, self._newest = settings, slice(-(self.frame_shape[-1] // frames), None)
        self._frames, self._seed = frames, seed
        network = build(lambda: AutoEncoder(self.frame_shape, settings, frames), seed)
        network.start()
        network.eval()
        # The layout that convolutions are fastest in.
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._counted = Counted(self.frame_shape, windows=settings.coarse_weight > 0)
        self._descent = Descent(
            "ConvVAE",
            self._network,
            self._counted,
            learning_rate=settings.learning_rate,
            gradient_clip=settings.gradient_clip,
            device=device,
            precision=precision,
        )

    def move_to(self, device: str) -> None:
        """Goes on on another device; see `models.interfaces.Descends`."""
        self._descent.move_to(device)

    def update(
        self, observations: np.ndarray, previous: np.ndarray, rng: np.random.Generator
    ) -> Metrics:
        """Takes one Adam step on a batch.

        Args:
            observations: `[B, H, W, C]` uint8.
            previous: `[B, H, W, C]` uint8, one step earlier.
            rng: draws `[B, Z]` normals for the reparameterisation.

        Returns:
            The metrics named in the class's text.

        Raises:
            NonFiniteLoss: the step was refused and nothing changed.
            OutOfDeviceMemory: the batch did not fit: take it in more `parts`.
            MemoryError: it did not fit into the host's memory.
        """
        normals = rng.standard_normal((len(observations), self.latent_size), dtype=np.float32)
        with device_memory():
            return self._update(observations, previous, normals)

    def _update(
        self, observations: np.ndarray, previous: np.ndarray, normals: np.ndarray
    ) -> Metrics:
        images = self._images(observations)
        before = self._images(previous)
        moved = moving(images, before)
        counted, background = self._counted, self._next_background(images)
        beta = self._beta_at(int(counted.updates))
        noise = self._descent.to_device(normals)
        seen: dict[int, _Seen] = {}
        statistics: dict[int, tuple[int, Statistics]] = {}

        def share(rows: slice) -> Tensor:
            part = _Part(images[rows], before[rows], moved[rows], noise[rows], len(images))
            loss, seen[rows.start] = self._share_of_loss(part, background, beta)
            statistics[rows.start] = (len(part.images), self._network.statistics())
            return loss

        with _learning(self._network):
            loss, norm = self._descent.step(len(images), share)
        self._network.follow(statistics.values(), int(counted.updates))
        counted.keep(background)
        whole = _Seen(*map(_joined, zip(*seen.values(), strict=True)))
        with torch.no_grad():
            metrics = {
                "reconstruction": whole.reconstruction.sum(),
                "kl": whole.kl.sum(),
                **({"coarse": whole.coarse.sum()} if background.mean_squares else {}),
                **image_metrics(images, whole.decoded, moved, background.mean_frame),
                **latent_metrics(whole.mean, whole.log_variance),
                **self._key_point_metrics(whole),
            }
            values = torch.stack(list(metrics.values())).tolist()
        measured = dict(zip(metrics, values, strict=True))
        if self._network.key_points is not None:
            restarts = self._begins_anew(measured["key_point_outliers"])
            measured["key_point_restarts"] = float(restarts)
        return {"loss": loss, **measured, "beta": beta, "gradient_norm": norm}

    def finish(self) -> Metrics:
        """Does nothing: every update already learned; returns no metrics."""
        return {}

    def encode(self, observations: np.ndarray) -> Float:
        """Returns posterior means `[N, Z]` of frames `[N, H, W, C]` uint8."""
        return self.posterior(observations)[0]

    def posterior(self, observations: np.ndarray) -> tuple[Float, Float]:
        """Returns the posterior's mean and log variance, `[N, Z]` each."""
        self._check(observations)
        shape = (len(observations), self.latent_size)
        means, log_variances = np.empty(shape, np.float32), np.empty(shape, np.float32)
        with (
            device_memory(),
            torch.inference_mode(),
            self._descent.computing(),
        ):
            for chunk in _chunks(len(observations)):
                images = self._images(observations[chunk]) - self._counted.mean_frame
                mean, log_variance = self._network.encode(images)
                means[chunk], log_variances[chunk] = mean.cpu(), log_variance.cpu()
        return means, log_variances

    def decode(self, latents: Float) -> Frames:
        """Returns frames `[N, H, W, C]` uint8 of latents `[N, Z]`."""
        latents = np.ascontiguousarray(latents, dtype=np.float32)
        if latents.ndim != 2 or latents.shape[1] != self.latent_size:
            raise ValueError(
                f"ConvVAE.decode was given shape {latents.shape}, expected (N, {self.latent_size})"
            )
        frames = np.empty((len(latents), *self.frame_shape), np.uint8)
        with device_memory(), torch.inference_mode(), self._descent.computing(torch.float32):
            for chunk in _chunks(len(latents)):
                logits = self._network.decode(self._descent.to_device(latents[chunk]))
                pixels = to_pixels(logits, self._counted.mean_frame)
                rounded = pixels.mul(255.0).round().to(torch.uint8)
                frames[chunk] = rounded.permute(0, 2, 3, 1).cpu()
        return frames

    def exported(self) -> tuple[Encoder, Decoder]:
        """Returns copies of what encodes and what decodes, as modules of tensors alone."""
        parts = (self._network, self._counted.mean_frame)
        return Encoder(*parts), Decoder(*parts)

    def state(self) -> State:
        """Returns weights, mean frame, moments and counters as arrays."""
        return self._descent.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from a state; raises ValueError, unchanged, if it is of another shape."""
        self._descent.load_state(state)

    def _share_of_loss(
        self, part: _Part, background: Background, beta: float
    ) -> tuple[Tensor, _Seen]:
        """Returns what a part adds to the batch's loss, and what was seen on the way, detached."""
        settings, mean_frame = self._settings, background.mean_frame
        share = len(part.images) / part.batch
        with self._descent.computing():
            motion = self._motion(part, mean_frame)
            placed = None if motion is None else motion.latents
            mean, log_variance = self._network.encode(part.images - mean_frame, placed)
            logits = self._network.decode(mean + part.noise * torch.exp(0.5 * log_variance))
        decoded = to_pixels(logits, mean_frame)
        error = (decoded - part.images).square()
        if settings.motion_weight > 0:
            error = error * (settings.background_weight + settings.motion_weight * part.moved)
        reconstruction = error.sum(dim=(1, 2, 3)).mean() * share
        latent_kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
        kl = latent_kl[:, self._network.placed :].sum(1).mean() * share
        loss = settings.reconstruction_scale * reconstruction + beta * kl
        coarse = torch.zeros_like(kl)
        if background.mean_squares:
            coarse = share * coarse_error(decoded, part.images, *background).mean()
            loss = loss + settings.coarse_weight * coarse
        surprise, sharpness = torch.zeros_like(kl), mean[:0]
        if motion is not None:
            surprise, sharpness = share * motion.surprise.mean(), motion.sharpness
            spread = settings.key_point_entropy * share * motion.entropy.mean()
            travel = settings.key_point_travel * share * motion.travel.mean()
            loss = loss + settings.key_point_weight * (surprise + spread + travel)
        terms = (term[None] for term in (reconstruction, coarse, kl, surprise))
        seen = (decoded, mean, log_variance, *terms, sharpness)
        return loss, _Seen(*(tensor.detach() for tensor in seen))

    def _motion(self, part: _Part, mean_frame: Tensor) -> Motion | None:
        key_points = self._network.key_points
        if key_points is None:
            return None
        changed = changed_pixels(part.images[:, self._newest], part.before[:, self._newest])
        return key_points.explain(part.images - mean_frame, part.before - mean_frame, changed)

    def _key_point_metrics(self, seen: _Seen) -> dict[str, Tensor]:
        key_points = self._network.key_points
        if key_points is None:
            return {}
        return {"key_point_nll": seen.surprise.sum(), **key_points.measure(seen.sharpness)}

    def _begins_anew(self, unexplained: float) -> bool:
        """Lets key points that leave too much to none begin anew; returns whether they do."""
        every = self._settings.key_point_trial
        trial, rest = divmod(int(self._counted.updates), every) if every else (0, 1)
        if rest or trial > _TRIALS or unexplained <= _UNEXPLAINED:
            return False
        shape, settings, frames = self.frame_shape, self._settings, self._frames
        fresh = build(lambda: KeyPoints(shape, settings, frames), self._seed + _APART * trial)
        fresh.start()
        self._descent.renew("key_points", fresh)
        return True

    def _beta_at(self, updates: int) -> float:
        beta, steps = self._settings.beta, self._settings.beta_warmup_steps
        return beta if steps == 0 else beta * min(1.0, updates / steps)

    def _next_background(self, images: Tensor) -> Background:
        learns = int(self._counted.updates) < self._settings.mean_frame_updates
        return self._counted.after(images) if learns else self._counted.background

    def _images(self, observations: np.ndarray) -> Tensor:
        self._check(observations)
        # torch shares memory only with writable arrays, and warns of the others (memory maps).
        frames = observations if observations.flags.writeable else observations.copy()
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self._descent.torch_device)
        return pixels.permute(0, 3, 1, 2).to(torch.float32).mul_(1.0 / 255.0)

    def _check(self, observations: np.ndarray) -> None:
        if observations.dtype != np.uint8 or observations.shape[1:] != self.frame_shape:
            raise ValueError(
                f"ConvVAE was given {observations.dtype} {observations.shape}, expected uint8 "
                f"(N, {', '.join(map(str, self.frame_shape))}); resize frames first"
            )


def _checked_shape(frame_shape: Sequence[int], settings: VAESettings) -> tuple[int, int, int]:
    shrink, sizes = settings.shrink, (*frame_shape, *settings.channels, settings.z_dim)
    valid = len(frame_shape) == 3 and min(sizes) > 0
    if settings.z_dim <= 2 * settings.key_points:
        raise ValueError(
            f"ConvVAE was given {settings.z_dim} latents and {settings.key_points} key points, "
            f"which are two latents each; expected z_dim above {2 * settings.key_points}"
        )
    if not valid or frame_shape[0] % shrink or frame_shape[1] % shrink:
        raise ValueError(
            f"ConvVAE was given frames of {tuple(frame_shape)}, {settings.z_dim} latents and "
            f"channels {tuple(settings.channels)}, expected positive sizes and (H, W, C) with H "
            f"and W divisible by {shrink}"
        )
    height, width, image_channels = (int(size) for size in frame_shape)
    return height, width, image_channels


@contextmanager
def _learning(network: AutoEncoder) -> Iterator[None]:
    network.train()
    try:
        yield
    finally:
        network.eval()


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, n, _CHUNK))


if __name__ == "__main__":
    from models.selftest.world_model import check_vision

    small = VAESettings(
        z_dim=8, channels=(16, 32), learning_rate=1e-2, beta=0.01, motion_weight=0.0
    )
    with one_torch_thread():
        raise SystemExit(check_vision("vae", lambda: ConvVAE((16, 16, 1), small), 300))
