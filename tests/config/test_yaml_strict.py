"""The strict reader: core types of YAML 1.2 with places, and nothing else gets through."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curriculum.config import yaml_strict
from curriculum.config.yaml_strict import MAX_BYTES, load_yaml, parse_yaml, resolve
from curriculum.errors import ConfigError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=4), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@pytest.fixture(autouse=True, params=["CSafeLoader", "SafeLoader"])
def parser(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs everything with libyaml, if it is there, and without."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(yaml_strict, "_LOADER", getattr(yaml, request.param))


def read(text: str) -> tuple[object, list[str]]:
    problems: list[str] = []
    return parse_yaml(text, "x.yaml", problems).plain(), problems


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.5e3", 1500.0),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("012", 12),
        ("+3", 3),
        ("0x1F", 31),
        ("0o17", 15),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("12:30:45", "12:30:45"),
        ("2020-01-01", "2020-01-01"),
        ("true", True),
        ("False", False),
        ("on", "on"),
        ("yes", "yes"),
        ("n", "n"),
        ("~", None),
        ("null", None),
        ("<<", "<<"),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("inf", "inf"),
        ('"1e-4"', "1e-4"),
        ("'true'", "true"),
        ("e5", "e5"),
        (".", "."),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found, problems = read(f"a: {text}")
    assert found == {"a": value}
    assert type(found["a"]) is type(value)
    assert problems == []


def test_nan_is_a_number() -> None:
    assert math.isnan(resolve(".nan"))


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(JSON)
def test_json_is_read_as_json(value: object) -> None:
    found, problems = read(json.dumps(value, ensure_ascii=False))
    assert problems == []
    assert found == value


def test_every_value_has_its_line() -> None:
    node = parse_yaml("a: 1\nb:\n  c:\n    5\n  d: [1,\n 2]\n", "x.yaml", [])
    assert node.value["b"].place == "x.yaml:2"
    assert node.value["b"].value["c"].place == "x.yaml:3"
    assert node.value["b"].value["d"].value[1].place == "x.yaml:6"


@pytest.mark.parametrize(
    ("text", "line", "word"),
    [
        ("a: 1\nb: 2\na: 3", 3, "given twice, first at x.yaml:1"),
        ("a: {b: 1,\n b: 2}", 2, "given twice"),
        ("a: &x 1\n", 1, "anchor &x"),
        ("b: 1\na: *x\n", 2, "alias *x"),
        ("a: 1\nb: !!python/object/apply:os.system [ls]", 2, "tag !!python/object/apply:os.system"),
        ("a: !!int 3", 1, "tag !!int"),
        ("a: !mine {b: 1}", 1, "tag !mine"),
        ("a: ! x", 1, "tag !"),
        ("a: 1\n---\nb: 2", 2, "second document"),
        ("1: 2", 1, "expected a text as key"),
        ("[1]: 2", 1, "expected a text as key"),
        ("null: 2", 1, "expected a text as key"),
        (f"a: {'9' * 5000}", 1, "too many digits"),
        ('a: "\\ud800"', 1, "surrogate"),
        ('a: "\\0"', 1, "NUL"),
    ],
)
def test_what_is_refused_is_refused_with_its_line(text: str, line: int, word: str) -> None:
    try:
        _, problems = read(text)
    except ConfigError as e:
        problems = [str(e)]
    assert len(problems) == 1
    assert problems[0].startswith(f"x.yaml:{line}: ")
    if "surrogate" not in word:
        assert word in problems[0]


@pytest.mark.parametrize(
    "text",
    ["a: [1", "a: b: c", "\ta: 1", "a: 'x", "%YAML 2.0\n---\na: 1", "a: @x", "{a: 1}}", "a: \x07"],
)
def test_what_is_no_yaml_is_one_sentence(text: str) -> None:
    with pytest.raises(ConfigError, match=r"^x\.yaml(:\d+)?: not valid YAML: "):
        read(text)


def test_problems_are_collected() -> None:
    _, problems = read("a: 1\na: 2\nb: *q\nc: !!x 1\n")
    assert len(problems) == 3


def cpu_seconds(call: Callable[[], object]) -> float:
    """The least of three tries: the garbage of other tests may take one of them."""
    seconds = []
    for _ in range(3):
        started = time.process_time()
        call()
        seconds.append(time.process_time() - started)
    return min(seconds)


@pytest.mark.parametrize(
    "text",
    [
        "a: " + "[" * 100_000,
        "a: " + "{a: " * 50_000,
        "\n".join("  " * i + f"k{i}:" for i in range(200)),
        "- " * 50_000,
        "? " * 50_000,
    ],
)
def test_deep_nesting_is_refused_at_once(text: str) -> None:
    def refused() -> None:
        with pytest.raises(ConfigError, match="nested deeper"):
            read(text)

    assert cpu_seconds(refused) < 1.0


def test_an_alias_bomb_does_not_go_off() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 12)]
    assert cpu_seconds(lambda: read("\n".join(lines))) < 1.0
    _, problems = read("\n".join(lines))
    assert sum("alias" in p for p in problems) == 9 * 11


@pytest.mark.parametrize(
    "content", [b"", b"\n\n", b"# only a comment\n", b"---\n", b"~", b"\xef\xbb\xbf"]
)
def test_an_empty_file_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match="the file is empty"):
        load_yaml(tmp_path / "c.yaml", [])


def test_a_byte_order_mark_is_fine(tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_bytes(b"\xef\xbb\xbfname: x\n")
    assert load_yaml(tmp_path / "c.yaml", []).plain() == {"name": "x"}


@pytest.mark.parametrize("content", ["name: é".encode("latin-1"), "name: x".encode("utf-16")])
def test_other_encodings_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "c.yaml").write_bytes(b"a: 1\n" + content)
    with pytest.raises(ConfigError, match=r"c\.yaml:2: byte 0x.. is not UTF-8"):
        load_yaml(tmp_path / "c.yaml", [])


def test_files_that_are_not_there_or_not_files(tmp_path: Path) -> None:
    (tmp_path / "default.yaml").write_text("a: 1")
    with pytest.raises(ConfigError, match=r"there is no file .*did you mean .*default\.yaml"):
        load_yaml(tmp_path / "defualt.yaml", [])
    with pytest.raises(ConfigError, match="there is no file"):
        load_yaml(tmp_path / "nowhere" / "x.yaml", [])
    for path in (tmp_path, Path("/dev/zero")):
        with pytest.raises(ConfigError, match="is not a file"):
            load_yaml(path, [])
    (tmp_path / "big.yaml").write_bytes(b"#" * (MAX_BYTES + 1))
    with pytest.raises(ConfigError, match="more than"):
        load_yaml(tmp_path / "big.yaml", [])
