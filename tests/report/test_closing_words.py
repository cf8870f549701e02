"""The closing words carry the labels that readers of logs look for."""

import io

from rich.console import Console

from adafer.report.console import closing_block, closing_table


def printed(renderable, encoding="utf-8"):
    data = io.BytesIO()
    stream = io.TextIOWrapper(data, encoding=encoding)
    Console(file=stream, width=90).print(renderable)
    stream.flush()
    return data.getvalue().decode(encoding)


def test_the_table_has_a_line_for_each_emotion_and_one_for_all(make):
    context = make()
    lines = printed(closing_table(context.scores, max_steps=6)).splitlines()
    for item in context.scores.per_class:
        line = next(line for line in lines if line.split()[:1] == [item.name])
        assert line.split()[1:5] == [
            str(item.support),
            f"{item.recall:.1%}",
            f"{item.f1:.1%}",
            f"{item.mean_steps:.2f}",
        ]
    last = next(line for line in lines if line.split()[:1] == ["all"])
    assert last.split()[1:3] == ["60", f"{context.scores.accuracy:.1%}"]


def test_names_are_no_markup_and_a_poor_terminal_is_enough(make):
    context = make(names=("[bold]x[/bold]", "[/]", "c", "d", "e", "f", "g"))
    text = printed(closing_table(context.scores), encoding="ascii")
    assert "[bold]x[/bold]" in text
    assert "[/]" in text


def test_a_model_without_steps_has_no_steps_column(make):
    assert "steps" not in printed(closing_table(make(stepped=False).scores))


def test_the_block_has_the_known_labels(make):
    scores = make().scores
    lines = closing_block(
        best_macro_f1=0.8123456,
        best_accuracy=0.8234,
        best_epoch=7,
        sizes={"train": 4000, "val": 1000},
        epoch_seconds=[10.0, 12.0],
        total_seconds=200,
        validation=scores,
        test=scores,
    )
    figures = f"Loss {scores.nll:.4f} Acc {scores.accuracy:.4f} MacroF1 {scores.macro_f1:.4f}"
    assert lines == [
        "Best validation macro F1: 0.8123",
        "Best validation accuracy: 0.8234",
        "Epoch of best model: 7",
        f"Validation (Best) {figures}",
        f"Test {figures}",
        "Train/Val/Test sizes: 4000/1000/-",
        "Average Time per Epoch: 11.0 s",
        "Total Training Time: 3 min 20 s",
    ]


def test_what_nobody_measured_is_left_out():
    lines = closing_block(
        best_macro_f1=None,
        best_accuracy=None,
        best_epoch=None,
        sizes={},
        epoch_seconds=[],
        total_seconds=1,
    )
    assert lines[0] == "Best validation macro F1: -"
    assert not [line for line in lines if line.startswith(("Test", "Average"))]
