"""`adafer export`: a trained model as one ONNX file, compared with PyTorch."""

from pathlib import Path

from adafer.commands.run_choice import add_run, chosen_run
from adafer.words import Words, command_parser


def export(words: list[str]) -> int:
    """Export a model and print what was checked."""
    parser = command_parser(
        "export",
        "[RUN] [--output FILE] [--steps T] [--opset N] [--int8 [KIND]]",
        "Write a trained model as one ONNX file of fixed depth. The file is compared with PyTorch\n"
        "on several batches and kept only if both agree. --int8 writes a second one in 8 bits,\n"
        "measures both on the validation faces, and keeps it only if it answers nearly as well.",
        "  adafer export                                   the latest run\n"
        "  adafer export runs/first --steps 3 --output small.onnx\n"
        "  adafer export runs/first --opset 17             for an older runtime\n"
        "  adafer export runs/first --int8\n"
        "  adafer export runs/first --int8 static --calibration 500 --max-drop 0.01",
    )
    add_run(parser, "a run's folder, or weights")
    parser.add_argument("--output", type=Path, metavar="FILE", help="(RUN/export/model.onnx)")
    parser.add_argument("--steps", type=int, metavar="T", help="depth of the graph (the model's T)")
    parser.add_argument(
        "--opset", type=int, metavar="N", help="highest version of ONNX's operations, 11-20 (20)"
    )
    _add_int8(parser)
    parser.add_argument("--debug", action="store_true", help="show a traceback on errors")
    given = parser.parse_known_words(words)
    from adafer.bundle import load_bundle
    from adafer.export.attempts import OPSET
    from adafer.export.int8 import Int8Settings, export_int8
    from adafer.export.onnx import export_onnx
    from adafer.progress import Console

    settings = Int8Settings(
        kind=given.int8 or "auto",
        calibration=given.calibration_method,
        calibration_faces=given.calibration,
        per_channel=given.per_channel,
        max_drop=given.max_drop,
    )
    model, console = chosen_run(given), Console()
    bundle = load_bundle(model)
    beside = model / "export" / "model.onnx" if model.is_dir() else model.with_suffix(".onnx")
    report = export_onnx(
        bundle,
        given.output or beside,
        steps=given.steps,
        opset=OPSET if given.opset is None else given.opset,
        tell=console.said,
    )
    print(report)
    if given.int8:
        print(export_int8(bundle, report.path, settings, data=given.data, watcher=console))
    return 0


def _add_int8(parser: Words) -> None:
    """Add what is said of the 8-bit file."""
    group = parser.add_argument_group("8 bits")
    group.add_argument(
        "--int8",
        nargs="?",
        const="auto",
        choices=("auto", "static", "dynamic"),
        help="write NAME.int8.onnx too; static for convolutions, dynamic for transformers (auto)",
    )
    group.add_argument(
        "--calibration",
        type=int,
        default=200,
        metavar="N",
        help="training faces that give the ranges of static files (200)",
    )
    group.add_argument(
        "--calibration-method",
        choices=("entropy", "percentile", "minmax"),
        default="entropy",
        help="how ranges are drawn from them (entropy)",
    )
    group.add_argument(
        "--no-per-channel",
        dest="per_channel",
        action="store_false",
        help="one scale for a whole weight instead of one a channel",
    )
    group.add_argument(
        "--max-drop",
        type=float,
        default=0.02,
        metavar="SHARE",
        help="accuracy that 8 bits may cost on the validation faces (0.02)",
    )
    group.add_argument("--data", metavar="SOURCE", help="where those faces are (the run's own)")
