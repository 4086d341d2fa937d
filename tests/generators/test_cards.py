"""Cards: YAML headers, tables with arbitrary class names, runnable examples, reproducible bytes."""

from __future__ import annotations

import html
import json
import re
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from ruamel.yaml import YAML

from makeweight.core import plugins
from makeweight.core.parameters import MonitorSettings
from makeweight.core.text import in_markdown
from makeweight.generators.cards import COLUMNS, CardFacts, data_card, model_card, releases, size_category
from makeweight.generators.fit import description
from makeweight.generators.generate import Generation, generate
from makeweight.runtime import fingerprints
from makeweight.runtime.files import write_json
from makeweight.runtime.machine import Machine
from tests.support.families import family, fitted, split
from tests.support.generating import generate_settings
from tests.support.machine import COMPUTE
from tests.support.monitoring import monitor_settings

NASTY = (
    "no", "NA", "null", "1e-3", "0o17", "1_000", "12:30:45", "2020-01-01", "", " ", "---", "...", "- a", "a: b # c",
    "~", "&a", "*a", "!a", "%a", "@a", "`a`", "{a", "[a](b)", "<script>alert(1)</script>", "a|b", "a\\|b", "a\\",
    "a\nb", "a\n---\nb", "a\r\nb", "\ta", "it's \"quoted\"", "*a* _b_ ~~c~~ $d$", "&lt;", "![a](b)", "naïve 猫 🐈",
    "a\u2028b", "a\u202eb", "\x00\x85",
)  # fmt: skip
MONITOR = monitor_settings(on_divergence="rollback", min_discriminator_error=0.02, min_diversity_ratio=0.1)
BALANCE = generate_settings(strategy="balance", max_synthetic_ratio=100.0)
MACHINE = Machine("cpu", "float32", 1)


def facts(classes: tuple[str, ...] = ("a", "b", "c"), name: str = "cgan") -> CardFacts:
    return CardFacts(name, classes, tuple(range(2, 2 + len(classes))), 8, 1, replicates=2, seed=7)


def of_model(about: CardFacts | None = None, monitor: MonitorSettings = MONITOR, warnings: tuple[str, ...] = ()) -> str:
    about = about or facts()
    return model_card(about, family(about.family), monitor, releases(), MACHINE, warnings)


def of_data(about: CardFacts | None = None, per_class: int = 5) -> str:
    about = about or facts()
    return data_card(about, np.full(len(about.classes), per_class))


def headers(card: str) -> list[dict[str, Any]]:
    """The header as YAML 1.2 and as YAML 1.1, which the Hub's library reads."""
    header = re.match(r"^(\s*---[\r\n]+)([\S\s]*?)([\r\n]+---(\r\n|\n|$))", card)  # the Hub's own pattern
    assert header
    yaml = pytest.importorskip("yaml")
    return [YAML(typ="safe", pure=True).load(header[2]), yaml.safe_load(header[2])]


def cells(card: str) -> list[list[str]]:
    """The rendered text of the first table, row by row."""
    tokens = MarkdownIt("commonmark").enable("table").parse(card.split("\n---\n", 1)[1])
    first = tokens[next(i for i, token in enumerate(tokens) if token.type == "tbody_open") :]
    rows: list[list[str]] = []
    for token in first[: next(i for i, token in enumerate(first) if token.type == "tbody_close")]:
        if token.type == "tr_open":
            rows.append([])
        elif token.type == "inline":
            assert {child.type for child in token.children or ()} <= {"text", "text_special"}, token.content
            rows[-1].append("".join(child.content for child in token.children or ()))
    return rows


def example(card: str) -> str:
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert code
    return code[1]


def test_class_names_survive_in_the_headers() -> None:
    for header in headers(of_model(facts(NASTY))):
        assert header["makeweight"] == {"family": "cgan", "classes": list(NASTY)}
    for header in headers(of_data(facts(NASTY))):
        (info,) = header["dataset_info"]
        described = {feature["name"]: feature["dtype"] for feature in info["features"]}
        assert tuple(described) == COLUMNS
        names = described["label"]["class_label"]["names"]
        assert names == {str(label): name for label, name in enumerate(NASTY)}


@pytest.mark.parametrize("card", [of_model(facts(NASTY)), of_data(facts(NASTY))], ids=["model", "data"])
def test_any_class_name_is_escaped_in_its_table(card: str) -> None:
    visible = ["".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in name).strip() for name in NASTY]
    rows = cells(card)
    assert [row[1] for row in rows] == visible
    assert [row[:3:2] for row in rows] == [[str(label), str(label + 2)] for label in range(len(NASTY))]
    assert "<script>" not in card.split("\n---\n", 1)[1]
    assert html.unescape(in_markdown("a|<b>\n")) == "a|<b>\\n"


@pytest.mark.parametrize("name", ["no", "on", "y", "null", "true"])
def test_a_family_may_be_called_like_something_else_in_yaml(name: str) -> None:
    about = facts(name=name)
    card = model_card(about, family("cgan"), MONITOR, releases(), MACHINE, ())
    assert all(header["makeweight"]["family"] == name for header in headers(card))
    assert all(name in header["tags"] for header in (*headers(card), *headers(of_data(about))))


def test_headers_hold_what_the_hub_knows() -> None:
    for header in headers(of_model()):
        assert header["library_name"] == "makeweight"
        assert header["pipeline_tag"] == "unconditional-image-generation"
        assert "license" not in header
    for header in headers(of_data(per_class=500)):
        assert header["task_categories"] == ["image-classification"]
        assert header["size_categories"] == ["1K<n<10K"]
        assert "synthetic" in header["tags"]
        assert [config["data_files"][0]["path"] for config in header["configs"]] == ["replicate_*/metadata.csv"]
        assert [config["keep_default_na"] for config in header["configs"]] == [False]


@pytest.mark.parametrize(
    ("images", "category"),
    [(0, "n<1K"), (999, "n<1K"), (1000, "1K<n<10K"), (25_000, "10K<n<100K"), (10**9 - 1, "100M<n<1B"), (10**9, "n>1B")],
)
def test_sizes_have_the_names_of_the_hub(images: int, category: str) -> None:
    assert size_category(images) == category


@pytest.mark.parametrize("name", plugins.names("families"))
def test_the_model_card_tells_all_settings_and_its_example_draws(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    train = split(11, 3)
    card = of_model(CardFacts.of(name, train, replicates=2, seed=0))
    settings = re.search(r"```yaml\n(.*?)```", card, re.DOTALL)
    assert settings
    shown = YAML(typ="safe", pure=True).load(settings[1])
    assert shown == {name: json.loads(json.dumps(family(name).model_dump()))}
    folder = tmp_path / "samplers" / "replicate_0"
    folder.mkdir(parents=True)
    fitted(name, train).save(folder)
    write_json(folder / "makeweight.json", description(name, train))
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(example(card), names)
    assert names["images"].shape == (12, 11, 11, 3)
    assert "uint8 [12, 11, 11, 3]" in card
    assert names["images"].dtype == np.uint8


def test_an_example_asks_for_no_class_without_images() -> None:
    about = CardFacts("cgan", ("a", "b", "c", "d", "e"), (0, 3, 0, 1, 2), 8, 1, replicates=2, seed=0)
    assert ".sample(['b', 'd', 'e'], " in example(of_model(about))


def test_the_example_of_the_data_card_reads_what_was_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = split(8, 3)
    about = CardFacts.of("smote", train, replicates=2, seed=0)
    monkeypatch.chdir(tmp_path)
    samplers = [tmp_path / "samplers" / f"replicate_{k}" for k in range(2)]
    for sampler in samplers:
        sampler.mkdir(parents=True)
    generation = Generation("smote", lambda folder: fitted("smote", train), samplers, train, BALANCE, 0, 4)
    generate(generation, tmp_path / "out", tmp_path / "a.png", compute=COMPUTE, card=partial(data_card, about))
    card = (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    assert cells(card) == [["0", "a", "9", "0"], ["1", "b", "5", "4"], ["2", "c", "2", "7"]]
    monkeypatch.chdir(tmp_path / "out")
    names: dict[str, Any] = {}
    exec(example(card), names)
    assert len(names["images"]) == len(names["labels"]) == len(names["rows"]) == 11
    assert f"uint8 {list(names['images'].shape)}" in example(card)
    assert names["rows"]["synthetic"].all()
    assert [names["classes"][label] for label in names["labels"]] == names["rows"]["class"].tolist()


def test_warnings_stand_before_everything_else_and_markup_in_them_means_nothing() -> None:
    card = of_model(warnings=("cgan: images of <b>", "another"))
    assert card.index("## Warnings") < card.index("## Training data")
    assert "<b>" not in card
    assert "\n- another\n" in card
    assert "## Warnings" not in of_model()


@pytest.mark.parametrize("on_divergence", ["rollback", "stop"])
def test_what_would_have_happened_is_printable(on_divergence: Any) -> None:
    monitor = monitor_settings(on_divergence=on_divergence, min_discriminator_error=0.03, min_diversity_ratio=0.2)
    card = of_model(monitor=monitor)
    assert f"`monitor.on_divergence: {on_divergence}`" in card
    assert "error of at most 0.03 on training images" in card
    assert "of the class below 0.2 of that between its real images" in " ".join(card.split())


def test_the_same_facts_give_the_same_bytes_without_times_or_paths() -> None:
    for write in (of_model, of_data):
        card = write(facts())
        assert card == write(facts())
        assert str(Path.home()) not in card
        assert str(Path.cwd()) not in card
        assert not re.search(r"\d{4}-\d\d-\d\d|\d\d:\d\d", card)
        assert card.endswith("\n")
        assert "\r" not in card


def test_a_reworded_card_retrains_nothing() -> None:
    assert "makeweight.generators.cards" not in fingerprints.sources("makeweight.generators.fit")


@pytest.mark.parametrize(("name", "says"), [("cgan", False), ("smote", True), ("warp", True)])
def test_cards_say_that_real_images_are_inside(name: str, says: bool) -> None:
    about = facts(name=name)
    assert ("**The training images are inside.**" in of_model(about)) is says
    assert ("**Each image is made from real ones.**" in of_data(about)) is says


@pytest.mark.parametrize("card", [of_model(), of_data()], ids=["model", "data"])
def test_a_card_says_which_images_may_not_test(card: str) -> None:
    text = " ".join(card.split())
    assert "`data/train/metadata.csv` lists" in text
    assert "Test only with images that the generators have not seen" in text or "may not test a classifier" in text


def test_the_data_card_says_that_one_fraction_was_tested() -> None:
    assert "The synthetic fraction matters" in of_data()


def test_the_model_card_shows_the_public_functions_only() -> None:
    assert 'makeweight.load_sampler(".").sample(' in of_model()
    assert "makeweight.core" not in example(of_model())
