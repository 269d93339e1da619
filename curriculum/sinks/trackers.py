"""Weights & Biases, MLflow and Trackio: a few lines each, where those who use them look.

All begin offline: Weights & Biases unless WANDB_MODE or WANDB_API_KEY says otherwise, MLflow in
`mlflow.db` of the run unless MLFLOW_TRACKING_URI names a place, Trackio on this machine.
"""

from __future__ import annotations

import importlib
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curriculum.sinks.sink import Moment, Told

PROJECT = "world-models-curriculum"


def _imported(name: str) -> Any:
    """Imports what need not be installed where types are checked."""
    return importlib.import_module(name)


class WandbSink:
    """Weights & Biases (`curriculum.sinks.sink.Sink`); steps of different curves differ there too.

    Args:
        told: of the run.
    """

    def __init__(self, told: Told) -> None:
        wandb = self._wandb = _imported("wandb")
        online = "WANDB_MODE" in os.environ or "WANDB_API_KEY" in os.environ
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=told.name,
            id=told.id or None,
            resume="allow",
            dir=str(told.directory),
            config=told.config,
            mode=None if online else "offline",
            settings=wandb.Settings(silent=True, console="off"),
        )
        self._run.define_metric("*", step_metric="step")

    def scalars(self, values: dict[str, float], moment: Moment) -> None:
        self._run.log({**values, "step": moment.step})

    def histogram(self, name: str, values: NDArray[np.float32], moment: Moment) -> None:
        self._run.log({name: self._wandb.Histogram(values), "step": moment.step})

    def image(self, name: str, path: Path, moment: Moment) -> None:
        self._run.log({name: self._wandb.Image(str(path)), "step": moment.step})

    def film(self, name: str, path: Path, moment: Moment) -> None:
        self._run.log({name: self._wandb.Video(str(path), format="gif"), "step": moment.step})

    def flush(self) -> None:
        """It does so by itself."""

    def close(self) -> None:
        self._run.finish()


class MlflowSink:
    """MLflow (`curriculum.sinks.sink.Sink`); a resumed run goes on with the same one there.

    Args:
        told: of the run.
    """

    def __init__(self, told: Told) -> None:
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        mlflow = _imported("mlflow")
        self._metric = _imported("mlflow.entities").Metric
        here = f"sqlite:///{(told.directory / 'mlflow.db').absolute()}"
        self._client = mlflow.MlflowClient(os.environ.get("MLFLOW_TRACKING_URI", here))
        experiment = self._client.get_experiment_by_name(PROJECT)
        place = (told.directory / "mlflow").absolute().as_uri()
        where = (
            experiment.experiment_id
            if experiment
            else self._client.create_experiment(PROJECT, artifact_location=place)
        )
        same = self._client.search_runs([where], f"tags.run_id = '{told.id}'") if told.id else []
        if same:
            self._id = same[0].info.run_id
            self._client.update_run(self._id, status="RUNNING")
        else:
            tags = {"run_id": told.id}
            self._id = self._client.create_run(where, run_name=told.name, tags=tags).info.run_id
            self._client.log_dict(self._id, told.config, "config.yaml")

    def scalars(self, values: dict[str, float], moment: Moment) -> None:
        milliseconds = int(1000.0 * moment.time)
        metrics = [self._metric(k, v, milliseconds, moment.step) for k, v in values.items()]
        self._client.log_batch(self._id, metrics=metrics)

    def histogram(self, name: str, values: NDArray[np.float32], moment: Moment) -> None:
        counts, edges = np.histogram(values, 64)
        shown = {"counts": counts.tolist(), "edges": edges.tolist()}
        self._client.log_dict(self._id, shown, f"{name}-{moment.step}.json")

    def image(self, name: str, path: Path, moment: Moment) -> None:
        self._client.log_artifact(self._id, str(path), f"{name}-{moment.step}")

    def film(self, name: str, path: Path, moment: Moment) -> None:
        self.image(name, path, moment)

    def flush(self) -> None:
        """What is taken is written at once."""

    def close(self) -> None:
        self._client.set_terminated(self._id)


class TrackioSink:
    """Trackio (`curriculum.sinks.sink.Sink`), which keeps what it is told on this machine.

    Args:
        told: of the run.
    """

    def __init__(self, told: Told) -> None:
        os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
        trackio = self._trackio = _imported("trackio")
        name = f"{told.name}-{told.id[:8]}" if told.id else told.name
        trackio.init(project=PROJECT, name=name, resume="allow", config=told.config)

    def scalars(self, values: dict[str, float], moment: Moment) -> None:
        # Its steps have to grow over all curves together, ours over each.
        self._trackio.log({**values, "at": moment.step})

    def histogram(self, name: str, values: NDArray[np.float32], moment: Moment) -> None:
        low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
        spread = {"low": float(low), "middle": float(middle), "high": float(high)}
        self.scalars({f"{name}/{key}": value for key, value in spread.items()}, moment)

    def image(self, name: str, path: Path, moment: Moment) -> None:
        self._trackio.log({name: self._trackio.Image(str(path)), "at": moment.step})

    def film(self, name: str, path: Path, moment: Moment) -> None:
        self._trackio.log({name: self._trackio.Video(str(path), format="gif")})

    def flush(self) -> None:
        """It does so by itself."""

    def close(self) -> None:
        self._trackio.finish()
