"""V in torch: a convolutional variational autoencoder (Ha & Schmidhuber 2018, appendix A.1).

Stride-2 convolutions and transposed ones, as in the paper, with three changes. Blocks of 4 x 4
pixels are folded into channels first and unfolded last, which loses nothing and spares a CPU the
convolutions at full size. The mean frame of the data is taken off the input and
put back before the decoder's sigmoid, so that the network learns only what changes. Pixels that
moved since the frame before weigh more in the reconstruction than the background: a few bright
ones are all there is of a ball. If asked, the reconstruction is compared at coarser scales as
well (`models.neural.coarse`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from models.interfaces import Float, Frames, Metrics, State
from models.neural.adam import GuardedAdam
from models.neural.coarse import WindowStatistics, coarse_error
from models.neural.convolutions import AutoEncoder, shrink_of
from models.neural.device import device_memory, part_slices
from models.neural.initialise import build
from models.neural.precision import Precision, computing, resolve_precision
from models.neural.state import load_arrays, to_arrays

_CHUNK = 128
_MOVED = 0.02
_ACCURATE = 0.05
_ACTIVE_VARIANCE = 0.01
# Keeps the mean frame inside the sigmoid's useful range, where it still passes gradients.
_MEAN_MARGIN = 0.02


class _Background(NamedTuple):
    """The data's mean frame `[1, C, H, W]` and mean squares of windows, one tensor a level."""

    mean_frame: Tensor
    mean_squares: Sequence[Tensor]


class _Part(NamedTuple):
    """Some rows of a batch of `batch` frames: images, what moved in them, and their noise."""

    images: Tensor
    moved: Tensor
    noise: Tensor
    batch: int


class _Seen(NamedTuple):
    """What a forward pass gave: frames, posterior `[B, Z]`, and the loss's terms `[1]`."""

    decoded: Tensor
    mean: Tensor
    log_variance: Tensor
    reconstruction: Tensor
    coarse: Tensor
    kl: Tensor


class ConvVAE:
    """V: frames to latents, learned by reconstruction.

    The loss is `reconstruction_scale * E_B[sum_pixels w (x - x')^2] + coarse_weight * E_B[U] +
    beta_t * E_B[KL]`, the KL summed over latents (Kingma & Welling 2014, appendix B), `beta_t`
    ramped linearly from zero over `beta_warmup_steps`, U the variance that is left unexplained at
    coarser scales (`models.neural.coarse`), and `w = background_weight + motion_weight * moved`,
    where a pixel moved if it or one of its eight neighbours changed by more than 0.02 since the
    frame before; `w = 1` if `motion_weight` is zero.

    Metrics of an update: `loss`; its terms `reconstruction` and `coarse` (unscaled; the
    latter only if it counts), `kl` (nats) and `beta`;
    `pixel_accuracy` (share of values reconstructed within 0.05 of [0, 1]);
    `moving_variance_explained` (1 - squared error / squared distance from the mean frame, over
    moving pixels; 0 if nothing moves); `latent_mean` (mean |mu|), `latent_std` (of mu over the
    batch, averaged), `posterior_std`; `active_latents` (whose mu varies by more than 0.01, Burda et
    al. 2016, section 5.3); `gradient_norm` before clipping.

    Args:
        frame_shape: `(H, W, C)`; H and W divisible by 2 ** (len(channels) + 1).
        latent_size: Z.
        learning_rate: Adam's step size.
        beta: weight of the KL after warm-up.
        beta_warmup_steps: updates over which beta grows from zero.
        motion_weight: further weight of moving pixels; zero is a plain squared error.
        background_weight: weight of pixels that did not move.
        reconstruction_scale: factor of the reconstruction term.
        coarse_weight: factor of what is unexplained at coarser scales; zero leaves it out.
        gradient_clip: global norm that gradients are clipped to.
        device: where it computes.
        seed: of the initial weights.
        channels: of the convolutions, from a quarter of the frame's size on; the paper's V has
            (32, 64, 128, 256) from the frame's own size on.
        mean_frame_updates: updates over which the mean frame, and the variance of windows, are
            averaged; then they stay.
        precision: format of the convolutions while learning and encoding, see
            `resolve_precision`; pictures are decoded in float32.

    Raises:
        ValueError: the frame cannot be halved that often, or a size is not positive.
    """

    single_pass = False

    def __init__(
        self,
        frame_shape: Sequence[int] = (64, 64, 1),
        latent_size: int = 32,
        learning_rate: float = 1e-3,
        beta: float = 0.02,
        beta_warmup_steps: int = 500,
        motion_weight: float = 1.0,
        background_weight: float = 0.01,
        reconstruction_scale: float = 50.0,
        coarse_weight: float = 0.0,
        gradient_clip: float = 10.0,
        device: str = "cpu",
        seed: int = 0,
        channels: Sequence[int] = (32, 48, 64),
        mean_frame_updates: int = 50,
        precision: Precision = "auto",
    ) -> None:
        self.frame_shape = _checked_shape(frame_shape, channels, latent_size)
        self.latent_size = latent_size
        self._beta, self._beta_warmup_steps = beta, beta_warmup_steps
        self._motion_weight, self._background_weight = motion_weight, background_weight
        self._reconstruction_scale, self._coarse_weight = reconstruction_scale, coarse_weight
        self._mean_frame_updates = mean_frame_updates
        self._precision: Precision = precision
        self._gradient_clip = gradient_clip
        self.parts = 1
        height, width, image_channels = self.frame_shape
        network = build(lambda: AutoEncoder(self.frame_shape, latent_size, tuple(channels)), seed)
        with torch.no_grad():
            # Starts close to the mean frame instead of at noise around it.
            for parameter in network.up[-1].parameters():
                parameter.mul_(0.3)
        self._network = network
        self._mean_frame = torch.zeros(1, image_channels, height, width)
        self._windows = WindowStatistics(self.frame_shape) if coarse_weight > 0 else None
        self._updates = torch.tensor(0, dtype=torch.int64)
        self._place(torch.device(device), learning_rate)

    def _place(self, device: torch.device, learning_rate: float) -> None:
        self._device = device
        self._dtype = resolve_precision(self._precision, device)
        self._network = self._network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._mean_frame = self._mean_frame.to(device)
        if self._windows is not None:
            self._windows.move_to(device)
        self._adam = GuardedAdam(self._network, learning_rate, self._gradient_clip, self._dtype)

    @property
    def device(self) -> str:
        """Where it computes."""
        return str(self._device)

    def move_to(self, device: str) -> None:
        """Goes on on another device; see `models.interfaces.Descends`."""
        state = self.state()
        self._place(torch.device(device), self.learning_rate)
        self.load_state(state)

    @property
    def learning_rate(self) -> float:
        """Adam's step size."""
        return self._adam.learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        self._adam.learning_rate = value

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
        moved = _moved(images, self._images(previous))
        background, beta = self._next_background(images), self._beta_at(int(self._updates))
        noise = torch.from_numpy(normals).to(self._device)
        slices = part_slices(len(images), self.parts)
        seen: dict[int, _Seen] = {}

        def share(number: int) -> Tensor:
            rows = slices[number]
            part = _Part(images[rows], moved[rows], noise[rows], len(images))
            loss, seen[number] = self._share_of_loss(part, background, beta)
            return loss

        loss, norm = self._adam.step([partial(share, number) for number in range(len(slices))])
        self._mean_frame.copy_(background.mean_frame)
        if self._windows is not None:
            self._windows.keep(background.mean_squares)
        self._updates += 1
        whole = _Seen(*map(_joined, zip(*(seen[n] for n in range(len(slices))), strict=True)))
        with torch.no_grad():
            metrics = {
                "reconstruction": whole.reconstruction.sum(),
                "kl": whole.kl.sum(),
                **({"coarse": whole.coarse.sum()} if self._windows else {}),
                **_image_metrics(images, whole.decoded, moved, background.mean_frame),
                **_latent_metrics(whole.mean, whole.log_variance),
            }
            values = torch.stack(list(metrics.values())).tolist()
        measured = dict(zip(metrics, values, strict=True))
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
        with device_memory(), torch.inference_mode(), computing(self._device, self._dtype):
            for chunk in _chunks(len(observations)):
                images = self._images(observations[chunk]) - self._mean_frame
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
        with device_memory(), torch.inference_mode(), computing(self._device, torch.float32):
            for chunk in _chunks(len(latents)):
                logits = self._network.decode(torch.tensor(latents[chunk], device=self._device))
                pixels = _to_pixels(logits, self._mean_frame).mul(255.0).round().to(torch.uint8)
                frames[chunk] = pixels.permute(0, 2, 3, 1).cpu()
        return frames

    def state(self) -> State:
        """Returns weights, mean frame, moments and counters as arrays."""
        return to_arrays(self._tensors())

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from a state; raises ValueError, unchanged, if it is of another shape."""
        load_arrays(self._tensors(), state, "ConvVAE")

    def _tensors(self) -> dict[str, Tensor]:
        weights = {f"weight.{name}": value for name, value in self._network.state_dict().items()}
        moments = {f"adam.{name}": value for name, value in self._adam.tensors().items()}
        windows = {} if self._windows is None else self._windows.tensors()
        counted = {"mean_frame": self._mean_frame, "updates": self._updates}
        return {**weights, **moments, **windows, **counted}

    def _share_of_loss(
        self, part: _Part, background: _Background, beta: float
    ) -> tuple[Tensor, _Seen]:
        """Returns what a part adds to the batch's loss, and what was seen on the way, detached."""
        mean_frame = background.mean_frame
        with computing(self._device, self._dtype):
            mean, log_variance = self._network.encode(part.images - mean_frame)
            logits = self._network.decode(mean + part.noise * torch.exp(0.5 * log_variance))
        decoded = _to_pixels(logits, mean_frame)
        error = (decoded - part.images).square()
        if self._motion_weight > 0:
            error = error * (self._background_weight + self._motion_weight * part.moved)
        share = len(part.images) / part.batch
        reconstruction = error.sum(dim=(1, 2, 3)).mean() * share
        latent_kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
        kl = latent_kl.sum(1).mean() * share
        loss = self._reconstruction_scale * reconstruction + beta * kl
        coarse = torch.zeros_like(kl)
        if background.mean_squares:
            coarse = share * coarse_error(decoded, part.images, *background).mean()
            loss = loss + self._coarse_weight * coarse
        seen = (decoded, mean, log_variance, reconstruction[None], coarse[None], kl[None])
        return loss, _Seen(*(tensor.detach() for tensor in seen))

    def _beta_at(self, updates: int) -> float:
        if self._beta_warmup_steps == 0:
            return self._beta
        return self._beta * min(1.0, updates / self._beta_warmup_steps)

    def _next_background(self, images: Tensor) -> _Background:
        updates, windows = int(self._updates), self._windows
        if updates >= self._mean_frame_updates:
            return _Background(self._mean_frame, windows.squares if windows else ())
        batch_mean = images.mean(dim=0, keepdim=True)
        mean_frame = self._mean_frame + (batch_mean - self._mean_frame) / (updates + 1)
        return _Background(mean_frame, windows.after(images, updates) if windows else ())

    def _images(self, observations: np.ndarray) -> Tensor:
        self._check(observations)
        # torch shares memory only with writable arrays, and warns of the others (memory maps).
        frames = observations if observations.flags.writeable else observations.copy()
        pixels = torch.from_numpy(np.ascontiguousarray(frames)).to(self._device)
        return pixels.permute(0, 3, 1, 2).to(torch.float32).mul_(1.0 / 255.0)

    def _check(self, observations: np.ndarray) -> None:
        if observations.dtype != np.uint8 or observations.shape[1:] != self.frame_shape:
            raise ValueError(
                f"ConvVAE was given {observations.dtype} {observations.shape}, expected uint8 "
                f"(N, {', '.join(map(str, self.frame_shape))}); resize frames first"
            )


def _checked_shape(
    frame_shape: Sequence[int], channels: Sequence[int], latent_size: int
) -> tuple[int, int, int]:
    shrink = shrink_of(channels)
    valid = len(frame_shape) == 3 and min(*frame_shape, *channels, latent_size) > 0
    if not valid or frame_shape[0] % shrink or frame_shape[1] % shrink:
        raise ValueError(
            f"ConvVAE was given frames of {tuple(frame_shape)}, {latent_size} latents and "
            f"channels {tuple(channels)}, expected positive sizes and (H, W, C) with H and W "
            f"divisible by {shrink}"
        )
    height, width, image_channels = (int(size) for size in frame_shape)
    return height, width, image_channels


def _joined(parts: Sequence[Tensor]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))


def _chunks(n: int) -> Iterator[slice]:
    return (slice(start, start + _CHUNK) for start in range(0, n, _CHUNK))


def _moved(images: Tensor, before: Tensor) -> Tensor:
    """Marks pixels `[B, 1, H, W]` that changed in any channel, grown by one pixel."""
    changed = (images - before).abs().amax(dim=1, keepdim=True) > _MOVED
    # On booleans, because pooling also computes indices, which nobody needs.
    tall = changed.clone()
    tall[:, :, 1:] |= changed[:, :, :-1]
    tall[:, :, :-1] |= changed[:, :, 1:]
    grown = tall.clone()
    grown[..., 1:] |= tall[..., :-1]
    grown[..., :-1] |= tall[..., 1:]
    return grown.float()


def _to_pixels(logits: Tensor, mean_frame: Tensor) -> Tensor:
    return torch.sigmoid(logits + torch.logit(mean_frame, eps=_MEAN_MARGIN))


def _image_metrics(
    images: Tensor, decoded: Tensor, moved: Tensor, mean_frame: Tensor
) -> dict[str, Tensor]:
    distance = decoded - images
    unexplained = (moved * distance.square()).sum()
    variance = (moved * (images - mean_frame).square()).sum()
    explained = torch.where(variance > 0, 1.0 - unexplained / variance.clamp_min(1e-12), 0.0)
    accuracy = (distance.abs() <= _ACCURATE).float().mean()
    return {"pixel_accuracy": accuracy, "moving_variance_explained": explained}


def _latent_metrics(mean: Tensor, log_variance: Tensor) -> dict[str, Tensor]:
    variance = mean.var(dim=0, correction=0)
    return {
        "latent_mean": mean.abs().mean(),
        "latent_std": variance.sqrt().mean(),
        "active_latents": (variance > _ACTIVE_VARIANCE).float().sum(),
        "posterior_std": torch.exp(0.5 * log_variance).mean(),
    }
