"""From a run, or from an agent that was handed on, to one that plays."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from curriculum.agent.agent import Agent
from curriculum.backends.backend import Backend, fitted, import_plugins, load_backend
from curriculum.config.plugins import require_agreed
from curriculum.config.schema import TaskConfig
from curriculum.envs.interface import EnvSpec
from curriculum.errors import ComponentMissing, ConfigError, NoCheckpoint
from curriculum.mode import LADDER
from curriculum.pretrained.bundle import Bundle, load
from curriculum.pretrained.declared import require_held
from curriculum.pretrained.export import gather
from curriculum.pretrained.finding import find
from curriculum.records.rundir import RunDir


def load_agent(
    path: Path | str, task: str = "", *, device: str = "cpu", plugins: Collection[str] = ()
) -> Agent:
    """Opens a learned agent, ready to play: `agent.begin()`, then `agent.act(observation)`.

    Nothing is written, and a run that is going on is not disturbed.

    Args:
        path: a run's directory, the name of an agent that comes with the package, or a directory
            that `python -m curriculum export` wrote.
        task: which of the run's tasks; needed where it has several. An agent that was handed on
            has one.
        device: where torch computes, `cpu` or `cuda`.
        plugins: modules of the run that may be imported. Those of others run their code.

    Raises:
        ConfigError: there is nothing of that name, the run has no such task or several, or wants
            modules that `plugins` does not name.
        NoCheckpoint: nothing was learned yet, or it cannot be used.
        ComponentMissing: a package that the agent's mode needs cannot be imported.
    """
    return opened(open_bundle(path, task, plugins=plugins), device)


def opened(bundle: Bundle, device: str = "cpu") -> Agent:
    """Makes what was read ready to play; see `load_agent`."""
    import_plugins(bundle.config.curriculum.plugins)
    try:
        backend = load_backend(bundle.mode, {}, device)
        env = backend.make_env(bundle.task, 1, lambda text: None)
    except ImportError as e:
        raise ComponentMissing(
            f"the agent of {bundle.task.name} was learned in mode {bundle.mode} and cannot play "
            f"here: {e}; run python -m diagnostics check"
        ) from e
    env.close()
    return agent_from(bundle, backend, env.spec)


def open_bundle(path: Path | str, task: str = "", *, plugins: Collection[str] = ()) -> Bundle:
    """Reads what `load_agent` plays; raises as it does."""
    if not RunDir.exists(Path(path)):
        bundle = load(find(str(path)))
        if task not in ("", bundle.task.name):
            raise ConfigError(f"{path} is an agent of {bundle.task.name}, not of {task}")
        return bundle
    rundir = RunDir.open(Path(path))
    config = rundir.config()
    require_agreed(config, plugins, rundir.given)
    names = [one.name for one in config.tasks]
    if not task and len(names) > 1:
        raise ConfigError(f"this run has several tasks, {', '.join(names)}: say which")
    return gather(rundir, task or names[0], config)


def agent_from(
    bundle: Bundle, backend: Backend, spec: EnvSpec, task: TaskConfig | None = None
) -> Agent:
    """Builds a learned agent.

    Args:
        bundle: what was learned.
        backend: of the mode it was learned in.
        spec: of the environments it is to play.
        task: what it is to play, if that is not what it has learned; it has to look the same.

    Raises:
        ConfigError: it cannot play that task.
        NoCheckpoint: its weights are not those that its configuration declares.
    """
    task = task or bundle.task
    other = task.env_id != bundle.task.env_id
    if other and bundle.mode == LADDER[-1].value:
        raise ConfigError(
            f"this agent was learned in {bundle.mode} and plays no real environment: leave "
            f"--env-id away"
        )
    require_held(bundle)
    try:
        return Agent.build(backend, fitted(task, backend), spec, bundle.learned)
    except ValueError as e:
        if other:
            raise ConfigError(
                f"the agent of {task.name} cannot play {task.env_id}: it needs observations and "
                f"actions like those of {bundle.task.env_id}: {e}"
            ) from e
        raise NoCheckpoint(
            f"the weights of {task.name} do not fit its configuration: {e}; take the agent anew "
            f"from where it came from"
        ) from e
