"""All that a model of Stable-Baselines3 has learned, as arrays: no pickle is written or read.

Its own `save` holds no moments of some optimisers' counters, nothing of a replay, and is a zip of
pickles. What is not here is set anew at each barrier: environments and random generators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.buffers import ReplayBuffer
from stable_baselines3.common.vec_env import VecNormalize
from torch import Tensor

from curriculum.records.agent_state import as_part, part_of
from models.interfaces import State

_COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls")
_NUMBERS = ("_current_progress_remaining", "exploration_rate")
_SCALES = ("mean", "var", "count")
_REPLAYED = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def model_state(model: BaseAlgorithm) -> State:
    """Returns weights, optimisers, counters, scales of rewards, and the replay, as copies."""
    state = as_part("policy", {name: _array(t) for name, t in model.policy.state_dict().items()})
    for name, optimiser in _optimisers(model):
        for index, slots in optimiser.state_dict()["state"].items():
            moments = {slot: _array(value) for slot, value in slots.items()}
            state |= as_part(f"{name}/{index}", moments)
    for name in (*_COUNTERS, *_NUMBERS):
        if hasattr(model, name):
            state[f"counter/{name}"] = np.array(getattr(model, name))
    if (entropy := getattr(model, "log_ent_coef", None)) is not None:
        state["log_ent_coef"] = _array(entropy)
    if (scales := _reward_scales(model)) is not None:
        state |= as_part("rewards", {name: np.array(getattr(scales, name)) for name in _SCALES})
    if (replay := _replay(model)) is not None:
        state |= _replay_state(replay)
    return state


def load_model_state(model: BaseAlgorithm, state: Mapping[str, np.ndarray]) -> None:
    """Goes on from what `model_state` gave of a model with the same settings.

    Raises:
        ValueError: it is of another network.
    """
    weights = {k: torch.from_numpy(v) for k, v in part_of(state, "policy").items()}
    try:
        model.policy.load_state_dict(weights)
    except RuntimeError as e:
        raise ValueError(f"these weights are of another network: {e}") from e
    for name, optimiser in _optimisers(model):
        _load_optimiser(optimiser, part_of(state, name))
    for name, value in part_of(state, "counter").items():
        setattr(model, name, value.item())
    if (entropy := getattr(model, "log_ent_coef", None)) is not None:
        with torch.no_grad():
            entropy.copy_(torch.from_numpy(state["log_ent_coef"]))
    if (scales := _reward_scales(model)) is not None:
        for name, value in part_of(state, "rewards").items():
            setattr(scales, name, value if value.ndim else value[()])
    if (replay := _replay(model)) is not None:
        _load_replay(replay, state)


def _optimisers(model: BaseAlgorithm) -> Iterator[tuple[str, torch.optim.Optimizer]]:
    """Yields the optimisers of PPO and DQN (one), or of SAC (three), by name."""
    for name, owner in (("policy", model.policy), ("actor", "actor"), ("critic", "critic")):
        holder: Any = getattr(model, owner, None) if isinstance(owner, str) else owner
        optimiser = getattr(holder, "optimizer", None)
        if optimiser is not None:
            yield f"adam-{name}", optimiser
    entropy = getattr(model, "ent_coef_optimizer", None)
    if entropy is not None:
        yield "adam-entropy", entropy


def _load_optimiser(optimiser: torch.optim.Optimizer, state: Mapping[str, np.ndarray]) -> None:
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in state.items():
        index, _, slot = name.partition("/")
        slots.setdefault(int(index), {})[slot] = torch.from_numpy(value)
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": slots, "param_groups": groups})


def _reward_scales(model: BaseAlgorithm) -> Any:
    normaliser = model.get_vec_normalize_env()
    return normaliser.ret_rms if isinstance(normaliser, VecNormalize) else None


def _replay(model: BaseAlgorithm) -> ReplayBuffer | None:
    found = getattr(model, "replay_buffer", None)
    return found if isinstance(found, ReplayBuffer) else None


def _replay_state(replay: ReplayBuffer) -> State:
    rows = replay.buffer_size if replay.full else replay.pos
    kept = {name: getattr(replay, name)[:rows].copy() for name in _REPLAYED}
    place = {"pos": np.array(replay.pos), "full": np.array(replay.full)}
    return as_part("replay", {**kept, **place})


def _load_replay(replay: ReplayBuffer, state: Mapping[str, np.ndarray]) -> None:
    kept = part_of(state, "replay")
    replay.pos, replay.full = int(kept["pos"]), bool(kept["full"])
    for name in _REPLAYED:
        getattr(replay, name)[: len(kept[name])] = kept[name]


def _array(value: Any) -> np.ndarray:
    return torch.as_tensor(value).detach().cpu().numpy().copy()
