"""Published weights: read from files that the tests write, refused where they do not fit."""

import hashlib
from pathlib import Path

import pytest
import timm
import torch
import trained
from hub_stand_in import Repository
from published_runs import client_of_a_new_hub
from safetensors.torch import save_file

from adafer import models
from adafer.errors import AdaferError, DataError, MachineError, WordsError
from adafer.models import pretrained
from adafer.models.transfer import TransferNet
from adafer.settings.model import TransferSettings

FACES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def published(folder: Path, name: str = "test_resnet", **extra: object) -> Path:
    """A file as timm publishes it: with its own head, for its own size of picture."""
    torch.manual_seed(3)
    path = folder / "model.safetensors"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(timm.create_model(name, pretrained=False, **extra).state_dict(), path)
    return path


def filled(weights: Path | str, name: str = "test_resnet", size: int = 32) -> TransferNet:
    settings = TransferSettings(backbone=name, weights=str(weights))
    model = models.build(settings, 7, size)
    assert isinstance(model, TransferNet)
    told = models.fill_published(model, settings)
    assert told["backbone"] == name
    assert len(told["sha256"]) == 64
    return model.eval()


@pytest.mark.parametrize("name", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_features_are_those_of_the_published_model(tmp_path: Path, name: str) -> None:
    path = published(tmp_path, name)
    torch.manual_seed(3)
    theirs = timm.create_model(name, pretrained=False).eval()
    with torch.no_grad():
        wanted = theirs.forward_head(theirs.forward_features(FACES), pre_logits=True)
        assert torch.equal(filled(path, name)(FACES).features, wanted)
        assert torch.equal(filled(tmp_path, name)(FACES).features, wanted)  # by its folder


def test_position_embeddings_are_resized_to_the_size_of_face(tmp_path: Path) -> None:
    path = published(tmp_path, "test_vit")  # for pictures of 160 pixels
    same = filled(path, "test_vit", 160).backbone
    smaller = filled(path, "test_vit", 32).backbone
    assert smaller.pos_embed.shape[1] < same.pos_embed.shape[1]
    for (name, ours), theirs in zip(
        smaller.state_dict().items(), same.state_dict().values(), strict=True
    ):
        assert name == "pos_embed" or torch.equal(ours, theirs)


def test_the_weights_of_a_run_of_ours_are_a_start_too(tmp_path: Path) -> None:
    run = trained.run_folder(tmp_path / "run", "transfer")
    model = filled(run)
    theirs = trained.module("transfer")
    for name, value in theirs.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[name], value), name
    assert not torch.equal(model.classifier[1].weight[:5], theirs.classifier[1].weight)


def refused(weights: Path | str, name: str = "test_resnet") -> str:
    settings = TransferSettings(backbone=name, weights=str(weights))
    model = models.build(settings, 7, 32)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(DataError) as caught:
        models.fill_published(model, settings)
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_another_architecture_is_refused_with_its_differences(tmp_path: Path) -> None:
    sentence = refused(published(tmp_path, "test_convnext"))
    assert "does not fit test_resnet: " in sentence
    assert "is missing" in sentence
    assert "more; give the weights of this very backbone" in sentence


def test_a_shape_that_differs_is_named(tmp_path: Path) -> None:
    path = published(tmp_path, in_chans=1)
    assert "conv1.0.weight is (16, 1, 3, 3), not (16, 3, 3, 3)" in refused(path)


def test_numbers_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    state = timm.create_model("test_resnet").state_dict()
    state["layer1.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    save_file(state, tmp_path / "model.safetensors")
    assert "layer1.0.conv1.weight holds numbers that are not finite" in refused(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("model.safetensors", b"\x10\0\0\0", "not a whole safetensors file"),
        ("model.bin", b"x", "may hold a pickle"),
        ("model.pth", b"x", "may hold a pickle"),
    ],
)
def test_files_that_are_no_weights_are_not_opened(
    tmp_path: Path, name: str, content: bytes, sentence: str
) -> None:
    (tmp_path / name).write_bytes(content)
    assert sentence in refused(tmp_path / name)


def test_missing_files_and_empty_folders_say_what_is_expected(tmp_path: Path) -> None:
    assert "no such file or folder" in refused(tmp_path / "none.safetensors")
    assert "expected model.safetensors or" in refused(tmp_path)


def test_without_network_the_way_to_the_weights_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(repository: str, file: str) -> str:
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(pretrained, "downloaded", unreachable)
    settings = TransferSettings(backbone="resnet18.tv_in1k")
    with pytest.raises(MachineError) as caught:
        models.fill_published(models.build(settings, 7, 32), settings)
    sentence = str(caught.value)
    assert "`hf download timm/resnet18.tv_in1k model.safetensors" in sentence
    assert "--no-pretrained" in sentence


def test_the_hub_is_asked_for_safetensors_of_the_very_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def fetched(repository: str, file: str) -> Path:
        asked.append((repository, file))
        return published(tmp_path)

    monkeypatch.setattr(pretrained, "downloaded", fetched)
    settings = TransferSettings(backbone="test_resnet")
    told = models.fill_published(models.build(settings, 7, 32), settings)
    assert asked == [("timm/test_resnet.r160_in1k", "model.safetensors")]
    assert told["source"] == "hub timm/test_resnet.r160_in1k"
    assert told["license"]


@pytest.mark.parametrize("fault", [None, "hang up", 403, 500])
def test_the_real_client_fetches_them_or_the_way_to_them_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: int | str | None
) -> None:
    settings = TransferSettings(backbone="test_resnet")
    model = models.build(settings, 7, 32)
    with client_of_a_new_hub(tmp_path / "cache", monkeypatch) as hub:
        held = {"model.safetensors": published(tmp_path).read_bytes()}
        hub.repositories["timm/test_resnet.r160_in1k"] = Repository()
        hub.repositories["timm/test_resnet.r160_in1k"].commit(held)
        if fault is None:
            told = models.fill_published(model, settings)
            assert told["sha256"] == hashlib.sha256(held["model.safetensors"]).hexdigest()
            return
        hub.fail["resolve"] = fault
        with pytest.raises(MachineError) as caught:
            models.fill_published(model, settings)
    assert "`hf download timm/test_resnet.r160_in1k model.safetensors" in str(caught.value)


def test_a_backbone_without_published_weights_is_told() -> None:
    settings = TransferSettings(backbone="test_vit4")
    model = models.build(settings, 7, 32)
    if timm.get_pretrained_cfg("test_vit4").hf_hub_id:
        pytest.skip("this version of the library has published some")
    with pytest.raises(WordsError, match="--no-pretrained"):
        models.fill_published(model, settings)


def test_without_published_weights_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pretrained, "downloaded", None)
    settings = TransferSettings(backbone="test_resnet", pretrained=False)
    assert models.fill_published(models.build(settings, 7, 32), settings) == {}
    assert issubclass(MachineError, AdaferError)
