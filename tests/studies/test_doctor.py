"""`adafer doctor`: what is sound passes, and each fault is found by the check that is for it."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adafer import cli
from adafer.models.tiny_vgg import TinyVGG
from adafer.recipe import Recipe
from adafer.recipes import find_recipe
from adafer.studies import doctor_machine
from adafer.studies.doctor import training_checks
from adafer.studies.doctor_machine import Check, machine_checks, runs_on


def tiny(name: str = "tinyvgg", **changes: object) -> Recipe:
    return find_recipe(name).changed(toy_faces=140, workers=0, **changes)


def found(recipe: Recipe) -> dict[str, Check]:
    return {check.name: check for check in training_checks(recipe)}


def test_a_sound_recipe_passes_every_check() -> None:
    checks = found(tiny())
    assert list(checks) == [
        "classes", "one batch", "first answer", "gradients", "32 faces by heart",
        "largest batch", "time",
    ]  # fmt: skip
    assert {check.verdict for check in checks.values()} == {"pass"}
    assert "(16, 3, 48, 48) float32" in checks["one batch"].said
    assert "(ln 7 = 1.95)" in checks["first answer"].said


def test_a_model_that_loops_is_examined_in_each_of_its_stages() -> None:
    recipe = tiny("act-graves", channels=16, stem_channels=8, max_steps=3, lr=5e-3)
    checks = found(recipe)
    assert checks["gradients"].verdict == "pass"
    assert all(f"{stage} " in checks["gradients"].said for stage in ("stem", "block", "halting"))


def test_a_frozen_start_is_examined_too() -> None:
    recipe = tiny(
        "transfer-resnet50", backbone="test_resnet", pretrained=False, img_size=32,
        epochs=2, freeze_backbone_epochs=1,
    )  # fmt: skip
    assert found(recipe)["gradients"].verdict == "pass"


def test_a_rate_that_is_too_small_is_told_apart_from_a_model_that_cannot() -> None:
    slow = found(tiny(lr=1e-9))["32 faces by heart"]
    assert slow.verdict == "fail"
    assert "at rate 0.001 it does" in slow.todo


def test_a_head_that_rests_cannot_learn_by_heart() -> None:
    rests = found(tiny(stages="block_1"))["32 faces by heart"]
    assert rests.verdict == "fail"
    assert "--stages" in rests.todo


def test_a_dead_stage_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    sound = TinyVGG.__init__

    def dead(self: TinyVGG, *given: object) -> None:
        sound(self, *given)  # type: ignore[arg-type]
        with torch.no_grad():
            self.block_1[-3].bias.fill_(-100.0)  # behind a ReLU: nothing comes through

    monkeypatch.setattr(TinyVGG, "__init__", dead)
    checks = found(tiny())
    assert checks["gradients"].verdict == "fail"
    assert "block_1" in checks["gradients"].todo


def test_data_that_cannot_be_read_ends_the_examination(tmp_path: Path) -> None:
    (check,) = training_checks(tiny(data=str(tmp_path / "none")))
    assert (check.name, check.verdict) == ("data and model", "fail")
    assert "no such path" in check.said
    assert check.todo


def test_an_uneven_set_is_advised_to_balance(monkeypatch: pytest.MonkeyPatch) -> None:
    from adafer.data.listing import Listing

    monkeypatch.setattr(Listing, "counts", lambda self: {"neutral": 900, "fear": 30, "anger": 50})
    check = found(tiny())["classes"]
    assert check.verdict == "warn"
    assert "30 times the smallest: try --balance weights" in check.todo


@pytest.mark.parametrize(
    ("capability", "built", "runs"),
    [
        ((6, 0), ["sm_70", "sm_80", "sm_90"], False),  # a P100 and a torch of today
        ((6, 0), ["sm_50", "sm_60", "sm_70"], True),
        ((6, 1), ["sm_60"], True),
        ((7, 5), ["sm_70", "sm_80"], True),
        ((8, 9), ["sm_80", "sm_86"], True),
        ((12, 0), ["sm_90"], False),
        ((12, 0), ["sm_90", "compute_90"], True),
        ((9, 0), ["sm_90a"], True),
        ((9, 0), ["sm_100", "sm_120"], False),
    ],
)
def test_a_gpu_runs_what_was_built_for_it(
    capability: tuple[int, int], built: list[str], runs: bool
) -> None:
    assert runs_on(*capability, built) is runs


def test_a_gpu_without_kernels_and_a_broken_torchvision_are_faults_of_the_machine(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Tesla P100")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: (6, 0))
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_75", "sm_80"])

    class Card:
        total_memory = 16e9

    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: Card)

    def broken(name: str) -> None:
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(doctor_machine.importlib, "import_module", broken)
    checks = {check.name: check for check in machine_checks(tmp_path)}
    assert checks["accelerator"].verdict == checks["torchvision"].verdict == "fail"
    assert "torch 2.7.1" in checks["accelerator"].todo
    assert checks["accelerator"].said.startswith("2 x Tesla P100, 16 GB")
    assert "--force-reinstall" in checks["torchvision"].todo


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_verysecret")
    said = " ".join(check.said + check.todo for check in machine_checks(tmp_path))
    assert "HF_TOKEN set" in said
    assert "verysecret" not in said


def test_the_shell_tells_it_by_its_exit_code_and_as_json(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from adafer.studies import doctor

    given = [Check(name="x", verdict="pass", said="fine")]
    monkeypatch.setattr(doctor, "doctor", lambda recipe, runs, memory: given)
    assert cli.run(["doctor", "--json", "-"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["said"] == "fine"
    given.append(Check(name="y", verdict="fail", said="broken", todo="mend it"))
    assert cli.run(["doctor", "--json", str(tmp_path / "checks.json")]) == 1
    assert "→ mend it" in capsys.readouterr().out
    assert len(json.loads((tmp_path / "checks.json").read_text())) == 2
    given.append(replace(given[1], of_machine=True))
    assert cli.run(["doctor"]) == 4
    assert cli.run(["doctor", "--recipe", "tinivgg"]) == 2
