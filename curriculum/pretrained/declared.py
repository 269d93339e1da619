"""What an agent's configuration declares, held against the weights that came with it."""

from __future__ import annotations

from itertools import pairwise

from curriculum.config.schema import BY_GRADIENTS
from curriculum.errors import NoCheckpoint
from curriculum.mode import LADDER
from curriculum.pretrained.bundle import AGENT, TASK, Bundle
from curriculum.records.agent_state import PARAMETERS, part_of


def require_held(bundle: Bundle) -> None:
    """Refuses a configuration that declares more than the weights hold, before it is built.

    Counted is the least that could be meant, whatever the environment; the rest is compared as
    weights are loaded.

    Raises:
        NoCheckpoint: with both numbers.
    """
    task, full = bundle.task, bundle.mode == LADDER[0].value
    chosen, memory, vision = task.controller, task.mdnrnn.model, task.vae.model
    declared = {"V": 0, "M": memory.rnn_size**2, "C": 0}
    if full:
        declared["M"] = 4 * memory.rnn_size**2 + 3 * memory.num_mixtures * memory.rnn_size
    if full and task.observation == "pixels":
        kernels = sum(16 * a * b for a, b in pairwise(vision.channels))
        # Key points are latents that are only read: 3 z - 4 K columns, and z is at least 2 K.
        latents = 2 * (vision.z_dim - vision.key_points)
        declared["V"] = 2 * kernels + latents * vision.channels[-1]
        if vision.key_points:
            declared["V"] += vision.key_point_channels * (16 * vision.key_points)
    if full or chosen.solver not in BY_GRADIENTS:
        widths = (1, *chosen.hidden_sizes, 1)
        declared["C"] = sum((a + 1) * b for a, b in pairwise(widths))
    learned = bundle.learned
    held = {"V": part_of(learned, "vision"), "M": part_of(learned, "memory")}
    held["C"] = {PARAMETERS: learned[PARAMETERS]}
    for part, least in declared.items():
        numbers = sum(array.size for array in held[part].values())
        if least > numbers:
            raise NoCheckpoint(
                f"the weights of {task.name} do not fit its {TASK}: it declares {part} with at "
                f"least {least:,} numbers, {AGENT} holds {numbers:,}; take the agent anew from "
                "where it came from"
            )
