"""Faces whose label is probably wrong, by confident learning. Legend: N faces, C classes.

Needs cleanlab, the extra `labels`. Northcutt et al. 2021, arXiv:1911.00068.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adafer.errors import DataError, MachineError
from adafer.predictions import Predictions

try:
    from cleanlab.filter import find_label_issues
    from cleanlab.rank import get_label_quality_scores
except ModuleNotFoundError as missing:
    if missing.name is None or not missing.name.startswith("cleanlab"):
        raise
    find_label_issues = get_label_quality_scores = None


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """One face, the label it has, and the one that the model would give."""

    id: str
    label: str
    suggested: str
    quality: float  # probability of the given label, for a model that never saw the face
    agreed: float | None  # share of the votes for the given label


@dataclass(frozen=True, kw_only=True)
class LabelErrors:
    """Suspects, worst first."""

    faces: int
    suspects: tuple[Suspect, ...]
    agreed_suspects: float | None  # mean vote share of the given label among the suspects
    agreed_others: float | None  # and among all other faces

    def to_json(self) -> dict[str, Any]:
        """Return plain values."""
        return asdict(self)


def suspected_label_errors(tables: Sequence[Predictions]) -> LabelErrors:
    """Rank the faces whose label is probably wrong; the probabilities must be out-of-sample.

    Each table holds the held-out faces of one training: validation or test faces of a run, or the
    held-out fold of each run of a K-fold. A face may come once only.

    Raises:
        MachineError: without cleanlab.
        DataError: a face that comes twice, or tables of other classes.
    """
    if find_label_issues is None:
        raise MachineError("cleanlab is not installed; add it: pip install 'adafer[labels]'")
    names = tables[0].class_names
    if any(table.class_names != names for table in tables):
        raise DataError("the runs know other classes; give runs on data with the same classes")
    ids = [name for table in tables for name in table.ids]
    if len(set(ids)) < len(ids):
        raise DataError(
            f"{len(ids) - len(set(ids)):,} faces are held out by more than one run; give the runs "
            "of one K-fold, each once"
        )
    labels = np.concatenate([table.labels for table in tables])
    probabilities = np.concatenate([table.probabilities for table in tables])
    order, quality = _ranked(labels, probabilities)
    agreed = _agreed(tables)
    suspects = tuple(
        Suspect(
            id=ids[i],
            label=names[labels[i]],
            suggested=names[int(probabilities[i].argmax())],
            quality=float(quality[i]),
            agreed=None if agreed is None else float(agreed[i]),
        )
        for i in order.tolist()
    )
    others = np.setdiff1d(np.arange(len(ids)), order)
    return LabelErrors(
        faces=len(ids),
        suspects=suspects,
        agreed_suspects=_mean(agreed, order),
        agreed_others=_mean(agreed, others),
    )


def _ranked(
    labels: NDArray[np.int64], probabilities: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Places of the suspects, worst first, and the quality of every label (N,).

    Classes that no face has are left out: confident learning needs one face of each.
    """
    there = np.unique(labels)
    chosen = probabilities[:, there]
    chosen = chosen / chosen.sum(1, keepdims=True).clip(1e-12)
    renamed = np.searchsorted(there, labels)
    if len(there) < 2:
        raise DataError("all faces have one label; there is nothing that it could be taken for")
    order = find_label_issues(renamed, chosen, return_indices_ranked_by="self_confidence", n_jobs=1)
    return np.asarray(order, dtype=np.intp), get_label_quality_scores(renamed, chosen)


def _agreed(tables: Sequence[Predictions]) -> NDArray[np.float64] | None:
    if any(table.votes is None for table in tables):
        return None
    parts = [
        table.votes[np.arange(len(table)), table.labels] / table.votes.sum(1)
        for table in tables
        if table.votes is not None
    ]
    return np.concatenate(parts)


def _mean(values: NDArray[np.float64] | None, places: NDArray[np.intp]) -> float | None:
    return None if values is None or not len(places) else float(values[places].mean())
