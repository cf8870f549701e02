"""The page is one file that loads nothing, runs nothing, and shows what it is given as text."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from adafer.errors import WordsError
from adafer.report import REPORTS, sections, write_report
from adafer.report.page import contrast, heat_css, render

VOID = {"meta", "link", "img", "br", "path", "use"}
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7 * 7 }}",
    "a & b",
    "$\\frac{1}{2}$",
    "new\nline",
    "悲しみ",
)


class Page(HTMLParser):
    """Tags, attributes and words of a page; fails on a tag that is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag in VOID:
            return
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.tags if name == tag]


def page_of(context):
    return Page(render(context, sections(context), date="1 May 2026"))


def shapes(make):
    yield "seven emotions", make()
    yield "no steps", make(stepped=False)
    yield "five faces of two classes", make(5, ("yes", "no"), epochs=1)
    yield "one face", make(1, ("yes", "no"), epochs=0)
    yield "thirty classes", make(90, [f"a class with a long name {i}" for i in range(30)])
    yield "empty class", make(labels=np.zeros(60, np.int64))
    yield "all right", make(labels=make().predictions.predicted)
    yield "all wrong", make(labels=(make().predictions.predicted + 1) % 7)
    yield "every face alike", make(steps=np.full(60, 3))
    yield "many steps", make(longest=40)
    yield "no pictures", make(side=0)
    yield "one channel", make(channels=1)
    yield "nothing but predictions", make(history=(), recipe={}, run={}, faces=None, name="")


def test_every_shape_of_data_gives_a_whole_page(make):
    for name, context in shapes(make):
        page = page_of(context)
        words = " ".join(page.words)
        assert not re.search(r"\b(nan|None|inf)\b", words), name
        spoken = " ".join(value or "" for _, attrs in page.tags for value in attrs.values())
        assert not re.search(r"\b(nan|None|inf)\b", spoken), name
        names = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
        assert len(names) == len(set(names)), name
        for attrs in page.all("a"):
            assert attrs["href"][1:] in names
        for attrs in page.all("use"):
            assert attrs["href"][1:] in names, name


def test_nothing_is_loaded_and_nothing_runs(make):
    context = make()
    text = render(context, sections(context))
    page = Page(text)
    policy = [a["content"] for a in page.all("meta") if "http-equiv" in a]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert not page.all("script")
    assert not re.search(r"@import|url\((?!#)|@font-face", text)
    for tag, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")], tag
        for name in ("src", "href"):
            assert attrs.get(name, "#").startswith(("#", "data:")), (tag, attrs[name])
    assert "http://" not in text.replace("http://www.w3.org/", "")
    assert "https://" not in text


def test_words_from_outside_stay_words(make):
    context = make(
        names=HOSTILE,
        ids=tuple(f"{HOSTILE[i % 7]}{i}" for i in range(60)),
        name=HOSTILE[0],
        notes=HOSTILE,
        run={HOSTILE[1]: HOSTILE[0], "versions": {HOSTILE[0]: HOSTILE}},
        recipe={"name": HOSTILE[1], "summary": HOSTILE[0], "data": {"data": HOSTILE[1]}},
    )
    page = page_of(context)
    assert not page.all("script")
    assert {a["src"][:22] for a in page.all("img")} == {"data:image/png;base64,"}
    words = " ".join(page.words)
    assert HOSTILE[0] in words
    assert HOSTILE[2] in words
    assert "49" not in [word.strip() for word in page.words]


def test_every_picture_says_what_it_shows(make):
    page = page_of(make())
    pictures = page.all("img")
    assert pictures
    assert all(re.fullmatch(r"face labelled .+, predicted .+", a["alt"]) for a in pictures)
    assert all(a["role"] == "img" and a["aria-label"] for a in page.all("svg"))


def test_the_page_stays_below_three_megabytes_with_the_worst_pictures(make):
    context = make(400, side=100)
    assert len(render(context, sections(context))) < 3_000_000


def test_colours_can_be_read_on_light_and_on_dark(make):
    text = render(make(), [])
    for palette in re.findall(r":root\{(--page[^}]*)\}", text):
        colours = dict(re.findall(r"--(\w+):(#\w+)", palette))
        for ground in ("page", "card"):
            for ink in ("ink", "muted", "first", "bad"):
                found = contrast(rgb(colours[ink]), rgb(colours[ground]))
                assert found >= 4.5, (ink, ground, found)
            for line in ("second", "third"):
                assert contrast(rgb(colours[line]), rgb(colours[ground])) >= 3
    rules = re.findall(r"background:rgb\(([\d,]+)\);color:rgb\(([\d,]+)\)", heat_css())
    assert len(rules) == 22
    for ground, ink in rules:
        first, second = ([int(c) for c in colour.split(",")] for colour in (ground, ink))
        assert contrast(first, second) >= 4.5


def rgb(colour):
    digits = colour[1:] if len(colour) == 7 else "".join(2 * c for c in colour[1:])
    return [int(digits[i : i + 2], 16) for i in (0, 2, 4)]


def test_contrast_of_known_pairs():
    assert contrast((0, 0, 0), (255, 255, 255)) == pytest.approx(21)
    assert contrast((119, 119, 119), (255, 255, 255)) == pytest.approx(4.48, abs=0.01)


def test_the_same_table_gives_the_same_page(make):
    first, second = (render(make(), sections(make()), date="today") for _ in range(2))
    assert first == second


def test_reports_can_be_chosen_and_a_wrong_name_is_refused(make, tmp_path):
    path = tmp_path / "new" / "report.html"
    write_report(path, make(), ["confusion", "limits"])
    headings = re.findall(r"<h2>(.*?)</h2>", path.read_text(encoding="utf-8"))
    assert headings == ["What is taken for what", "What this page cannot say"]
    with pytest.raises(WordsError, match="no report 'colour'; choose from"):
        write_report(path, make(), ["colour"])


def test_the_statement_of_responsible_use_is_on_the_page(make):
    words = " ".join(page_of(make()).words)
    for part in ("For research", "lie detection", "Tell the people", "Article 5(1)(f)"):
        assert part in words
    assert list(REPORTS)[-1] == "limits"
