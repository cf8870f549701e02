"""One of two processes that train together; run by test_ranks.py.

Argument: a folder. Writes what it found to `rank-N.json` in it, tensors as the bytes' digest.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tiny_training import PHASES, TRAIN, MemoryBatches, NormlessModel, TinyModel, cross_entropy

from adafer.contracts import Batch
from adafer.data.sampler import WHOLE, Part
from adafer.engine import checkpoint, ranks
from adafer.engine.mixup import MixUp
from adafer.engine.ranks import Ranks
from adafer.engine.train import State, fit
from adafer.errors import AdaferError

BROKEN = "face-12"


@dataclass(frozen=True)
class Parts(MemoryBatches):
    """The part of each batch that is this process's."""

    part: Part = WHOLE
    broken: bool = False

    def __call__(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for batch in super().__call__(epoch, start):
            places = np.arange(len(batch.ids))
            mine = torch.from_numpy(self.part.of(places))
            images = batch.images[mine]
            ids = tuple(batch.ids[i] for i in mine.tolist())
            if self.broken and BROKEN in ids:
                images[ids.index(BROKEN)] = torch.nan
            yield replace(
                batch, images=images, labels=batch.labels[mine], ids=ids,
                whole=self.part.whole(places),
            )  # fmt: skip


def digest(module: torch.nn.Module) -> str:
    found = sha256()
    for value in module.parameters():
        found.update(value.detach().numpy().tobytes())
    return found.hexdigest()


def talk(group: Ranks, folder: Path) -> dict[str, Any]:
    """What the processes tell each other."""
    ranks.BUCKET = 5  # several tensors in one bucket, one alone, one too large
    tensors = [torch.full(shape, 1.0 + group.rank) for shape in ((2,), (1, 3), (7,), (2, 2), ())]
    group.add_up(tensors)
    model = TinyModel()
    with torch.no_grad():
        for value in model.state_dict().values():
            value.add_(group.rank)
    group.spread(model, None)
    with group.one_by_one():
        if group.first:
            time.sleep(0.3)
            (folder / "first").touch()
        seen = (folder / "first").exists()
    return {
        "sums": [tensor.tolist() for tensor in tensors],
        "any": [group.any(group.rank == 1), group.any(False), group.any(True)],
        "told": [group.told(group.first), group.told(not group.first)],
        "sentence": [
            group.sentence("from ä" if group.rank == 1 else ""),
            group.sentence(f"from {group.rank}"),
            group.sentence(""),
        ],
        "spread": all(
            torch.equal(a, b)
            for a, b in zip(
                model.state_dict().values(), TinyModel().state_dict().values(), strict=True
            )
        ),
        "after the first": seen,
    }


def plain(group: Ranks, batches: MemoryBatches) -> dict[str, Any]:
    """A model without norm and dropout, whose steps must be those of one process."""
    state = State.create(NormlessModel(), TRAIN, PHASES)
    if not group.first:
        with torch.no_grad():  # an own start, which must not matter
            for value in state.model.parameters():
                value.add_(1)
    records = list(fit(state, cross_entropy, batches, PHASES, TRAIN, ranks=group))
    return {
        "weights": [value.tolist() for value in state.model.state_dict().values()],
        "digest": digest(state.model),
        "figures": [[r.train_loss, r.train_acc, r.grad_norm, r.faces] for r in records],
        "steps": state.step,
    }


def stopped(group: Ranks, folder: Path, batches: Parts) -> dict[str, Any]:
    """Batch norm, dropout and MixUp; unbroken, and stopped by the second process and resumed."""

    def trained(state: State, stop_after: int | None) -> State:
        def stop() -> bool:  # only the second process is asked
            return not group.first and stop_after is not None and state.step >= stop_after

        mixup = MixUp(alpha=0.4)
        for _ in fit(
            state, cross_entropy, batches, PHASES, TRAIN, prepare=mixup, stop=stop, ranks=group
        ):
            pass
        return state

    def fresh() -> State:
        return State.create(TinyModel(), TRAIN, PHASES)

    whole = trained(fresh(), None)
    first = trained(fresh(), 5)
    if group.first:
        checkpoint.save(first, folder / "state", {})
    group.meet()
    second = fresh()
    checkpoint.restore(second, folder / "state", {}, PHASES)
    second = trained(second, None)
    running = [tensor.tolist() for name, tensor in sorted(whole.model.named_buffers())]
    again = [tensor.tolist() for name, tensor in sorted(second.model.named_buffers())]
    return {
        "stopped at": [first.step, first.batch],
        "whole": digest(whole.model),
        "resumed": digest(second.model),
        "average": [digest(whole.smoothed), digest(second.smoothed)],
        "same running statistics": running == again,
    }


def broken(group: Ranks, batches: MemoryBatches) -> dict[str, Any]:
    """A face whose pixels are not numbers, in the part of one process."""
    state = State.create(NormlessModel(), TRAIN, PHASES)
    said = ""
    try:
        for _ in fit(state, cross_entropy, batches, PHASES, TRAIN, ranks=group):
            pass
    except AdaferError as error:
        said = str(error)
    return {"said": said, "digest": digest(state.model), "step": state.step}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    group = ranks.join()
    part = Part(rank=group.rank, count=group.count)
    found = {
        "talk": talk(group, folder),
        "plain": plain(group, Parts(part=part)),
        "stopped": stopped(group, folder, Parts(part=part)),
        "broken": broken(group, Parts(part=part, broken=True)),
    }
    (folder / f"rank-{group.rank}.json").write_text(json.dumps(found))
    group.meet()
    ranks.leave(0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
