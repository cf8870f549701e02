"""The training loop in its plain form: TinyVGG, then ResNet-18, on the same faces.

    python examples/from_scratch.py
    python examples/from_scratch.py --data hf:OWNER/NAME --epochs 5

Validation is looked at in every epoch, the test faces once, at the end.
"""

import argparse

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.transforms import v2

from adafer import image
from adafer.data import open_data
from adafer.data.listing import pixels_of
from adafer.models import build
from adafer.settings.data import DataSettings
from adafer.settings.model import TinyVGGSettings, TransferSettings

SIZE, BATCH_SIZE = 48, 16
finish = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([0.5] * 3, [0.25] * 3)]
# Two transforms: what varies faces at random must never touch those that are measured.
train_transform = v2.Compose([v2.RandomHorizontalFlip(), v2.RandomRotation(10), *finish])
test_transform = v2.Compose(finish)


def collate(transform):
    """Rows of a listing to a batch: the bridge from any data set to a DataLoader."""
    faces = image.Preprocessing(SIZE, grey=True)

    def batch(rows):
        pixels = [faces.resized(pixels_of(picture)) for picture, _ in rows]
        images = [transform(torch.from_numpy(face).permute(2, 0, 1)) for face in pixels]
        return torch.stack(images), torch.tensor([label for _, label in rows])

    return batch


def loader(listing, transform, shuffle=False):
    rows = list(zip(listing.pictures, listing.labels.tolist(), strict=True))
    return DataLoader(rows, BATCH_SIZE, shuffle=shuffle, collate_fn=collate(transform))


def train_step(model, batches, loss_fn, optimizer):
    model.train()
    loss_sum, right, faces = 0.0, 0, 0
    for images, labels in batches:
        logits = model(images).logits
        loss = loss_fn(logits, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        loss_sum += loss.item() * len(labels)  # a smaller last batch counts for less
        right += (logits.argmax(1) == labels).sum().item()
        faces += len(labels)
    return loss_sum / faces, right / faces


def test_step(model, batches, loss_fn):
    model.eval()
    loss_sum, right, faces = 0.0, 0, 0
    with torch.inference_mode():
        for images, labels in batches:
            logits = model(images).logits
            loss_sum += loss_fn(logits, labels).item() * len(labels)
            right += (logits.argmax(1) == labels).sum().item()
            faces += len(labels)
    return loss_sum / faces, right / faces


def train(model, train_batches, test_batches, optimizer, loss_fn, epochs):
    # The classic bug: an optimizer that still holds the parameters of the model before.
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    learning = {id(p) for p in model.parameters() if p.requires_grad}
    assert held == learning, "rebuild the optimizer for this model"
    results = {"train_loss": [], "train_acc": [], "test_loss": [], "test_acc": []}
    for epoch in range(epochs):
        trained = train_step(model, train_batches, loss_fn, optimizer)
        tested = test_step(model, test_batches, loss_fn)
        for name, value in zip(results, (*trained, *tested), strict=True):
            results[name].append(value)
        print(f"epoch {epoch + 1}", {name: round(row[-1], 4) for name, row in results.items()})
    return results


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", default="toy")
    parser.add_argument("--faces", type=int, default=1400, help="training faces to draw")
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    data = open_data(DataSettings(data=given.data, toy_faces=given.faces))
    train_batches = loader(data.train, train_transform, shuffle=True)
    validation_batches = loader(data.validation, test_transform)
    loss_fn = nn.CrossEntropyLoss()
    resnet = TransferSettings(backbone="resnet18", pretrained=False)
    for name, settings in (("TinyVGG", TinyVGGSettings()), ("ResNet-18", resnet)):
        torch.manual_seed(0)
        model = build(settings, len(data.class_names), SIZE)
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)  # rebuilt for every model
        print(name)
        train(model, train_batches, validation_batches, optimizer, loss_fn, given.epochs)
        _, accuracy = test_step(model, loader(data.test(), test_transform), loss_fn)
        print(f"{name}: {accuracy:.3f} of the test faces named as labelled")


if __name__ == "__main__":
    main()
