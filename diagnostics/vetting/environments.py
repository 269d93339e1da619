"""The contract of one environment, as the project plays it and as Gymnasium asks for it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any, Literal

from curriculum.envs.contract import MakeVectorEnv, check_vector_env
from curriculum.errors import CurriculumError
from diagnostics.vetting.findings import Finding
from diagnostics.vetting.reporting import raised


def simulation(name: str) -> Iterator[Finding]:
    """Holds a simulated game to the contract."""
    from curriculum.envs.simulation import make_simulation

    kind: Literal["state", "pixels"] = "state" if name == "lunarlander" else "pixels"
    yield _contract(f"simulation/{name}", lambda n: make_simulation(name, n, kind))


def check(env_id: str, file: str) -> Iterator[Finding]:
    """Holds a registered environment to the contract, and passes on what Gymnasium says of it.

    What the environment raises, an exit included, is a finding, and the last one.

    Args:
        env_id: as it is registered.
        file: what registers it; its lines are named where it raises.
    """
    try:
        yield from _played(env_id)
        yield from _by_gymnasium(env_id)
    except CurriculumError as e:
        yield Finding("error", env_id, f"cannot be used: {e}")
    except GeneratorExit:
        raise
    except BaseException as e:  # noqa: BLE001 - whatever a stranger's code raises is the finding
        yield raised(e, env_id, file, "it was played")


def _played(env_id: str) -> Iterator[Finding]:
    """Holds the environment to the contract, with the observation that its space declares."""
    from curriculum.envs.gym.view import is_image
    from curriculum.envs.registry import make_env

    env = _built(env_id)
    if unfit := _unfit(env_id, env):
        yield unfit
        return
    kind = "pixels" if is_image(env.observation_space) else "state"
    yield from _closed(env_id, env)
    notices: dict[str, None] = {}
    yield _contract(
        env_id,
        lambda n: make_env(env_id, kind, n, notice=lambda text: notices.update({text: None})),
    )
    for text in notices:
        yield Finding("warning", env_id, text)


def _by_gymnasium(env_id: str) -> Iterator[Finding]:
    """Passes on what Gymnasium's own checker says; it asks for more than is needed here."""
    from gymnasium.utils.env_checker import check_env

    env = _built(env_id)
    if _unfit(env_id, env):
        return
    said: dict[str, None] = {}
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            check_env(env.unwrapped, skip_render_check=True)
        except Exception as e:  # noqa: BLE001 - it raises whatever the environment does, and more
            said[f"{type(e).__name__}: {e}"] = None
    said |= {str(w.message): None for w in caught if issubclass(w.category, UserWarning)}
    for text in said:
        yield Finding("warning", env_id, f"Gymnasium's checker: {text}")


def _built(env_id: str) -> Any:
    import gymnasium

    from curriculum.envs.registry import registered

    make = registered().get(env_id)
    return make() if make else gymnasium.make(env_id, disable_env_checker=True)


def _unfit(env_id: str, env: Any) -> Finding | None:
    """Returns the finding for what is no environment or declares no spaces, else None."""
    import gymnasium

    if not isinstance(env, gymnasium.Env):
        what = f"what makes it returned {type(env).__name__}, expected a gymnasium.Env"
        return Finding("error", env_id, what, "return the environment, a gymnasium.Env")
    for name in ("observation_space", "action_space"):
        space = getattr(env, name, None)
        if not isinstance(space, gymnasium.Space):
            what = f"its {name} is {type(space).__name__}, expected a gymnasium.Space"
            return Finding("error", env_id, what, f"set {name} in __init__ or in the class")
    return None


def _closed(env_id: str, env: Any) -> Iterator[Finding]:
    try:
        env.close()
    except Exception as e:  # noqa: BLE001 - whatever it raises is the finding
        found = raised(e, env_id, doing="it was closed").text
        yield Finding("warning", env_id, found, "let close end without an error")


def _contract(name: str, make: MakeVectorEnv) -> Finding:
    broken = check_vector_env(make)
    if broken:
        what = "; ".join(broken)
        see = "see curriculum.envs.interface"
        return Finding("error", name, f"breaks the contract: {what}", see)
    return Finding("ok", name, "keeps the environment contract")
