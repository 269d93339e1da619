"""Arrays whose dtype and shape are said: `Float32[np.ndarray, "N Z"]`.

The letters are those of every docstring. A letter is one number throughout a call, `*S` is any
shape, `_` any length; one letter alone has a space before it, for linters. Tests check all this
(`tests/annotations.py`). Nothing else does, so jaxtyping is not needed to run anything: unless it
is loaded already, the names here stand for the array alone.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING or "jaxtyping" in sys.modules:
    from jaxtyping import Bool, Float32, Float64, Int64, Shaped, UInt8
else:

    class Shaped:
        """The array that stands before the shape."""

        def __class_getitem__(cls, parts: tuple[Any, str]) -> Any:
            return parts[0]

    Bool = Float32 = Float64 = Int64 = UInt8 = Shaped

__all__ = ["Bool", "Float32", "Float64", "Int64", "Shaped", "UInt8"]
