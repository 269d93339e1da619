"""V in torch: a convolutional variational autoencoder (Ha & Schmidhuber 2018, appendix A.1).

Stride-2 convolutions and transposed ones, as in the paper, with three changes. Blocks of 4 x 4
pixels are folded into channels first and unfolded last, which loses nothing and spares a CPU the
convolutions at full size. The mean frame of the data is taken off the input and
put back before the decoder's sigmoid, so that the network learns only what changes. Pixels that
moved since the frame before weigh more in the reconstruction than the background: a few bright
ones are all there is of a ball. If asked, the reconstruction is compared at coarser scales as
well (`models.networks.coarse`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from models.interfaces import Float, Frames, Metrics, State
from models.networks.coarse import WindowStatistics, coarse_error
from models.networks.convolutions import AutoEncoder
from models.networks.initialise import build
from models.neural.descent import Descent, held
from models.neural.device import device_memory
from models.neural.precision import Precision
from models.numeric.threads import one_torch_thread
from models.settings.vae import VAESettings

_USUAL = VAESettings()
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


class _Counted(nn.Module):
    """How many updates there were, and what the data are like on average.

    Args:
        frame_shape: `(H, W, C)`.
        windows: whether the variance of windows counts too.
    """

    mean_frame: Tensor
    updates: Tensor

    def __init__(self, frame_shape: tuple[int, int, int], *, windows: bool) -> None:
        super().__init__()
        height, width, channels = frame_shape
        self.register_buffer("mean_frame", torch.zeros(1, channels, height, width))
        self.register_buffer("updates", torch.tensor(0, dtype=torch.int64))
        self.mean_squares = WindowStatistics(frame_shape) if windows else None

    @property
    def background(self) -> _Background:
        """The means as they are."""
        return _Background(self.mean_frame, self.mean_squares.squares if self.mean_squares else ())

    def after(self, images: Tensor) -> _Background:
        """Returns the means once these images follow; changes nothing."""
        updates, windows = int(self.updates), self.mean_squares
        batch_mean = images.mean(dim=0, keepdim=True)
        mean_frame = self.mean_frame + (batch_mean - self.mean_frame) / (updates + 1)
        return _Background(mean_frame, windows.after(images, updates) if windows else ())

    def keep(self, background: _Background) -> None:
        """Counts an update, and takes over the means that it was made with."""
        self.mean_frame.copy_(background.mean_frame)
        if self.mean_squares is not None:
            self.mean_squares.keep(background.mean_squares)
        self.updates += 1


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
    coarser scales (`models.networks.coarse`), and `w = background_weight + motion_weight * moved`,
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
        frame_shape: `(H, W, C)`; H and W divisible by `settings.shrink`.
        settings: see there; after `mean_frame_updates` the means over the data stay.
        device: where it computes.
        seed: of the initial weights.
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
        precision: Precision = "auto",
    ) -> None:
        self.frame_shape = _checked_shape(frame_shape, settings)
        self.latent_size = settings.z_dim
        self._settings = settings
        network = build(lambda: AutoEncoder(self.frame_shape, settings), seed)
        with torch.no_grad():
            # Starts close to the mean frame instead of at noise around it.
            for parameter in network.up[-1].parameters():
                parameter.mul_(0.3)
        # The layout that convolutions are fastest in.
        self._network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._counted = _Counted(self.frame_shape, windows=settings.coarse_weight > 0)
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
        moved = _moved(images, self._images(previous))
        counted, background = self._counted, self._next_background(images)
        beta = self._beta_at(int(counted.updates))
        noise = self._descent.to_device(normals)
        seen: dict[int, _Seen] = {}

        def share(rows: slice) -> Tensor:
            part = _Part(images[rows], moved[rows], noise[rows], len(images))
            loss, seen[rows.start] = self._share_of_loss(part, background, beta)
            return loss

        loss, norm = self._descent.step(len(images), share)
        counted.keep(background)
        whole = _Seen(*map(_joined, zip(*seen.values(), strict=True)))
        with torch.no_grad():
            metrics = {
                "reconstruction": whole.reconstruction.sum(),
                "kl": whole.kl.sum(),
                **({"coarse": whole.coarse.sum()} if background.mean_squares else {}),
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
                pixels = _to_pixels(logits, self._counted.mean_frame)
                rounded = pixels.mul(255.0).round().to(torch.uint8)
                frames[chunk] = rounded.permute(0, 2, 3, 1).cpu()
        return frames

    def state(self) -> State:
        """Returns weights, mean frame, moments and counters as arrays."""
        return self._descent.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from a state; raises ValueError, unchanged, if it is of another shape."""
        self._descent.load_state(state)

    def _share_of_loss(
        self, part: _Part, background: _Background, beta: float
    ) -> tuple[Tensor, _Seen]:
        """Returns what a part adds to the batch's loss, and what was seen on the way, detached."""
        settings, mean_frame = self._settings, background.mean_frame
        with self._descent.computing():
            mean, log_variance = self._network.encode(part.images - mean_frame)
            logits = self._network.decode(mean + part.noise * torch.exp(0.5 * log_variance))
        decoded = _to_pixels(logits, mean_frame)
        error = (decoded - part.images).square()
        if settings.motion_weight > 0:
            error = error * (settings.background_weight + settings.motion_weight * part.moved)
        share = len(part.images) / part.batch
        reconstruction = error.sum(dim=(1, 2, 3)).mean() * share
        latent_kl = 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)
        kl = latent_kl.sum(1).mean() * share
        loss = settings.reconstruction_scale * reconstruction + beta * kl
        coarse = torch.zeros_like(kl)
        if background.mean_squares:
            coarse = share * coarse_error(decoded, part.images, *background).mean()
            loss = loss + settings.coarse_weight * coarse
        seen = (decoded, mean, log_variance, reconstruction[None], coarse[None], kl[None])
        return loss, _Seen(*(tensor.detach() for tensor in seen))

    def _beta_at(self, updates: int) -> float:
        beta, steps = self._settings.beta, self._settings.beta_warmup_steps
        return beta if steps == 0 else beta * min(1.0, updates / steps)

    def _next_background(self, images: Tensor) -> _Background:
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
    if not valid or frame_shape[0] % shrink or frame_shape[1] % shrink:
        raise ValueError(
            f"ConvVAE was given frames of {tuple(frame_shape)}, {settings.z_dim} latents and "
            f"channels {tuple(settings.channels)}, expected positive sizes and (H, W, C) with H "
            f"and W divisible by {shrink}"
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


if __name__ == "__main__":
    from models.selftest.world_model import check_vision

    small = VAESettings(
        z_dim=8, channels=(16, 32), learning_rate=1e-2, beta=0.01, motion_weight=0.0
    )
    with one_torch_thread():
        raise SystemExit(check_vision("vae", lambda: ConvVAE((16, 16, 1), small), 300))
