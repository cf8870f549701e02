"""Cells of a face that are switched on and off together."""

import numpy as np
from numpy.typing import NDArray


def grid(height: int, width: int, cells: int = 8) -> NDArray[np.int64]:
    """Number of the cell of each pixel (height, width), row by row from 0, in `cells` x `cells`.

    The cells of aligned faces lie at the same place in every face, unlike superpixels, so that
    their weights can be averaged over faces.
    """
    rows = np.arange(height) * min(cells, height) // height
    columns = np.arange(width) * min(cells, width) // width
    return np.asarray(rows[:, None] * min(cells, width) + columns[None, :], dtype=np.int64)
