"""Device, arithmetic, seeds, and what the machine says when it cannot."""

import os
import random
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Literal, cast

import numpy as np
import torch
from torch import nn

from adafer.errors import AdaferError, MachineError, WordsError

Precision = Literal["fp32", "bf16", "fp16"]
DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16}
OUT_OF_MEMORY_SIGNS = ("out of memory", "not enough memory", "can't allocate memory")
"""How allocators other than CUDA's word it; they raise a plain RuntimeError."""


def choose_device(name: str) -> torch.device:
    """Return the device of this name; `auto` takes CUDA, then Apple's MPS, then the CPU.

    Raises:
        WordsError: the name is no device.
        MachineError: the machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        message = f"{name!r} is no device; use --device auto, cpu, cuda, cuda:1 or mps"
        raise WordsError(message) from None
    if not _is_there(device):
        raise MachineError(f"this machine has no device {name}; use --device auto or cpu")
    return device


def _is_there(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu" and not device.index


def choose_precision(name: str, device: torch.device) -> Precision:
    """Return the arithmetic of the forward pass; `auto` asks the machine.

    bf16 on GPUs that compute in it (from Ampere) and on CPUs with AMX tiles, where it is several
    times faster; fp16 with a loss scaler on older GPUs from compute capability 7.0, the first with
    tensor cores; else fp32. Evaluation uses fp32 unless told otherwise.

    Raises:
        WordsError: the name is no precision.
    """
    if name in ("fp32", "bf16", "fp16"):
        return cast(Precision, name)
    if name != "auto":
        raise WordsError(f"{name!r} is no precision; use --precision auto, fp32, bf16 or fp16")
    if device.type == "cuda":
        with torch.cuda.device(device):
            if torch.cuda.is_bf16_supported(including_emulation=False):
                return "bf16"
            return "fp16" if torch.cuda.get_device_capability() >= (7, 0) else "fp32"
    return "bf16" if device.type == "cpu" and _has_amx() else "fp32"


def _has_amx() -> bool:
    # Under a leading underscore in torch 2.7 to 2.15; without it the answer is the slower fp32.
    supported = getattr(torch.cpu, "_is_amx_tile_supported", None)
    return bool(supported()) if supported is not None else False


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """Return a context in which convolutions and products run in this precision."""
    if precision == "fp32":
        return nullcontext()
    return torch.autocast(device.type, dtype=DTYPES[precision])


def set_seed(seed: int, deterministic: bool = False) -> None:
    """Seed Python, NumPy and torch; `deterministic` refuses operations that vary between runs."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # libraries below us still draw from it
    torch.manual_seed(seed)
    if deterministic:
        # Read by cuBLAS when its first handle is made, so it has to be there before any product.
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic)


def step_seed(seed: int, epoch: int, batch: int, rank: int = 0) -> int:
    """Seed of everything random inside one forward pass: a pure function of where it stands."""
    place = (seed % 2**64, epoch, batch, *((rank,) if rank else ()))
    state = np.random.SeedSequence(place).generate_state(1, np.uint64)
    return int(state[0])


def seed_device(device: torch.device, seed: int) -> None:
    """Seed the CPU's generator and the device's own, and no other.

    `torch.manual_seed` is many times slower, because it also words a stack trace for each kind of
    device that is not in use.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(seed)
    elif device.type == "mps":
        torch.mps.manual_seed(seed)


def compile_in_place(model: nn.Module) -> None:
    """Compile the model's forward pass; parameter names stay as they are."""
    model.compile()


@contextmanager
def machine_limits(batch_size: int) -> Iterator[None]:
    """Turn what the machine cannot do into one sentence.

    Raises:
        MachineError: out of memory, or a loading process was killed.
        AdaferError: an operation that is not deterministic under `--deterministic`.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise MachineError(_memory_sentence(batch_size)) from error
    except RuntimeError as error:
        text = str(error)
        if any(sign in text.lower() for sign in OUT_OF_MEMORY_SIGNS):
            raise MachineError(_memory_sentence(batch_size)) from error
        if "DataLoader worker" in text:
            raise MachineError(
                "a process that prepares faces was ended by the system, mostly for want of "
                "memory or shared memory (/dev/shm); use --workers 0, or fewer of them, and resume"
            ) from error
        if "deterministic" in text and "does not have" in text:
            operation = text.split(" ", 1)[0]
            raise AdaferError(
                f"{operation} has no deterministic form on this device; "
                "train without --deterministic, or on the CPU"
            ) from error
        raise


def _memory_sentence(batch_size: int) -> str:
    return (
        f"out of memory with {batch_size} faces in a batch; use --checkpoint-block (recomputes "
        "instead of storing), a smaller --batch-size, and --accumulate to keep their product"
    )
