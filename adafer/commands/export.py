"""`adafer export`: a trained model as one ONNX file, compared with PyTorch."""

from pathlib import Path

from adafer.words import command_parser


def export(words: list[str]) -> int:
    """Export a model and print what was checked."""
    parser = command_parser(
        "export",
        "RUN [--output FILE] [--steps T]",
        "Write a trained model as one ONNX file of fixed depth. The file is compared with PyTorch\n"
        "on several batches and kept only if both agree.",
        "  adafer export runs/first\n  adafer export runs/first --steps 3 --output small.onnx",
    )
    parser.add_argument("model", type=Path, metavar="RUN", help="a run's folder or weights")
    parser.add_argument("--output", type=Path, metavar="FILE", help="(RUN/export/model.onnx)")
    parser.add_argument("--steps", type=int, metavar="T", help="depth of the graph (the model's T)")
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.bundle import load_bundle
    from adafer.export.onnx import export_onnx

    model: Path = given.model
    beside = model / "export" / "model.onnx" if model.is_dir() else model.with_suffix(".onnx")
    print(export_onnx(load_bundle(model), given.output or beside, steps=given.steps))
    return 0
