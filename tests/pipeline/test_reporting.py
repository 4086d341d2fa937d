"""The report: what it says, that strangers' words stay words, and that a real browser shows it as it should be."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from pipeline.comparing import compare, write_comparison
from pipeline.core import BadInput, Split
from pipeline.design import arms
from pipeline.metrics import scores
from pipeline.params import Parameters, read_parameters
from pipeline.reporting import Places, report, write_report
from pipeline.storage import write_arrays, write_csv, write_json, write_split
from tests.conftest import write_params

EVIL = "<script>alert(1)</script>"
CLASSES = (EVIL, "a|b *c* _d_", "nan")
ARMS = ("none-plain", "oversample-plain", "cgan-plain")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver")


def split(seed: int, counts: Sequence[int], names: tuple[str, ...] = CLASSES) -> Split:
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    return Split(rng.integers(0, 256, (len(labels), 8, 8, 1), dtype=np.uint8), labels, names)


@dataclass(frozen=True)
class Study:
    """A study with made predictions.

    Attributes:
        changes: of the parameters.
        test: images of each class.
        group: images in each group of test images.
        accuracy: of each arm; by default, later arms are better.
        noise: part of the images on which a replicate of an arm differs from the others by chance.
        names: of the classes.
    """

    changes: dict[str, Any] = field(default_factory=dict)
    test: tuple[int, ...] = (25, 25, 25)
    group: int = 1
    accuracy: dict[str, float] = field(default_factory=dict)
    noise: float = 1.0
    names: tuple[str, ...] = CLASSES


SMALL_CHANGES: dict[str, Any] = {
    "replicates": 3, "transforms": ["plain"], "compare": {"variance": True, "control": "oversample-plain"}
}  # fmt: skip


def finished(folder: Path, study: Study) -> tuple[Parameters, Places]:
    """The study as the stages before `report` leave it."""
    parameters = read_parameters(write_params(folder / "params.yaml", SMALL_CHANGES, study.changes))
    places = Places(folder / "data", folder / "models", folder / "runs", folder / "results", folder / "logs")
    several = (1,) * len(study.names)
    test = split(2, study.test, study.names)
    for name, each in (("train", 8), ("validation", 5)):
        write_split(places.data / name, split(each, np.multiply(each, several).tolist(), study.names), {})
    write_split(places.data / "test", test, {})
    history = pd.DataFrame({"replicate": [0, 0, 1, 1], "step": [1, 2, 1, 2], "generator_loss": [2.0, 1.0, 2.5, 1.5]})
    for family in parameters.generators:
        for k in range(parameters.replicates):
            drawn = split(10 + k, np.multiply(4, several).tolist(), study.names)
            write_split(places.data / f"synthetic/{family}/replicate_{k}", drawn, {})
            (places.models / f"{family}/samplers/replicate_{k}").mkdir(parents=True)
        write_csv(places.models / family / "history.csv", history)
    for number, arm in enumerate(map(str, arms(parameters))):
        accuracy = study.accuracy.get(arm, 0.7 + 0.1 * number)
        _run(places.runs / arm, test, history, number, accuracy, parameters.replicates, study)
    (folder / "logs").mkdir()
    write_json(folder / "logs/train-generator-cgan.json", {"replicates": 3, "seconds": 12.5, "images_per_second": 900})
    write_comparison(compare(parameters, places.runs), places.results)
    return parameters, places


def small_study(folder: Path) -> tuple[Parameters, Places]:
    """Three classes, three arms, three replicates."""
    return finished(folder, Study())


def _run(
    run: Path, test: Split, history: pd.DataFrame, number: int, accuracy: float, replicates: int, study: Study
) -> None:
    rng = np.random.default_rng(number if study.noise == 1 else 0)
    own = np.random.default_rng(number)
    hard = np.broadcast_to(rng.random(len(test)), (replicates, len(test)))
    again = own.random(hard.shape)
    right = np.where(own.random(hard.shape) < study.noise, again, hard) < accuracy
    predicted = np.where(right, test.labels, (test.labels + 1) % len(test.classes))
    probabilities = np.eye(len(test.classes), dtype=np.float32)[predicted]
    run.mkdir(parents=True)
    predictions = {f"replicate_{k}": p for k, p in enumerate(probabilities)}
    groups = np.arange(len(test)) // study.group
    write_arrays(run / "predictions.npz", {"labels": test.labels, "groups": groups, **predictions})
    rows = [
        {"replicate": k, "split": name, "metric": metric, "value": value}
        for k, p in enumerate(probabilities)
        for name in ("validation", "test")
        for metric, value in scores(test.labels, p, test.classes).items()
    ]
    for table in ("scores.csv", "variance.csv"):
        write_csv(run / table, pd.DataFrame(rows))
    write_csv(run / "history.csv", history.rename(columns={"generator_loss": "loss"}))


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The facts of the small study, and the folder with its report."""
    parameters, places = small_study(tmp_path_factory.mktemp("study"))
    without_times = Places(places.data, places.models, places.runs, places.results, None)
    facts = report(parameters, without_times)
    write_report(facts, places.results)
    return facts, places.results


class Reader(HTMLParser):
    """What a reader gets: texts, and every tag with its attributes."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(results: Path) -> str:
    return (results / "report.html").read_text(encoding="utf-8")


def test_the_verdict_comes_first_and_every_contrast_arm_and_class_is_there(study: tuple[dict[str, Any], Path]) -> None:
    facts, results = study
    text = "".join(Reader(page(results)).texts)
    markdown = (results / "report.md").read_text(encoding="utf-8")
    (primary,) = facts["primary"]
    assert text.index(primary["sentence"]) < text.index("Arms")
    assert markdown.index("points of balanced accuracy") < markdown.index("## Arms")
    for each in facts["contrasts"]:
        assert each["sentence"] in text
    for arm in ARMS:
        assert arm in text
        assert arm in markdown
    for name in CLASSES:
        assert name in text
    assert "sha" in text.lower()
    assert "one generator" in text


def test_a_class_that_is_called_like_a_script_is_shown_and_not_run(study: tuple[dict[str, Any], Path]) -> None:
    _, results = study
    read = Reader(page(results))
    assert "script" not in {tag for tag, _ in read.tags}
    assert EVIL in read.texts
    markdown = (results / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| a&#124;b &#42;c&#42; &#95;d&#95; |")]
    assert len(rows) == 1


def test_markdown_tables_have_as_many_cells_in_every_row(study: tuple[dict[str, Any], Path]) -> None:
    _, results = study
    tables = re.findall(r"(?:^\|.*\|\n)+", (results / "report.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(tables) == 4
    for table in tables:
        lines = table.splitlines()
        assert len({line.count("|") for line in lines}) == 1, table
        assert set(lines[1]) <= set("|-")


def test_it_needs_nothing_but_itself_and_is_small(study: tuple[dict[str, Any], Path]) -> None:
    _, results = study
    for tag, attributes in Reader(page(results)).tags:
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert not re.search(r"url\((?!#)", page(results))
    assert (results / "report.html").stat().st_size < 1_000_000


def test_pictures_have_names_and_tables_have_captions_and_headers(study: tuple[dict[str, Any], Path]) -> None:
    _, results = study
    read = Reader(page(results))
    names = [attributes.get("alt") for tag, attributes in read.tags if tag == "img"]
    assert names
    assert all(names)
    assert ("html", {"lang": "en"}) in read.tags
    kinds = [tag for tag, _ in read.tags]
    assert kinds.count("table") == kinds.count("caption") == kinds.count("thead")
    assert all(attributes.get("scope") for tag, attributes in read.tags if tag == "th")
    assert all(attributes.get("aria-hidden") == "true" for tag, attributes in read.tags if tag == "svg")


def test_the_same_study_gives_the_same_bytes_and_times_only_on_request(tmp_path: Path) -> None:
    parameters, places = small_study(tmp_path)
    written = []
    for logs in (None, None, places.logs):
        write_report(
            report(parameters, Places(places.data, places.models, places.runs, places.results, logs)), places.results
        )
        written.append(page(places.results))
    assert written[0] == written[1]
    assert "12.5" not in written[0]
    assert "12.5" in written[2]


def test_what_a_stage_has_not_left_is_named(tmp_path: Path) -> None:
    parameters, places = small_study(tmp_path)
    (places.results / "comparison.json").unlink()
    with pytest.raises(BadInput, match=r"comparison\.json is missing: run compare first"):
        report(parameters, places)


@pytest.fixture(scope="module")
def browser() -> Iterator[Chrome]:
    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    for argument in ("headless", "no-sandbox", "disable-gpu", "no-first-run", "disable-background-networking"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = Chrome(options, ChromeService(str(DRIVER)))
    yield driver
    driver.quit()


def _log(browser: Any, kind: str) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = browser.get_log(kind)
    return entries


@needs_browser
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_a_request_an_error_or_a_text_that_runs_over(
    width: int, scheme: str, browser: Chrome, study: tuple[dict[str, Any], Path]
) -> None:
    facts, results = study
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    _log(browser, "performance")  # forget what came before
    browser.get((results / "report.html").as_uri())
    assert facts["primary"][0]["sentence"] in browser.find_element("css selector", ".verdict").text
    assert _log(browser, "browser") == []
    requested = re.findall(r'"requestWillBeSent".*?"url":"([^"]{0,12})', str(_log(browser, "performance")))
    assert [url for url in requested if not url.startswith(("file:", "data:"))] == []
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    # Only what stands in a box that scrolls may be wider than the page.
    over = browser.execute_script(
        """return [...document.querySelectorAll('body *')].filter(e => !e.closest('.scroll, svg, details:not([open])')
           && (e.getBoundingClientRect().right > innerWidth + 1 || e.scrollWidth > e.clientWidth + 1 && e.clientWidth))
           .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert over == []
    light = browser.execute_script("return getComputedStyle(document.body).backgroundColor")
    assert (light == "rgb(255, 255, 255)") == (scheme == "light")
