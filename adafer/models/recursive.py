"""A small network that loops one shared block and decides per face when to stop.

Legend: B images, C classes, D channels, T steps, H x W the state's sides.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from adafer.contracts import StepOutput
from adafer.models.halting import (
    HALTING,
    LEARNED_ON_ALL_STEPS,
    MIXING,
    Halt,
    at_least_float32,
    finished,
)
from adafer.settings.model import RecursiveSettings

GROUPS = 8


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the loop carries: the state that it refines and the stem features it recalls."""

    state: Tensor  # (B, D, H, W)
    stem: Tensor  # (B, D, H, W)


class RecursiveBlock(nn.Module):
    """One step of thinking: conv3x3, GroupNorm, GELU, conv3x3, entered into the state.

    The stem's features are recalled at every step (Bansal et al. 2022, arXiv:2202.05826), and a
    GroupNorm after the sum keeps the state's norm from growing with depth. `memory="gru"` uses
    convolutional gates instead (Ballas et al. 2016, arXiv:1511.06432, eq. 4-7).
    """

    def __init__(self, channels: int, memory: str) -> None:
        super().__init__()
        self.memory = memory
        self.transform = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(GROUPS, channels),
            nn.GELU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )
        if memory == "gru":
            self.gates = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        else:
            self.norm = nn.GroupNorm(GROUPS, channels)

    def forward(self, state: Tensor, stem: Tensor) -> Tensor:
        """Refine the state (B, D, H, W); its shape stays."""
        if self.memory == "gru":
            gates: Tensor = self.gates(torch.cat([state, stem], 1)).sigmoid()
            reset, update = gates.chunk(2, 1)
            candidate: Tensor = self.transform(reset * state + stem).tanh()
            return (1 - update) * state + update * candidate
        recalled = state + stem
        refined: Tensor = self.norm(recalled + self.transform(recalled))
        return refined


class HaltingUnit(nn.Module):
    """Probability of stopping, read from the state: global average pool, linear, sigmoid.

    Weights start at zero, so that at first every face halts alike: with bias b and epsilon 0.01
    after ceil(0.99 / sigmoid(b)) steps. b = +1 (Graves' convention) gives 2 steps whatever T is,
    and no gradient to later steps until the unit moves; b = logit(1 / T) nearly all of them.
    """

    def __init__(self, channels: int, bias: float) -> None:
        super().__init__()
        self.linear = nn.Linear(channels, 1)
        nn.init.zeros_(self.linear.weight)
        nn.init.constant_(self.linear.bias, bias)

    def forward(self, state: Tensor) -> Tensor:
        """Halting probability (B,), in float32 also under autocast.

        Written as product and sum, which autocast leaves alone: a bfloat16 linear layer would
        round the probability and with it the step at which a face halts.
        """
        pooled = at_least_float32(state).mean((2, 3))  # (B, D)
        logits = (pooled * self.linear.weight[0]).sum(1) + self.linear.bias
        return logits.sigmoid()


HaltingMechanism = HaltingUnit


class RecursiveFER(nn.Module):
    """Stem, one shared block looped up to T times, a classifier and a halting unit.

    `max_steps` may be changed after training. In evaluation, and in training unless
    `run_all_steps`, the loop ends as soon as every face of the batch has halted; what a face is
    told does not depend on its batch. Set `full_depth` to run all T steps always: then no control
    flow depends on data, as export and accuracy-by-depth need. The output unpacks as
    `logits, ponder_cost, step_probs`.
    """

    wants_landmarks = False

    def __init__(self, settings: RecursiveSettings, classes: int) -> None:
        super().__init__()
        self.settings = settings
        self.max_steps = settings.max_steps
        self.full_depth = False
        width, channels = settings.stem_channels, settings.channels
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 3, stride=2, padding=1),
            nn.GroupNorm(GROUPS, width),
            nn.GELU(),
            nn.Conv2d(width, channels, 3, stride=settings.stem_stride // 2, padding=1),
            nn.GroupNorm(GROUPS, channels),
            nn.GELU(),
        )
        self.block = RecursiveBlock(channels, settings.memory)
        self.halting = HaltingUnit(channels, settings.halt_bias)
        self.dropout = nn.Dropout(settings.dropout)
        self.classifier = nn.Linear(channels * settings.pool**2, classes)

    def begin(self, images: Tensor) -> Memory:
        """Start the memory from faces (B, 3, H, W): the state is the stem's features."""
        stem = self.stem(images)
        return Memory(state=stem, stem=stem)

    def step(self, memory: Memory) -> Memory:
        """Think once."""
        if self.settings.checkpoint_block and self.training:
            state = checkpoint(self.block, memory.state, memory.stem, use_reentrant=False)
        else:
            state = self.block(memory.state, memory.stem)
        return Memory(state=state, stem=memory.stem)

    def read(self, memory: Memory) -> tuple[Tensor, Tensor]:
        """Logits (B, C) and halting score (B,) of the memory, both float32.

        The classifier reads a coarse grid, because where a part of the face is matters; the score
        is the halting unit's, or the leading probability under the `confidence` rule.
        """
        grid = _pooled(memory.state, self.settings.pool).flatten(1)
        logits = at_least_float32(self.classifier(self.dropout(grid)))
        if self.settings.halting == "confidence":
            return logits, logits.softmax(1).amax(1)
        return logits, self.halting(memory.state)

    def forward(self, images: Tensor) -> StepOutput:
        """Look at faces (B, 3, H, W) for up to T steps each."""
        memory = self.begin(images)
        step_logits: list[Tensor] = []
        scores: list[Tensor] = []
        for number in range(1, self.max_steps + 1):
            memory = self.step(memory)
            logits, score = self.read(memory)
            step_logits.append(logits)
            scores.append(score)
            if number < self.max_steps and self._all_finished(scores):
                break
        return self.answer(torch.stack(step_logits), torch.stack(scores))

    def answer(self, step_logits: Tensor, scores: Tensor) -> StepOutput:
        """Answer from the logits (t, B, C) and the scores (t, B) of the steps that were run.

        What comes after the step at which a face halts does not change its answer.
        """
        mixing = self.settings.halting in MIXING
        return _answer(step_logits, scores, self.decide(scores), mixing=mixing)

    def finished(self, scores: Tensor) -> Tensor:
        """Whether each face (B,) has halted by its own scores (t, B)."""
        return finished(scores, self.settings)

    def decide(self, scores: Tensor) -> Halt:
        """Apply the halting rule to the scores (T, B) of all steps run so far."""
        return HALTING[self.settings.halting](scores, self.settings)

    def _all_finished(self, scores: list[Tensor]) -> bool:
        settings = self.settings
        if self.full_depth or (
            self.training and (settings.run_all_steps or settings.halting in LEARNED_ON_ALL_STEPS)
        ):
            return False
        with torch.no_grad():
            return bool(self.finished(torch.stack(scores)).all())

    def stages(self) -> list[tuple[str, nn.Module]]:
        """Name the parts from stem to head."""
        return [
            ("stem", self.stem),
            ("block", self.block),
            ("halting", self.halting),
            ("classifier", self.classifier),
        ]


def _pooled(state: Tensor, side: int) -> Tensor:
    """Average the state (B, D, H, W) over a grid of side x side cells."""
    height, width = state.shape[2:]
    if height % side == 0 and width % side == 0:
        # The adaptive form has no deterministic gradient on CUDA.
        return functional.avg_pool2d(state, (height // side, width // side))
    return functional.adaptive_avg_pool2d(state, side)


def _answer(step_logits: Tensor, scores: Tensor, halt: Halt, *, mixing: bool) -> StepOutput:
    if mixing:
        logits = (halt.weights[:, :, None] * step_logits).sum(0)  # (B, C)
    else:
        chosen = (halt.steps - 1)[None, :, None].expand(1, -1, step_logits.shape[2])
        logits = step_logits.gather(0, chosen).squeeze(0)
    return StepOutput(
        logits=logits,
        step_logits=step_logits,
        step_probs=scores,
        weights=halt.weights,
        remainder=halt.remainder,
        ponder_cost=halt.cost,
        steps=halt.steps,
    )
