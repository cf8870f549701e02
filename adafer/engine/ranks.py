"""Several processes that train one model, each on its part of every batch.

Every process holds the whole model. Gradients are summed over the processes before each step, so
that all take the same one, and what one of them learns of the world (a stop, a number that is not
finite) is told to all before anybody acts on it. Legend: R processes.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from typing import Any, NoReturn

import torch
from torch import Tensor, distributed, nn

LONGEST_WAIT = timedelta(hours=4)
"""How long a process waits for another one, which may be unpacking data or evaluating."""
LONGEST_STEP = timedelta(minutes=10)
"""How long GPUs wait for each other in a step; then something is broken, and the process ends."""
BUCKET = 2**24
"""Most numbers that are summed at once; each bucket takes its memory a second time."""
LONGEST_SENTENCE = 2000
"""Bytes of a sentence that a process tells the others."""


@dataclass(frozen=True, kw_only=True)
class Ranks:
    """This process among those that train together; alone it does nothing of all this."""

    rank: int = 0
    count: int = 1
    gpus: Any = None  # the group of processes for tensors on GPUs

    @property
    def first(self) -> bool:
        """Whether this is the process that measures, writes and speaks."""
        return self.rank == 0

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Put the sum over the processes in the place of each tensor; their shapes must agree."""
        if self.count == 1:
            return
        for bucket in _buckets(tensors):
            joined = torch.cat([tensor.flatten() for tensor in bucket])
            distributed.all_reduce(joined, group=self.gpus if joined.is_cuda else None)
            parts = torch.split(joined, [tensor.numel() for tensor in bucket])
            for tensor, part in zip(bucket, parts, strict=True):
                tensor.copy_(part.view(tensor.shape))

    def any(self, here: bool) -> bool:
        """Whether it is so in any process."""
        if self.count == 1:
            return here
        flag = torch.tensor(int(here))
        distributed.all_reduce(flag, distributed.ReduceOp.MAX)
        return bool(flag)

    def told(self, here: bool = False) -> bool:
        """What the first process says; what the others say is passed over."""
        if self.count == 1:
            return here
        flag = torch.tensor(int(here))
        distributed.broadcast(flag, 0)
        return bool(flag)

    def sentence(self, here: str) -> str:
        """Return the sentence of the first process that has one; "" says nothing."""
        if self.count == 1:
            return here
        own = torch.zeros(LONGEST_SENTENCE, dtype=torch.uint8)
        data = here.encode()[:LONGEST_SENTENCE]
        own[: len(data)] = torch.tensor(list(data), dtype=torch.uint8)
        every = [torch.empty_like(own) for _ in range(self.count)]
        distributed.all_gather(every, own)
        found = (bytes(said.tolist()).rstrip(b"\0").decode(errors="ignore") for said in every)
        return next((text for text in found if text), "")

    @torch.no_grad()
    def spread(self, *modules: nn.Module | None) -> None:
        """Give every process the weights and buffers of the first."""
        if self.count == 1:
            return
        for module in modules:
            for tensor in () if module is None else module.state_dict().values():
                distributed.broadcast(tensor, 0, group=self.gpus if tensor.is_cuda else None)

    @contextmanager
    def one_by_one(self) -> Iterator[None]:
        """Let the first process do something before the others: a download, a repair."""
        if not self.first:
            self.meet()
        yield
        if self.first:
            self.meet()

    def meet(self) -> None:
        """Wait until every process is here."""
        self.any(False)


ALONE = Ranks()
"""A training in one process."""


def join() -> Ranks:
    """Join the processes that a launcher started, each with a GPU of its own where there are any.

    Read from the variables of torchrun: RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT. A
    process that joined ends with `leave`.
    """
    gpus = None
    distributed.init_process_group("gloo", timeout=LONGEST_WAIT)
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count())
        gpus = distributed.new_group(backend="nccl", timeout=LONGEST_STEP)
    return Ranks(rank=distributed.get_rank(), count=distributed.get_world_size(), gpus=gpus)


def leave(exit_code: int) -> NoReturn:
    """End this process at once.

    Taking the group apart waits for the others, and now and then aborts in a thread of gloo.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def _buckets(tensors: Sequence[Tensor]) -> Iterator[Sequence[Tensor]]:
    """Cut a list where a bucket is full; at least one tensor each."""
    cuts, held = [0], 0
    for number, tensor in enumerate(tensors):
        if held and held + tensor.numel() > BUCKET:
            cuts.append(number)
            held = 0
        held += tensor.numel()
    for start, end in pairwise([*cuts, len(tensors)]):
        if start < end:
            yield tensors[start:end]
