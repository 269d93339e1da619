"""What M can be told, and how large that makes it."""

from __future__ import annotations

from dataclasses import dataclass

from models.settings.key import key


@dataclass(frozen=True)
class MDNRNNSettings:
    """M: Ha & Schmidhuber 2018, appendix A.2."""

    rnn_size: int = key(256, "LSTM units R", low=1, high=4096)
    num_mixtures: int = key(5, "Gaussians per latent K", low=1, high=64)
    learning_rate: float = key(1e-3, "Adam's step", low=0, high=1, open_low=True)
    gradient_clip: float = key(
        1.0, "global norm that gradients are clipped to", low=0, open_low=True
    )
    dropout: float = key(
        0.0,
        "share of h that its heads lose while learning and while dreaming, so that no one network "
        "can be exploited",
        low=0,
        high=0.9,
    )
    reward_weight: float = key(1.0, "weight of the reward head's loss", low=0)
    done_weight: float = key(1.0, "weight of the end head's loss", low=0)
    end_weight: float = key(
        10.0,
        "how much more a step that ends an episode weighs in the end's loss; the predicted "
        "probability is corrected for it",
        low=0,
        open_low=True,
    )
    scale_updates: int = key(
        50, "updates over which the usual sizes of changes and rewards are averaged", low=1
    )

    def num_parameters(self, latent_size: int, action_size: int) -> int:
        """Returns how many weights M has for latents Z and actions A."""
        inputs, hidden = latent_size + action_size, self.rnn_size
        heads = 3 * self.num_mixtures * latent_size + 2
        return 4 * hidden * (inputs + hidden + 2) + (hidden + 1) * heads

    def update_numbers(self, latent_size: int, batch_size: int, sequence_length: int) -> int:
        """Returns about how many numbers an update holds beyond the weights.

        Measured: 70 MiB for 64 sequences of 32 steps with Z = 32, K = 5 and R = 256.
        """
        per_step = 40 * self.num_mixtures * latent_size + 11 * self.rnn_size
        return batch_size * sequence_length * per_step
