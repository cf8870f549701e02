"""Values that JSON can hold."""

import math
from collections.abc import Mapping
from typing import Any


def finite(value: Any) -> Any:
    """Return plain values in which numbers that are not finite became None."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    return value
