"""M in torch: an LSTM with a mixture density head (Ha & Schmidhuber 2018, appendix A.2).

Two choices differ from the paper. The mixture predicts the change z_{t+1} - z_t in units of that
latent's usual change (and the reward in units of the usual reward), so that an untrained network
already says "nothing moves" and slow latents are learned as fast as quick ones. Ends are rare, so
they weigh more in the loss, and the probability is corrected for that weight.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from models.exported.modules import MemoryStep
from models.interfaces import Float, Metrics, Prediction, SequenceBatch, State
from models.networks.initialise import build
from models.networks.recurrent import Heads, MixtureLSTM
from models.neural.descent import Descent, held
from models.neural.device import device_memory
from models.neural.precision import Precision
from models.neural.sequences import SequenceTensors, tensors_of
from models.numeric.threads import one_torch_thread
from models.settings.mdnrnn import MDNRNNSettings

_USUAL = MDNRNNSettings()
_EVALUATION_STEPS = 8192
_SMALLEST_SCALE = 1e-3
_INITIAL_END_PROBABILITY = 0.01


class _Counted(nn.Module):
    """How many updates there were, and how large changes and rewards usually are."""

    mean_squares: Tensor
    updates: Tensor
    end_weight: Tensor

    def __init__(self, latent_size: int, end_weight: float) -> None:
        super().__init__()
        self.register_buffer("mean_squares", torch.ones(latent_size + 1))
        self.register_buffer("updates", torch.tensor(0, dtype=torch.int64))
        self.register_buffer("end_weight", torch.tensor(end_weight), persistent=False)


class MDNRNN:
    """M: (z_t, a_t, state) to a distribution of z_{t+1}, the reward and the end.

    The packed state is the LSTM's `[h, c]`, so S = 2R, and `hidden` is h. The loss is the mean over
    real steps of: the mixture's negative log-likelihood per latent, `reward_weight` times the
    squared error of the reward in units of its usual size, `done_weight` times the weighted
    cross-entropy of the end.

    The heads lose a share of h (`dropout`, Srivastava et al. 2014) at each step, while learning and
    in `predict`, so that a dream is dreamed by many networks in turn (Gal & Ghahramani 2016); not
    in `evaluate`, and never inside the LSTM. Usual sizes are roots of mean squares; after
    `scale_updates` they stay.

    Args:
        latent_size: Z.
        action_size: A.
        settings: see there; its `rnn_size` is R, its `num_mixtures` K.
        device: where it computes.
        seed: of the initial weights.
        precision: format of the matrix products while learning, see `resolve_precision`; on a CPU
            the LSTM itself stays float32.

    Raises:
        ValueError: a size is not positive, or everything would be dropped.
    """

    single_pass = False
    device: str = held()
    parts: int = held()
    learning_rate: float = held()

    def __init__(
        self,
        latent_size: int,
        action_size: int,
        settings: MDNRNNSettings = _USUAL,
        *,
        device: str = "cpu",
        seed: int = 0,
        precision: Precision = "auto",
    ) -> None:
        sizes = (latent_size, action_size, settings.rnn_size, settings.num_mixtures)
        if min(sizes) < 1:
            raise ValueError(f"MDNRNN was given sizes Z, A, R, K = {sizes}, expected all positive")
        if not 0.0 <= settings.dropout < 1.0:
            raise ValueError(f"MDNRNN was given dropout {settings.dropout}, expected 0 to below 1")
        self.latent_size, self.action_size, self.hidden_size = sizes[:3]
        self._settings = settings
        self._network = build(lambda: MixtureLSTM(*sizes), seed)
        self._initialise_heads()
        self._counted = _Counted(latent_size, settings.end_weight)
        self._descent = Descent(
            "MDNRNN",
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

    def update(self, batch: SequenceBatch, rng: np.random.Generator) -> Metrics:
        """Takes one Adam step on a batch of sequences, each from the initial state.

        Args:
            batch: see `SequenceBatch`; steps whose mask is zero have no effect.
            rng: draws what is dropped, if anything is.

        Returns:
            `loss`, `gradient_norm` before clipping, and what `evaluate` returns, on this batch
            before the step.

        Raises:
            NonFiniteLoss: the step was refused and nothing changed.
            OutOfDeviceMemory: the batch did not fit: take it in more `parts`.
            MemoryError: it did not fit into the host's memory.
            ValueError: the shapes do not fit this model or each other.
        """
        with device_memory():
            tensors = self._on_device(batch)
            return self._update(tensors, self._kept(tuple(tensors.mask.shape), rng))

    def _update(self, tensors: SequenceTensors, kept: Tensor | None) -> Metrics:
        settings, mean_squares = self._settings, self._next_mean_squares(tensors)
        scales, count = _scales(mean_squares), tensors.mask.sum()
        seen: dict[int, dict[str, Tensor]] = {}

        def share(rows: slice) -> Tensor:
            part = SequenceTensors(*(tensor[rows] for tensor in tensors))
            share_kept = None if kept is None else kept[rows]
            heads = self._read_sequence(part, scales, self._descent.dtype, share_kept)
            losses = self._losses(heads, part)
            with torch.no_grad():
                sums = {**losses, **self._errors(heads, part)}
                seen[rows.start] = {name: value.detach() for name, value in sums.items()}
            return (
                losses["nll"]
                + settings.reward_weight * losses["reward_error"] / scales[-1].square()
                + settings.done_weight * losses["weighted_done_loss"]
            ) / count

        loss, norm = self._descent.step(len(tensors.mask), share)
        self._counted.mean_squares.copy_(mean_squares)
        self._counted.updates += 1
        return {"loss": loss, **_averages(_summed(seen.values()), count), "gradient_norm": norm}

    def finish(self) -> Metrics:
        """Does nothing: every update already learned; returns no metrics."""
        return {}

    def evaluate(self, batch: SequenceBatch) -> Metrics:
        """Scores a batch without learning.

        Returns:
            Means over real steps: `nll` (nats per latent), `prediction_error` and `copy_error`
            (squared error per latent of the expected z_{t+1}, and of z_t in its place),
            `mixture_entropy` (nats, 0 to log K), `reward_error` (squared error of the expected
            reward), `done_loss` (cross-entropy, nats), `weighted_done_loss` (the one trained on),
            `done_rate` and `done_probability` (equal if calibrated).

        Raises:
            ValueError: the shapes do not fit this model or each other.
        """
        rows = max(1, _EVALUATION_STEPS // max(1, batch.mask.shape[1]))
        sums: list[dict[str, Tensor]] = []
        whole, scales = self._on_device(batch), _scales(self._counted.mean_squares)
        with device_memory(), torch.inference_mode():
            for start in range(0, len(whole.mask), rows):
                part = SequenceTensors(*(tensor[start : start + rows] for tensor in whole))
                heads = self._read_sequence(part, scales, torch.float32)
                sums.append({**self._losses(heads, part), **self._errors(heads, part)})
            return _averages(_summed(sums), whole.mask.sum())

    def initial_state(self, n: int) -> Float:
        """Returns zeros `[n, 2R]`."""
        return np.zeros((n, 2 * self.hidden_size), np.float32)

    def hidden(self, state: Float) -> Float:
        """Returns h, `[N, R]`, of a packed state `[N, 2R]`."""
        return np.ascontiguousarray(state[:, : self.hidden_size])

    def step(self, state: Float, latents: Float, actions: Float) -> Float:
        """Returns the state `[N, 2R]` after z_t `[N, Z]` and the encoded a_t `[N, A]`."""
        lstm = self._network.lstm
        with device_memory(), torch.inference_mode():
            inputs = self._descent.to_device(np.concatenate([latents, actions], axis=1))
            h, c = self._descent.to_device(state).split(self.hidden_size, dim=1)
            advanced = torch.lstm_cell(inputs, (h, c), *lstm.all_weights[0])
            return torch.cat(advanced, dim=1).cpu().numpy()

    def predict(
        self, state: Float, latents: Float, temperature: float, rng: np.random.Generator
    ) -> Prediction:
        """Samples what follows, from a state already advanced by `step`.

        Args:
            state: `[N, 2R]` after `step(state, z_t, a_t)`.
            latents: `[N, Z]`, z_t.
            temperature: tau > 0; log weights / tau, standard deviations * sqrt(tau).
            rng: draws `[N, Z]` uniforms, `[N, Z]` normals, and what is dropped.

        Raises:
            ValueError: the temperature is not positive.
        """
        if not temperature > 0:
            raise ValueError(
                f"temperature was {temperature}, expected above zero (1 is as learned)"
            )
        shape = (len(state), self.latent_size)
        uniforms = rng.random(shape, dtype=np.float32)
        normals = rng.standard_normal(shape, dtype=np.float32)
        kept = self._kept(shape[:1], rng)
        with device_memory(), torch.inference_mode():
            hidden = self._descent.to_device(state[:, : self.hidden_size])
            hidden = hidden if kept is None else hidden * kept
            scales = _scales(self._counted.mean_squares)
            heads = self._network.read(hidden, self._descent.to_device(latents), scales)
            sampled = heads.mixture.sample(
                temperature, self._descent.to_device(uniforms), self._descent.to_device(normals)
            )
            parts = (sampled, heads.rewards, torch.sigmoid(heads.end_logits))
            return Prediction(*(part.cpu().numpy() for part in parts))

    @property
    def dropout(self) -> float:
        """Share of h that the heads lose at each step."""
        return self._settings.dropout

    def exported(self) -> MemoryStep:
        """Returns a copy of one step, as a module of tensors alone."""
        return MemoryStep(self._network, _scales(self._counted.mean_squares))

    def state(self) -> State:
        """Returns weights, moments and counters as arrays."""
        return self._descent.state()

    def load_state(self, state: Mapping[str, np.ndarray]) -> None:
        """Continues from a state; raises ValueError, unchanged, if it is of another shape."""
        self._descent.load_state(state)

    def _initialise_heads(self) -> None:
        """Starts at no expected change, no reward and a rare end, nearly whatever the input."""
        num_mixtures = self._network.num_mixtures
        mixture_size = num_mixtures * self.latent_size
        layer = self._network.heads
        with torch.no_grad():
            layer.weight.mul_(0.1)
            layer.weight[3 * mixture_size :].zero_()
            # Equal Gaussians would get equal gradients and part only slowly.
            spread = torch.linspace(-1.0, 1.0, num_mixtures) if num_mixtures > 1 else torch.zeros(1)
            layer.bias[mixture_size : 2 * mixture_size] = spread.repeat(self.latent_size)
            layer.bias[-1] = math.log(_INITIAL_END_PROBABILITY / (1.0 - _INITIAL_END_PROBABILITY))

    def _on_device(self, batch: SequenceBatch) -> SequenceTensors:
        device = self._descent.torch_device
        return tensors_of(batch, self.latent_size, self.action_size, device)

    def _next_mean_squares(self, tensors: SequenceTensors) -> Tensor:
        updates, before = int(self._counted.updates), self._counted.mean_squares
        if updates >= self._settings.scale_updates:
            return before
        changes = tensors.latents.diff(dim=1)
        squares = torch.cat([changes, tensors.rewards.unsqueeze(-1)], dim=-1).square()
        mean_squares = (squares * tensors.mask.unsqueeze(-1)).sum((0, 1)) / tensors.mask.sum()
        return before + (mean_squares - before) / (updates + 1)

    def _read_sequence(
        self,
        tensors: SequenceTensors,
        scales: Tensor,
        dtype: torch.dtype,
        kept: Tensor | None = None,
    ) -> Heads:
        current = tensors.latents[:, :-1]
        inputs = torch.cat([current, tensors.actions], dim=-1)
        # oneDNN refuses a bfloat16 LSTM on many CPUs, so there only the heads use it.
        recurrent = dtype if self._descent.torch_device.type == "cuda" else torch.float32
        with self._descent.computing(recurrent):
            hidden, _ = self._network.lstm(inputs)
        hidden = hidden if kept is None else hidden * kept
        with self._descent.computing(dtype):
            return self._network.read(hidden, current, scales)

    def _kept(self, shape: tuple[int, ...], rng: np.random.Generator) -> Tensor | None:
        """Returns factors of h `[*shape, R]`, zero for what is dropped; None if nothing is."""
        dropout = self._settings.dropout
        if not dropout:
            return None
        kept = rng.random((*shape, self.hidden_size), dtype=np.float32) >= dropout
        return self._descent.to_device(kept / np.float32(1.0 - dropout))

    def _losses(self, heads: Heads, tensors: SequenceTensors) -> dict[str, Tensor]:
        """Sums over real steps of the terms that are trained on, and of the plain end's."""
        mask, targets = tensors.mask, tensors.latents[:, 1:]
        nll = heads.mixture.negative_log_likelihood(targets).mean(-1)
        reward_error = (heads.rewards - tensors.rewards).square()
        ends, logits = tensors.terminated, heads.end_logits
        done_loss = functional.binary_cross_entropy_with_logits(logits, ends, reduction="none")
        # With weight w on ends the best logit is that of p plus log w (King & Zeng 2001, section
        # 4.2); adding log w here leaves the head's own logit at that of p.
        weighted_done_loss = functional.binary_cross_entropy_with_logits(
            logits + torch.log(self._counted.end_weight),
            ends,
            pos_weight=self._counted.end_weight,
            reduction="none",
        )
        terms = {
            "nll": nll,
            "reward_error": reward_error,
            "done_loss": done_loss,
            "weighted_done_loss": weighted_done_loss,
        }
        return {name: (mask * value).sum() for name, value in terms.items()}

    def _errors(self, heads: Heads, tensors: SequenceTensors) -> dict[str, Tensor]:
        """Sums over real steps of what is only looked at."""
        mask, targets = tensors.mask, tensors.latents[:, 1:]
        expected = heads.mixture.expectation()
        terms = {
            "prediction_error": (expected - targets).square().mean(-1),
            "copy_error": (tensors.latents[:, :-1] - targets).square().mean(-1),
            "mixture_entropy": heads.mixture.entropy().mean(-1),
            "done_rate": tensors.terminated,
            "done_probability": torch.sigmoid(heads.end_logits),
        }
        return {name: (mask * value).sum() for name, value in terms.items()}


def _scales(mean_squares: Tensor) -> Tensor:
    """Returns usual sizes; what was never seen to differ from zero counts in its own units."""
    known = torch.where(mean_squares > 0, mean_squares, 1.0)
    return known.sqrt().clamp_min(_SMALLEST_SCALE)


def _summed(parts: Iterable[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    total: dict[str, Tensor] = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total[name] + value if name in total else value
    return total


def _averages(sums: Mapping[str, Tensor], count: Tensor) -> Metrics:
    values = (torch.stack(list(sums.values())) / count).tolist()
    return dict(zip(sums, values, strict=True))


if __name__ == "__main__":
    from models.selftest.world_model import check_memory

    small = MDNRNNSettings(rnn_size=24, num_mixtures=3, learning_rate=5e-3)
    with one_torch_thread():
        raise SystemExit(check_memory("mdnrnn", lambda: MDNRNN(2, 2, small), 200))
