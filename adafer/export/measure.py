"""An ONNX file asked about a whole data set, as evaluation asks a model. Legend: N faces."""

import numpy as np
import onnxruntime

from adafer.data.dataset import FaceDataset
from adafer.predictions import Predictions

_BATCH = 32


def measure_onnx(data: bytes, dataset: FaceDataset) -> Predictions:
    """Return what a graph answers for a data set, in the order of its listing; no torch needed."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    there = {output.name for output in session.get_outputs()}
    wanted = [name for name in ("probabilities", "steps", "ponder_cost") if name in there]
    points = next((i.shape[1] for i in session.get_inputs() if i.name == "landmarks"), 0)
    columns: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    for start in range(0, len(dataset), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(dataset)))
        given = {"images": dataset.preprocessing.normalised(dataset.faces(rows))}
        if points:
            given["landmarks"] = dataset.points(rows, points)
        found = session.run(wanted, given)
        for name, values in zip(wanted, found, strict=True):
            columns[name].append(values)
    table = {name: np.concatenate(parts) for name, parts in columns.items()}
    listing = dataset.listing
    return Predictions(
        class_names=listing.class_names,
        ids=listing.ids,
        labels=listing.labels,
        probabilities=table["probabilities"].astype(np.float64),
        steps=table.get("steps"),
        ponder_cost=table["ponder_cost"].astype(np.float64) if "ponder_cost" in table else None,
        votes=None if listing.votes is None else listing.votes.astype(np.float64),
    )
