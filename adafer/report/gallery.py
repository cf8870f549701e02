"""The faces themselves: the quickest, the slowest, and the surest mistakes."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adafer.predictions import Predictions
from adafer.report.section import Block, Cell, Context, Face, Gallery, Section, Table
from adafer.report.steps import empty_ends
from adafer.report.wording import count, number, percent

MOST = 24
"""Faces in one gallery."""
SIDE = 80
"""Largest side of an embedded picture in pixels; keeps the page below 3 MB."""


def gallery(context: Context) -> Section | None:
    """Faces with the fewest and with the most steps that were actually taken."""
    steps = context.predictions.steps
    if steps is None:
        return None
    shortest, longest = int(steps.min()), int(steps.max())
    if shortest == longest:
        return Section(
            title="Quick faces, slow faces",
            reading=(
                f"There are no quicker and slower faces: every one takes "
                f"{count(shortest, 'step')}. {empty_ends(context)}"
            ).strip(),
        )
    order = _by_effort(context.predictions)
    most = min(MOST, len(order) // 2)
    fast, slow = int((steps == shortest).sum()), int((steps == longest).sum())
    reading = (
        f"{count(fast, 'face').capitalize()} stopped after {count(shortest, 'step')}, "
        f"{count(slow)} took {count(longest, 'step')}. {empty_ends(context)}"
    ).strip()
    return Section(
        title="Quick faces, slow faces",
        reading=reading,
        blocks=(
            show(context, "Fewest steps", _range_of(steps[order[:most]]), order[:most]),
            show(context, "Most steps", _range_of(steps[order[-most:]]), order[::-1][:most]),
        ),
    )


def mistakes(context: Context) -> Section:
    """Wrong answers that were given with the greatest confidence."""
    predictions = context.predictions
    wrong = np.flatnonzero(predictions.predicted != predictions.labels)
    title = "Its surest mistakes"
    if not len(wrong):
        return Section(
            title=title, reading="There are none: every face is named as it is labelled."
        )
    confidence = predictions.probabilities[wrong].max(1)
    chosen = wrong[np.argsort(-confidence, kind="stable")][:MOST]
    sure = int((confidence > 0.9).sum())
    return Section(
        title=title,
        reading=(
            f"Of {count(len(wrong), 'mistake')}, {count(sure)} came with more than 90 % "
            "confidence. A label is what annotators chose, and some of these are open to debate."
        ),
        blocks=(show(context, "Wrong, most confident first", "", chosen),),
    )


def staircase(context: Context, most: int = 10) -> Gallery | None:
    """One rightly named face for each number of steps: the adaptive model in one picture.

    A number of steps that no such face took keeps its place, empty. Where T is larger than `most`,
    the row goes from the fewest to the most steps that were taken.
    """
    steps, predictions = context.predictions.steps, context.predictions
    if steps is None or context.faces is None or context.longest < 2:
        return None
    right = predictions.predicted == predictions.labels
    first, last = 1, context.longest
    if last > most:
        first, last = int(steps.min()), int(steps.max())
    places = np.unique(np.linspace(first, last, most).round())
    faces, used = list[Face](), set[int]()
    for step in places.astype(int):
        here = np.flatnonzero((steps == step) & right)
        if not len(here):
            faces.append(_nobody(int(step)))
        else:
            # A label that is not on the stairs yet makes a more telling row.
            fresh = [int(i) for i in here if int(predictions.labels[i]) not in used]
            best = int(
                max(fresh or here.tolist(), key=lambda i: float(predictions.probabilities[i].max()))
            )
            used.add(int(predictions.labels[best]))
            faces.append(_face(context, best))
    if sum(face.picture != "" for face in faces) < 2:
        return None
    return Gallery(
        title="",
        caption="One face for each number of steps, of those that are named as they are labelled.",
        faces=tuple(faces),
        longest=context.longest,
    )


def show(context: Context, title: str, caption: str, chosen: NDArray[np.intp]) -> Block:
    """Show these faces; without pictures, list them in a table."""
    faces = tuple(_face(context, int(i)) for i in chosen)
    if context.faces is not None:
        return Gallery(title=title, caption=caption, faces=faces, longest=context.longest)
    stepped = context.predictions.steps is not None
    return Table(
        columns=("Face", "Labelled", "Predicted", "Confidence", *(["Steps"] if stepped else [])),
        text_columns=(0, 1, 2),
        rows=tuple(
            (
                Cell(text=face.name),
                Cell(text=face.label),
                Cell(text=face.prediction),
                Cell(text=face.probability),
                *([Cell(text=str(face.steps))] if stepped else []),
            )
            for face in faces
        ),
        folded=f"{title}: {count(len(faces), 'face')} by name" if title else "",
    )


def data_uri(face: NDArray[np.uint8]) -> str:
    """Return a picture (S, S, 3) or (S, S, 1) as a PNG that stands in the page itself."""
    grey = face.shape[2] == 1 or (face == face[..., :1]).all()
    picture = Image.fromarray(np.ascontiguousarray(face[..., 0] if grey else face))
    if max(picture.size) > SIDE:
        picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    picture.save(data, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(data.getvalue()).decode("ascii")


def _face(context: Context, i: int) -> Face:
    predictions = context.predictions
    label = predictions.class_names[int(predictions.labels[i])]
    answer = int(predictions.predicted[i])
    prediction = predictions.class_names[answer]
    probability = percent(float(predictions.probabilities[i, answer]), 0)
    steps = None if predictions.steps is None else int(predictions.steps[i])
    after = "" if steps is None else f" after {count(steps, 'step')}"
    return Face(
        picture="" if context.faces is None else data_uri(context.faces[i]),
        alt=f"face labelled {label}, predicted {prediction} with {probability}{after}",
        label=label,
        prediction=prediction,
        probability=probability,
        right=label == prediction,
        name=predictions.ids[i],
        steps=steps,
    )


def _nobody(steps: int) -> Face:
    return Face(
        picture="",
        alt="",
        label="",
        prediction="no face",
        probability="",
        right=True,
        name="",
        steps=steps,
    )


def _by_effort(predictions: Predictions) -> NDArray[np.intp]:
    """Order of the faces by steps, then by ponder cost, then by doubt."""
    assert predictions.steps is not None
    cost = predictions.ponder_cost
    doubt = -predictions.probabilities.max(1)
    return np.lexsort((doubt, doubt if cost is None else cost, predictions.steps))


def _range_of(steps: NDArray[np.int64]) -> str:
    low, high = int(steps.min()), int(steps.max())
    if low == high:
        return f"{count(len(steps), 'face')} with {count(low, 'step')}"
    mean = number(float(steps.mean()), 1)
    return f"{count(len(steps), 'face')} with {low} to {high} steps, {mean} on average"
