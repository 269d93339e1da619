"""The JSON Schema says of every key what the strict reading of the configuration says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from curriculum.cli.main import main
from curriculum.config.shipped import shipped
from curriculum.config.writing import dump
from curriculum.config.yaml_strict import Node, load_yaml
from curriculum.errors import ConfigError
from curriculum.reference.json_schema import json_schema
from curriculum.reference.keys import reference
from curriculum.tasks import load_config

jsonschema = pytest.importorskip("jsonschema")
SCHEMA = json_schema()


def plain(node: Node) -> Any:
    if isinstance(node.value, dict):
        return {name: plain(child) for name, child in node.value.items()}
    if isinstance(node.value, list):
        return [plain(child) for child in node.value]
    return node.value


def read(path: Path) -> Any:
    problems: list[str] = []
    found = plain(load_yaml(path, problems))
    assert not problems
    return found


def wrong(value: Any) -> list[str]:
    return [e.message for e in jsonschema.Draft202012Validator(SCHEMA).iter_errors(value)]


def test_it_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("name", sorted(shipped()))
def test_what_is_shipped_holds_to_it(name: str, tmp_path: Path) -> None:
    assert wrong(read(shipped()[name])) == []
    resolved = tmp_path / "resolved.yaml"
    resolved.write_text(dump(load_config(Path(name))))
    assert wrong(read(resolved)) == []


@pytest.mark.parametrize(
    "text",
    [
        "seed: -1",
        "seed: 1.5",
        "name: a/b",
        "nonsense: 1",
        "vae: {z_dim: 0}",
        "vae: {z_dim: many}",
        "vae: {learning_rate: 0}",
        "vae: {channels: 16}",
        "controller: {solver: dqn}",
        "controller: {features: [z, q]}",
        "controller: {hidden_sizes: [0]}",
        "curriculum: {mode: full}",
        "curriculum: {timeout_seconds: 61}",
        "curriculum: {tasks: [pong, pong]}",
        "evaluate: {both: 1}",
        "training: {averaging: 1.5}",
        "tasks: {pong: {target: high}}",
        "tasks: {pong: {vae: {beta: -1}}}",
        "tasks: {a/b: {env_id: X-v0}}",
    ],
)
def test_what_is_refused_is_refused_by_it_too(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"{text}\n")
    with pytest.raises(ConfigError):
        load_config(path)
    assert wrong(read(path)), "the schema lets it pass"


@pytest.mark.parametrize(
    "text",
    [
        "vae:",
        "seed: 9223372036854775807",
        "vae: {learning_rate: 1e-4, beta: 1}",
        "controller: {hidden_sizes: []}",
        "tasks: {pong: }",
        "tasks: {mine: {env_id: CartPole-v1, observation: state, target: 475}}",
        "env: {kwargs: {anything: [1, 2]}}",
    ],
)
def test_what_is_taken_is_taken_by_it_too(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"{text}\n")
    load_config(path)
    assert wrong(read(path)) == []


def every_key(schema: Mapping[str, Any], prefix: str = "") -> dict[str, Mapping[str, Any]]:
    found: dict[str, Mapping[str, Any]] = {}
    for name, entry in schema["properties"].items():
        if "properties" in entry:
            found |= every_key(entry, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = entry
    return found


def test_every_key_has_a_meaning_and_stands_in_the_reference(
    capsys: pytest.CaptureFixture[str],
) -> None:
    keys = every_key(SCHEMA)
    assert len(keys) > 150 and all(entry["description"] for entry in keys.values())
    text = reference().replace("\\", "")
    assert [name for name in keys if name != "tasks" and f"| {name} |" not in text] == []
    assert main(["keys"]) == 0 and "controller.solver" in capsys.readouterr().out.replace("\\", "")
    assert main(["keys", "--schema"]) == 0 and json.loads(capsys.readouterr().out) == SCHEMA
