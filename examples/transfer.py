"""Fine-tune a backbone in two stages, look at what it learned and why, and export it.

    python examples/transfer.py
    python examples/transfer.py --data faces/ --backbone efficientnet_b0 --pretrained

Everything here is the shell's `adafer train transfer-resnet50`, `explain` and `export` in Python.
"""

import argparse
from pathlib import Path

import adafer
from adafer.bundle import load_bundle
from adafer.engine.optim import stage_rates
from adafer.export.onnx import export_onnx
from adafer.studies.calibrate import calibrate
from adafer.studies.explain import explain_run
from adafer.studies.explain_faces import Wish


def words() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="toy")
    parser.add_argument("--faces", type=int, default=700, help="training faces to draw")
    parser.add_argument("--backbone", default="resnet18", help="any name of timm")
    parser.add_argument("--pretrained", action="store_true", help="published weights, by network")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    return parser.parse_args()


def main() -> None:
    given = words()
    run = adafer.train(
        "transfer-resnet50",
        runs=given.runs,
        data=given.data,
        toy_faces=given.faces,
        backbone=given.backbone,
        pretrained=given.pretrained,
        img_size=224 if given.pretrained else 48,
        epochs=given.epochs,
        freeze_backbone_epochs=1,  # the head alone, under a rising rate; then everything
        lr_head=1e-3,
        lr_backbone=1e-4 if given.pretrained else 1e-3,
        use_mixup=given.pretrained,  # too much for so short a training from random start
        ema=0.98,
        workers=0,
    )
    bundle = load_bundle(run.path)
    for stage in stage_rates(bundle.model, run.recipe().phases):
        rates = ["frozen" if rate is None else f"{rate:.0e}" for rate in stage.rates]
        print(f"{stage.name:12} {stage.parameters:>12,} parameters  {'  '.join(rates)}")
    found = calibrate(run.path)
    print(f"temperature {found.temperature.value:.2f}: ECE {found.before.ece:.3f}, "
          f"cross-fitted {found.honest.ece:.3f}")  # fmt: skip
    print(f"why: {explain_run(run.path, methods=('gradcam',), wish=Wish(per_class=2))}")
    report = export_onnx(load_bundle(run.path), run.exports / "model.onnx")
    print(f"exported: {report.path}")


if __name__ == "__main__":
    main()
