"""The map of imports, on a house small enough to know by heart."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import pytest
from PIL import Image

from curriculum.errors import ExitCode
from diagnostics.__main__ import main
from diagnostics.architecture.layout import Passing, lay_out
from diagnostics.architecture.plan import Arrow, Box, cycles, plan_of
from diagnostics.architecture.source import read_modules

LAYERS = """\
LAYERS = {
    "ground": ("curriculum.errors", "models.*"),
    "middle": ("curriculum.agent.*", "curriculum.records.*"),
    "top": ("curriculum.cli.*",),
}
"""
HOUSE = {
    "diagnostics/architecture/layers.py": "",
    "curriculum/__init__.py": "",
    "curriculum/errors.py": '"""Words."""\n\n# why\nX = 1\n',
    "curriculum/agent/__init__.py": "",
    "curriculum/agent/play.py": "from curriculum import errors\nimport models.vae\n",
    "curriculum/records/ledger.py": "import curriculum.errors\n",
    "curriculum/cli/main.py": "from curriculum import errors\nfrom curriculum.agent import play\n",
    "models/vae.py": "import torch\n",
}
AGENT, RECORDS = Box(1, "curriculum.agent"), Box(1, "curriculum.records")
ERRORS, CLI = Box(0, "curriculum.errors"), Box(2, "curriculum.cli")


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """A checkout without faults, whose definition of floors is not part of it."""
    build(tmp_path, HOUSE)
    (tmp_path / "tests/architecture").mkdir(parents=True)
    (tmp_path / "tests/architecture/test_layers.py").write_text(LAYERS)
    return tmp_path


def build(root: Path, files: dict[str, str]) -> None:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


def test_a_sound_house_has_its_boxes_and_arrows_and_nothing_wrong(house: Path) -> None:
    plan = plan_of(house)
    assert plan.floors == ("ground", "middle", "top")
    assert set(plan.boxes) == {ERRORS, AGENT, RECORDS, CLI, Box(0, "models.vae")}
    assert plan.arrows[Arrow(AGENT, ERRORS)] == (("curriculum.agent.play", "curriculum.errors"),)
    assert len(plan.arrows) == 5
    assert not plan.up and not plan.cycles and not plan.wrong
    errors = next(module for module in plan.modules if module.name == "curriculum.errors")
    assert (errors.lines, errors.code) == (4, 1)


def test_an_arrow_that_a_longer_way_says_is_not_drawn(house: Path) -> None:
    assert plan_of(house).telling == set(plan_of(house).arrows) - {Arrow(CLI, ERRORS)}


def test_an_import_in_a_function_may_neither_go_up_nor_round(house: Path) -> None:
    late = "def f():\n    from curriculum.cli.main import X\n    return X\n"
    build(house, {"curriculum/records/late.py": late})
    plan = plan_of(house)
    assert plan.up == [Arrow(RECORDS, CLI)] and not plan.cycles
    typed = "if TYPE_CHECKING:\n    from curriculum.records import ledger\n"
    build(house, {"curriculum/agent/typed.py": typed})
    plan = plan_of(house)
    assert plan.cycles == (("curriculum.agent", "curriculum.cli", "curriculum.records"),)
    assert plan.wrong == {Arrow(RECORDS, CLI), Arrow(CLI, AGENT), Arrow(AGENT, RECORDS)}


def test_cycles_are_groups_that_reach_each_other() -> None:
    graph = {"a": "b", "b": "c", "c": "bd", "d": "e", "e": "d", "f": "a"}
    assert cycles(graph) == (("b", "c"), ("d", "e"))
    assert cycles({"a": "b", "b": ""}) == ()


def test_arrows_lead_down_from_row_to_row_and_places_do_not_overlap(house: Path) -> None:
    extra = {
        "models/ppo.py": "import models.vae\n",
        "curriculum/cli/more.py": "import models.vae\n",
    }
    build(house, extra)
    layout = lay_out(plan_of(house))
    row_of = {place: number for number, row in enumerate(layout.rows) for place in row}
    for way in layout.ways.values():
        rows = [row_of[place] for place in way]
        assert rows == list(range(rows[0], rows[-1] - 1, -1))
    assert any(isinstance(place, Passing) for place in row_of)
    for row in layout.rows:
        ends = [(layout.x[p] - layout.width[p] / 2, layout.x[p] + layout.width[p] / 2) for p in row]
        assert all(left[1] < right[0] for left, right in pairwise(ends))


def test_the_map_is_told_as_text_and_drawn_as_svg_and_png(house: Path, capsys) -> None:
    assert main(["map", str(house)]) == 0
    told = capsys.readouterr().out
    assert "5 files" in told and "0 going up" in told and "0 package cycles" in told
    assert main(["map", str(house), "--out", str(house / "plan.txt")]) == 0
    assert (house / "plan.txt").read_text() == told
    assert main(["map", str(house), "--out", str(house / "plan.svg")]) == 0
    drawn = ElementTree.parse(house / "plan.svg").getroot()
    texts = {node.text for node in drawn.iter("{http://www.w3.org/2000/svg}text")}
    assert {"agent", "records", "errors", "cli", "vae", "1  middle"} <= texts
    assert main(["map", str(house), "--out", str(house / "plan.png")]) == 0
    with Image.open(house / "plan.png") as picture:
        assert picture.width == pytest.approx(2 * float(drawn.get("width", 0)), abs=2)


def test_this_house_can_be_drawn(tmp_path: Path) -> None:
    assert main(["map", "--out", str(tmp_path / "plan.svg")]) == 0
    ElementTree.parse(tmp_path / "plan.svg")


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"curriculum/lost/x.py": "X = 1\n"}, "curriculum.lost.x is on no floor"),
        ({"curriculum/agent/bad.py": "def\n"}, "bad.py, line 1"),
        ({"curriculum/agent/near.py": "from . import play\n"}, "relative import"),
        ({"tests/architecture/test_layers.py": ""}, "does not say what its floors are"),
    ],
)
def test_a_house_that_cannot_be_read_says_why(house: Path, files, told: str, capsys) -> None:
    build(house, files)
    assert main(["map", str(house)]) == ExitCode.USAGE
    assert told in capsys.readouterr().err


def test_a_path_without_packages_and_a_wrong_kind_of_file_are_refused(tmp_path, capsys) -> None:
    assert main(["map", str(tmp_path)]) == ExitCode.USAGE
    assert "name the root of a checkout" in capsys.readouterr().err
    assert main(["map", "--out", "plan.pdf"]) == ExitCode.USAGE
    assert ".svg" in capsys.readouterr().err


def test_older_checkouts_number_their_floors(house: Path) -> None:
    old = 'LAYERS: tuple = (("curriculum.errors", "models.*"), ("curriculum.*",))\n'
    (house / "tests/architecture/test_layers.py").write_text(old)
    assert plan_of(house).floors == ("0", "1")
    assert set(read_modules(house)) >= {"curriculum.errors", "models.vae"}
