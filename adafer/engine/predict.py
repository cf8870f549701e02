"""The one evaluation loop. Legend: B images in a batch, C classes, N faces, T steps."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from adafer.contracts import Batch, Output
from adafer.engine import hardware
from adafer.engine.batches import answer, some_ids, to_device
from adafer.errors import AdaferError, DataError
from adafer.predictions import Predictions


def predict(
    model: nn.Module,
    batches: Iterable[Batch],
    *,
    class_names: tuple[str, ...],
    device: torch.device | None = None,
    precision: hardware.Precision = "fp32",
) -> Predictions:
    """Ask a model about every face, once, in evaluation mode.

    The result does not depend on the size of the batches. `step_correct` is there when the model
    thinks in steps and took equally many in every batch. The model's modes are left as they were.

    Raises:
        AdaferError: probabilities that are not finite, with the names of the faces.
        DataError: no face, or another number of classes than `class_names`.
        MachineError: out of memory.
    """
    device = device or next((p.device for p in model.parameters()), torch.device("cpu"))
    table = _Table(class_names)
    with torch.inference_mode(), _evaluating(model):
        for batch in batches:
            with hardware.machine_limits(len(batch.ids)):
                moved = to_device(batch, device)
                with hardware.autocast(device, precision):
                    output = answer(model, moved)
                table.add(output, moved)
    if not table.ids:
        raise DataError("there is no face to evaluate; choose a split that has some")
    return table.predictions()


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode; every module then gets its own mode back, frozen ones too."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, training in modes:
            module.training = training


@dataclass
class _Table:
    """Columns of the table, one tensor a batch."""

    class_names: tuple[str, ...]
    ids: list[str] = field(default_factory=list)
    columns: dict[str, list[Tensor]] = field(default_factory=dict)

    def add(self, output: Output, batch: Batch) -> None:
        """Add a batch's rows.

        Raises:
            AdaferError: probabilities that are not finite.
            DataError: another number of classes.
        """
        logits = output.logits.float()
        if logits.shape[1] != len(self.class_names):
            raise DataError(
                f"the model answers with {logits.shape[1]} classes and the data has "
                f"{len(self.class_names)}; use data with the classes that the model was trained on"
            )
        probabilities = logits.softmax(1)  # (B, C)
        finite = probabilities.isfinite().all(1).cpu()
        if not finite.all():
            names = tuple(
                name for name, good in zip(batch.ids, finite.tolist(), strict=True) if not good
            )
            raise AdaferError(
                f"the answer for {some_ids(names, 5)} is not a number; look at these faces, "
                "or evaluate with --precision fp32 or an earlier checkpoint"
            )
        self.ids.extend(batch.ids)
        self._put("probabilities", probabilities.cpu().double())
        self._put("labels", batch.labels)
        self._put("losses", functional.cross_entropy(logits, batch.labels, reduction="none"))
        self._put("votes", batch.votes)
        self._put("steps", getattr(output, "steps", None))
        self._put("ponder_cost", getattr(output, "ponder_cost", None))
        step_logits: Tensor | None = getattr(output, "step_logits", None)  # (T, B, C)
        if step_logits is not None:
            self._put("step_correct", (step_logits.argmax(2) == batch.labels).T)  # (B, T)

    def _put(self, name: str, values: Tensor | None) -> None:
        if values is not None:
            self.columns.setdefault(name, []).append(values.cpu())

    def _whole(self, name: str) -> Tensor | None:
        """One tensor for all batches, or None where some batch has no such rows of equal width."""
        parts = self.columns.get(name, [])
        same = len({part.shape[1:] for part in parts}) == 1
        joined = torch.cat(parts) if same else None
        return joined if joined is not None and len(joined) == len(self.ids) else None

    def predictions(self) -> Predictions:
        """Close the table."""
        columns = self.columns
        steps, cost = self._whole("steps"), self._whole("ponder_cost")
        votes, step_correct = self._whole("votes"), self._whole("step_correct")
        return Predictions(
            class_names=self.class_names,
            ids=tuple(self.ids),
            labels=torch.cat(columns["labels"]).numpy().astype(np.int64),
            probabilities=torch.cat(columns["probabilities"]).numpy(),
            steps=None if steps is None else steps.numpy().astype(np.int64),
            ponder_cost=None if cost is None else cost.double().numpy(),
            votes=None if votes is None else votes.double().numpy(),
            step_correct=None if step_correct is None else step_correct.numpy(),
            loss=float(torch.cat(columns["losses"]).double().mean()),
        )
