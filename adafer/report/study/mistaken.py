"""What the model takes for what, what it finds hardest, and which labels look wrong."""

import numpy as np

from adafer.analysis.label_errors import LabelErrors
from adafer.analysis.mistakes import Confused, confused_pairs, top_losses
from adafer.report.gallery import show
from adafer.report.section import Block, Cell, Context, Section, Table
from adafer.report.wording import count, percent

MOST = 24


def mistaken_section(context: Context) -> Section:
    """Show the most confused pairs and the faces with the largest loss."""
    pairs = confused_pairs(context.predictions)
    dearest = top_losses(context.predictions, MOST)
    return Section(
        title="What it takes for what",
        reading=_reading(pairs),
        blocks=(
            _pairs(pairs),
            show(context, "Largest loss", "faces whose label it thought least likely", dearest),
        ),
    )


def label_errors_section(context: Context, found: LabelErrors) -> Section:
    """Show the suspects by name, and as faces where there are pictures."""
    reading = (
        f"Of {count(found.faces, 'face')} that it was not trained on, "
        f"{count(len(found.suspects), 'label')} look wrong to it (confident learning)."
    )
    if found.agreed_suspects is not None and found.agreed_others is not None:
        reading += (
            f" Annotators gave the label {percent(found.agreed_suspects, 0)} of their votes on "
            f"these faces, and {percent(found.agreed_others, 0)} on the others."
        )
    blocks: list[Block] = []
    places = {name: place for place, name in enumerate(context.predictions.ids)}
    shown = [places[s.id] for s in found.suspects[:MOST] if s.id in places]
    if shown:
        blocks.append(show(context, "Suspected labels, worst first", "", np.array(shown)))
    return Section(title="Labels that look wrong", reading=reading, blocks=tuple(blocks))


def _pairs(pairs: tuple[Confused, ...]) -> Table:
    return Table(
        columns=("labelled", "taken for", "faces", "of this label", "95 %", "people said so"),
        rows=tuple(
            (
                Cell(text=pair.label),
                Cell(text=pair.prediction),
                Cell(text=count(pair.faces)),
                Cell(text=percent(pair.share)),
                Cell(text=f"{percent(pair.low)} to {percent(pair.high)}"),
                Cell(text=percent(pair.people)),
            )
            for pair in pairs
        ),
        text_columns=(0, 1),
    )


def _reading(pairs: tuple[Confused, ...]) -> str:
    if not pairs:
        return "Nothing is mistaken."
    worst = pairs[0]
    reading = (
        f"Most often {worst.label} is taken for {worst.prediction}: "
        f"{count(worst.faces, 'face')}, {percent(worst.share)} of the label"
    )
    if worst.people is not None:
        reading += f"; annotators gave {worst.prediction} {percent(worst.people)} of their votes"
    return f"{reading}."
