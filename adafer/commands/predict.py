"""`adafer predict`: the apparent expression of pictures, one line each."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from adafer.responsible_use import NOTICE
from adafer.words import command_parser

if TYPE_CHECKING:
    from adafer.predictor import Predictor


def predict(words: list[str]) -> int:
    """Predict pictures; 3 where any of them cannot be read."""
    parser = command_parser(
        "predict",
        "MODEL PICTURE [PICTURE ...] [--json]",
        "Read the apparent expression of face crops: one line a picture, or JSON lines.\n\n"
        + NOTICE,
        "  adafer predict runs/first face.jpg\n"
        "  adafer predict runs/first/export/model.onnx faces/ --json > answers.jsonl\n"
        "  adafer predict jane/fer-small face.jpg      a model of the Hugging Face hub",
    )
    parser.add_argument(
        "model",
        type=Path,
        metavar="MODEL",
        help="a run's folder, weights, .onnx or OWNER/NAME of the hub",
    )
    parser.add_argument(
        "pictures", nargs="+", metavar="PICTURE", help="files or folders of face crops"
    )
    parser.add_argument("--max-steps", type=int, metavar="T", help="another T than in training")
    parser.add_argument(
        "--face-detector", type=Path, metavar="FILE",
        help="YuNet (ONNX), for a model that reads landmarks; else a learned layout stands in",
    )  # fmt: skip
    parser.add_argument(
        "--revision", metavar="COMMIT", help="of a model of the hub: the commit, tag or branch"
    )
    parser.add_argument(
        "--sha256", metavar="HASH", help="of a model of the hub: the hash its weights must have"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.predictor import load

    predictor = load(
        given.model,
        face_detector=given.face_detector,
        revision=given.revision,
        sha256=given.sha256,
    )
    if predictor.points and given.face_detector is None:
        note = "this model reads landmarks, and a learned layout stands for all of them"
        print(f"adafer: {note}; --face-detector FILE finds those of each face", file=sys.stderr)
    return _print_answers(predictor, given.pictures, max_steps=given.max_steps, as_json=given.json)


def _print_answers(
    predictor: "Predictor", pictures: Sequence[str], *, max_steps: int | None, as_json: bool
) -> int:
    """Predict pictures and print one line each; a picture that cannot be read is named.

    Returns 3 if any picture could not be read, else 0.
    """
    from adafer.predictor import Failure

    failed = 0
    for answer in predictor.stream(map(Path, pictures), max_steps=max_steps):
        if isinstance(answer, Failure):
            print(f"adafer: {answer.error}", file=sys.stderr)
            failed += 1
        elif as_json:
            print(json.dumps(answer.to_json(), ensure_ascii=False, allow_nan=False))
        else:
            steps = "" if answer.steps is None else f"  {answer.steps} steps"
            sure = "  (low confidence)" if answer.low_confidence else ""
            print(f"{answer.source}  {answer.label} {answer.probability:.1%}{steps}{sure}")
    return 3 if failed else 0
