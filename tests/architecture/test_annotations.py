"""Arrays are held against their annotations in tests, and cost nothing elsewhere."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintParamViolation, BeartypeCallHintReturnViolation

from models.numeric.pooling import Pooling
from models.numeric.returns import generalized_advantages
from models.shapes import Float32, Shaped
from tests.annotations import CHECKED, checked

ROOT = Path(__file__).resolve().parents[2]
STEPS = np.zeros((4, 2), np.float32)
ENDS = np.zeros((4, 2), np.bool_)
DISCOUNTS = {"gamma": 0.9, "gae_lambda": 0.9}


def test_arrays_as_they_are_said_pass() -> None:
    advantages, returns = generalized_advantages(STEPS, STEPS, STEPS, ENDS, ENDS, **DISCOUNTS)
    assert advantages.shape == returns.shape == (4, 2)


def test_a_wrong_shape_is_caught() -> None:
    with pytest.raises(BeartypeCallHintParamViolation, match="'T N'"):
        generalized_advantages(STEPS, STEPS.T, STEPS, ENDS, ENDS, **DISCOUNTS)
    with pytest.raises(BeartypeCallHintParamViolation, match="N H W C"):
        Pooling((8, 8, 3), 2).down(np.zeros((8, 8, 3), np.float32))


def test_a_wrong_dtype_is_caught() -> None:
    with pytest.raises(BeartypeCallHintParamViolation, match="Float32"):
        generalized_advantages(STEPS.astype(float), STEPS, STEPS, ENDS, ENDS, **DISCOUNTS)


def test_a_wrong_result_is_caught_and_letters_are_each_call_s_own() -> None:
    def turned(x: Float32[np.ndarray, "N Z"]) -> Float32[np.ndarray, "N Z"]:
        return x.T

    function = checked(turned)
    assert function(np.zeros((3, 3), np.float32)).shape == (3, 3)
    assert function(np.zeros((2, 2), np.float32)).shape == (2, 2)
    with pytest.raises(BeartypeCallHintReturnViolation):
        function(np.zeros((2, 3), np.float32))


def test_what_is_no_array_is_left_to_pyright() -> None:
    def told(x: int, y: str = "") -> str:
        return y

    assert checked(told) is told
    assert Shaped[np.ndarray, "N Z"] is not np.ndarray


@pytest.mark.parametrize("package", CHECKED)
def test_packages_that_are_checked_exist(package: str) -> None:
    assert (ROOT / package.replace(".", "/") / "__init__.py").is_file()


def test_without_the_checkers_shapes_are_the_array_alone_and_nothing_is_loaded() -> None:
    code = (
        "import sys, numpy, models.controller_cpu; from models.shapes import Float32;"
        "assert Float32[numpy.ndarray, 'N Z'] is numpy.ndarray;"
        "assert not {'jaxtyping', 'beartype', 'torch'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
