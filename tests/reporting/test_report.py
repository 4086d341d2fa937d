"""The report: its content, escaping of untrusted names, and its look in a real browser."""

from __future__ import annotations

import base64
import io
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

from makeweight.comparison.compare import compare, write_comparison
from makeweight.core.choices import AutomaticChoice, Candidate, Choices, Difference
from makeweight.core.data import Split
from makeweight.core.errors import BadInput
from makeweight.core.study import Arm
from makeweight.quality.similarity import similarities
from makeweight.reporting import tables
from makeweight.reporting.report import Places, report, write_report
from makeweight.runtime import plots
from makeweight.runtime.files import read_json, write_json
from makeweight.runtime.splits import write_split
from tests.support.study import ARMS, CLASSES, EVIL, RECORD, Study, finished, sample_quality, small_study

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
needs_browser = pytest.mark.skipif(not (BROWSER and DRIVER), reason="needs chromium and chromedriver")


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """The facts of the small study, and the folder with its report."""
    parameters, places = small_study(tmp_path_factory.mktemp("study"))
    without_times = Places(places.data, places.models, places.runs, places.results, None)
    facts = report(parameters, without_times, similarities(without_times.data, parameters.generators))
    write_report(facts, places.results)
    return facts, places.results


TWO_GENERATORS: dict[str, Any] = {
    "replicates": 4, "generators": ["cgan", "smote"], "transforms": ["plain", "classical"],
    "one_generator": [],
    "compare": {"control": "oversample-classical"},
    "data": {"reader": "folder", "path": "/home/somebody/photos/birds", "imbalance": None},
}  # fmt: skip


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    """Two generators, two transforms, and grouped test images of which a class has two."""
    accuracy = {"oversample-classical": 0.95, "cgan-plain": 0.9, "cgan-classical": 0.9}
    accuracy |= {"smote-plain": 0.4, "smote-classical": 0.3}
    made = Study(TWO_GENERATORS, (40, 30, 2), 2, accuracy, 0.3, ("forty", "thirty", "two"))
    parameters, places = finished(tmp_path_factory.mktemp("several"), made)
    facts = report(
        parameters,
        Places(places.data, places.models, places.runs, places.results, None),
        similarities(places.data, parameters.generators),
    )
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


def test_the_answer_comes_first_and_every_contrast_arm_and_class_is_there(study: tuple[dict[str, Any], Path]) -> None:
    facts, results = study
    text = "".join(Reader(page(results)).texts)
    markdown = (results / "report.md").read_text(encoding="utf-8")
    (primary,) = facts["main"]
    assert text.index(primary["answer"]) < text.index("What was compared") < text.index("Arms")
    assert markdown.index(primary["answer"]) < markdown.index("## What was compared") < markdown.index("## Arms")
    for arm in ARMS:
        assert arm in text
        assert arm in markdown
    for name in CLASSES:
        assert name in text
    assert "sha" in text.lower()
    assert "one generator" in text


def test_every_sentence_of_the_comparison_is_on_the_page_once(several: tuple[dict[str, Any], Path]) -> None:
    facts, results = several
    text = "".join(Reader(page(results)).texts)
    contrasts = [*facts["main"], *facts["others"]]
    assert [contrast["arm"] for contrast in contrasts] == [
        "cgan-classical",
        "cgan-plain",
        "smote-plain",
        "smote-classical",
    ]
    answers = {contrast["answer"] for contrast in contrasts}
    assert len(answers) == len(contrasts)
    common = [*facts["basis"], *(text[:1].upper() + text[1:] for text in facts["explanations"].values())]
    for sentence in [*common, *answers, *(contrast["sentences"][0] for contrast in contrasts)]:
        assert text.count(sentence) == 1, sentence
    for sentence in facts["main"][0]["sentences"]:
        others = sum(sentence in contrast["sentences"] for contrast in facts["others"])
        assert text.count(sentence) == 1 + others


def test_warnings_about_generated_images_stand_on_the_first_screen(tmp_path: Path) -> None:
    parameters, places = small_study(tmp_path)
    write_json(places.models / "cgan/sample_quality.json", sample_quality("cgan", CLASSES, diversity=0.2))
    write_comparison(compare(parameters, places.runs, places.models), places.results)
    write_report(report(parameters, places, similarities(places.data, parameters.generators)), places.results)
    for name in ("report.html", "report.md"):
        text = (places.results / name).read_text(encoding="utf-8")
        assert text.index("generated images of 3 classes vary much less") < text.index("What was compared")
        assert EVIL not in text


def test_the_first_screen_names_the_data_set_and_its_sizes(several: tuple[dict[str, Any], Path]) -> None:
    _, results = several
    first = page(results).partition('<h2 id="arms">')[0]
    assert "“birds” (reader folder), 3 classes; 24 training, 15 validation and 72 test images." in first
    assert "in 36 groups" in first
    assert "The smallest class, “two”, has 2 test images; one test image more or less" in first


def test_differences_without_a_test_have_no_verdict(several: tuple[dict[str, Any], Path]) -> None:
    facts, results = several
    rows = {row.head: row.cells for row in facts["estimates"].rows}
    assert len(rows) == 8 * 7 / 2 - 4
    assert "smote-plain minus cgan-plain" in rows
    folded = page(results).partition("<details><summary>Estimates, not tested</summary>")[2].partition("</details>")[0]
    assert all(head in folded for head in rows)
    assert not re.search("helps|hurts|equivalent|inconclusive", folded)


def test_every_statistic_has_an_explanation(study: tuple[dict[str, Any], Path]) -> None:
    facts, results = study
    rows = {row.head: row for row in facts["statistics"].rows}
    assert {"difference", "confidence interval", "adjusted p", "p (equivalence)", "minimum detectable effect", "power",
            "variance components", "posterior probabilities"} < set(rows)  # fmt: skip
    assert all(row.explanation for row in rows.values())
    for row in rows.values():
        assert f"<small>{row.explanation}</small>" in page(results)


def test_runs_that_do_not_differ_have_no_interval_of_their_own(tmp_path: Path) -> None:
    same = {"none-plain": 0.8, "oversample-plain": 1.0, "cgan-plain": 1.0}
    parameters, places = finished(tmp_path, Study(accuracy=same))
    facts = report(parameters, places, similarities(places.data, parameters.generators))
    rows = {row.head: row.cells for row in facts["statistics"].rows}
    assert rows["confidence interval, fixed test set"] == ["–"]
    assert rows["difference"] == ["0.00"]
    assert facts["main"][0]["answer"] == "We cannot tell whether GAN images help."
    assert "No gain that matters is possible here: the control reaches 100.00%" in facts["main"][0]["sentences"][2]


def test_the_interval_for_new_test_images_is_never_narrower_than_that_for_these(
    several: tuple[dict[str, Any], Path],
) -> None:
    compared = read_json(several[1] / "comparison.json")["contrasts"]
    assert all(
        contrast["low"] <= max(contrast["fixed_low"], -1) and contrast["high"] >= min(contrast["fixed_high"], 1)
        for contrast in compared
    )


def test_no_cell_holds_an_impossible_gain(several: tuple[dict[str, Any], Path]) -> None:
    facts, _ = several
    largest = 100 * facts["main"][0]["largest_possible"]
    rows = {row.head: row.cells[0] for row in facts["statistics"].rows}
    assert facts["main"][0]["detectable"] > facts["main"][0]["largest_possible"]
    assert rows["minimum detectable effect"] == f"more than is possible ({largest:.1f} points)"
    for name in ("confidence interval", "confidence interval, fixed test set", "equivalence interval"):
        assert float(re.split(" to | \\(", rows[name])[1]) <= largest + 0.005


def test_no_zero_has_a_sign_and_no_one_is_in_the_plural(several: tuple[dict[str, Any], Path]) -> None:
    _, results = several
    for name in ("report.html", "report.md"):
        text = re.sub(r"<svg.*?</svg>", "", (results / name).read_text(encoding="utf-8"), flags=re.DOTALL)
        assert not re.search(r"[-+−]0\.0+(?!\d)", text)
        assert not re.search(r"(?<![\d.,+-])1 (points|runs|test images|images|groups|classes)", text)


def test_every_row_of_dots_has_its_own_band() -> None:
    values = pd.DataFrame({f"arm {k}": [80.0, 81, 82, 83, 84] for k in range(5)})
    (axes,) = plots.arms(values, "accuracy").axes
    bands = sorted((band.get_extents().y0, band.get_extents().y1) for band in axes.patches)
    in_rows = axes.transData.transform([(0, -0.5), (0, 0.5)])  # pixels; the axis points down
    assert len(bands) == 3
    assert bands[-1] == pytest.approx(sorted(in_rows[:, 1]))
    for row, dots in enumerate(axes.collections):
        heights = np.asarray(dots.get_offsets())[:, 1]
        assert (abs(heights - row) < 0.5).all()
    assert list(axes.get_yticks()) == [0, 1, 2, 3, 4]


def test_a_class_that_is_called_like_a_script_is_shown_and_not_run(study: tuple[dict[str, Any], Path]) -> None:
    _, results = study
    read = Reader(page(results))
    assert "script" not in {tag for tag, _ in read.tags}
    assert EVIL in read.texts
    markdown = (results / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown
    rows = [line for line in markdown.splitlines() if line.startswith("| a&#124;b &#42;c&#42; &#95;d&#95; |")]
    assert len(rows) == 2  # of the table of the classes, and of that of their differences in recall


def test_markdown_tables_have_as_many_cells_in_every_row(study: tuple[dict[str, Any], Path]) -> None:
    _, results = study
    tables = re.findall(r"(?:^\|.*\|\n)+", (results / "report.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(tables) == 6
    for table in tables:
        lines = table.splitlines()
        assert len({line.count("|") for line in lines}) == 1, table
        assert set(lines[1]) <= set("|-")


def test_the_page_is_self_contained_and_small(study: tuple[dict[str, Any], Path]) -> None:
    _, results = study
    for tag, attributes in Reader(page(results)).tags:
        for name in ("src", "href", "xlink:href", "srcset", "action"):
            value = attributes.get(name)
            assert value is None or value.startswith(("data:", "#")), (tag, value)
    assert not re.search(r"url\((?!#)", page(results))
    assert (results / "report.html").stat().st_size < 1_000_000


def test_images_have_names_and_tables_have_captions_and_headers(study: tuple[dict[str, Any], Path]) -> None:
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
            report(
                parameters,
                Places(places.data, places.models, places.runs, places.results, logs),
                similarities(places.data, parameters.generators),
            ),
            places.results,
        )
        written.append(page(places.results))
    assert written[0] == written[1]
    assert "12.5" not in written[0]
    assert "12.5" in written[2]


def test_machine_and_versions_are_those_that_trained_the_models(
    study: tuple[dict[str, Any], Path], tmp_path: Path
) -> None:
    assert "<p>cuda in bfloat16, 3 threads for each replicate. numpy 2.0.1, torch 2.99.0.</p>" in page(study[1])
    parameters, places = small_study(tmp_path)
    path = places.runs / "cgan-plain/replicates/replicate_0/record.json"
    write_json(path, {**RECORD, "versions": {"torch": "3.0.0"}})
    write_report(report(parameters, places, similarities(places.data, parameters.generators)), places.results)
    assert "none-plain, oversample-plain: cuda in bfloat16" in page(places.results)
    assert "cgan-plain: cuda in bfloat16, 3 threads for each replicate. torch 3.0.0." in page(places.results)


def test_a_missing_output_of_a_stage_is_named(tmp_path: Path) -> None:
    parameters, places = small_study(tmp_path)
    (places.results / "comparison.json").unlink()
    with pytest.raises(BadInput, match=r"comparison\.json is missing: run compare first"):
        report(parameters, places, similarities(places.data, parameters.generators))


def test_each_tested_contrast_shows_the_recalls_of_all_classes_with_intervals_that_are_called_exploratory(
    several: tuple[dict[str, Any], Path],
) -> None:
    facts, results = several
    stored = pd.read_csv(results / "classes.csv").set_index(["arm", "class"])
    assert [entry["arm"] for entry in facts["gains"]] == [row["arm"] for row in (*facts["main"], *facts["others"])]
    for entry in facts["gains"]:
        rows = entry["gains"].table.rows
        assert {row.head for row in rows} == {"forty", "thirty", "two"}
        gains = [stored.loc[(entry["arm"], row.head), "gain"] for row in rows]
        assert gains == sorted(gains, reverse=True)
        for row, (low, gain, high) in zip(rows, entry["gains"].intervals, strict=True):
            assert 0 <= low <= gain <= high <= 100
            scale = float(entry["gains"].limit)
            assert (gain - 50) / 50 * scale == pytest.approx(float(row.cells[3]), abs=0.2)
    for name in ("report.html", "report.md"):
        text = (results / name).read_text(encoding="utf-8")
        assert "They are exploratory, and not the tested verdict." in text
        assert all(f"on test images: {entry['arm']} minus {entry['reference']}" in text for entry in facts["gains"])


def test_of_many_classes_those_with_the_largest_differences_are_shown() -> None:
    gains = np.linspace(-0.2, 0.1, 40)
    rows = pd.DataFrame({"arm": "a", "reference": "b", "class": [f"class {k}" for k in range(40)], "images": 5})
    shown = tables.class_gains(
        rows.assign(recall=0.5, reference_recall=0.5, gain=gains, low=gains - 0.2, high=gains + 0.3)
    ).table
    assert (
        shown.caption
        == "recall of the 30 of 40 classes with the largest absolute differences on test images: a minus b"
    )
    chosen = sorted(range(40), key=lambda k: -abs(gains[k]))[:30]
    assert [row.head for row in shown.rows] == [f"class {k}" for k in sorted(chosen, reverse=True)]


def test_a_class_without_test_images_has_no_row_and_is_named(tmp_path: Path) -> None:
    names = ("some", "none & <i>", "others")
    parameters, places = finished(tmp_path, Study(test=(20, 0, 20), names=names))
    facts = report(parameters, places, similarities(places.data, parameters.generators))
    write_report(facts, places.results)
    assert [row.head for row in facts["gains"][0]["gains"].table.rows] in (["some", "others"], ["others", "some"])
    assert "Without test images, and therefore not listed: none &amp; &lt;i&gt;." in page(places.results)
    assert "Without test images, and therefore not listed: none &#38; &#60;i&#62;." in (
        places.results / "report.md"
    ).read_text(encoding="utf-8")


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


def resize(browser: Any, width: int) -> None:
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride", {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    )


@needs_browser
@pytest.mark.parametrize("width", [360, 390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_a_request_an_error_or_a_text_that_runs_over(
    width: int, scheme: str, browser: Chrome, study: tuple[dict[str, Any], Path]
) -> None:
    facts, results = study
    resize(browser, width)
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    _log(browser, "performance")  # forget what came before
    browser.get((results / "report.html").as_uri())
    assert facts["main"][0]["answer"] in browser.find_element("css selector", ".verdict").text
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


@needs_browser
@pytest.mark.parametrize("name", ["study", "several"])
def test_a_phone_shows_all_of_it_without_scrolling_sideways(
    name: str, browser: Chrome, request: pytest.FixtureRequest
) -> None:
    _, results = request.getfixturevalue(name)
    resize(browser, 390)
    browser.get((results / "report.html").as_uri())
    over = browser.execute_script(
        """document.querySelectorAll('details').forEach(e => e.open = true)
           return [...document.querySelectorAll('body *')].filter(e => !e.closest('svg, thead')
           && (e.getBoundingClientRect().right > innerWidth + 1 || e.scrollWidth > e.clientWidth + 1 && e.clientWidth))
           .map(e => e.outerHTML.slice(0, 80))"""
    )
    assert over == []


@needs_browser
@pytest.mark.parametrize("width", [390, 1280])
def test_images_are_below_their_headings(width: int, browser: Chrome, several: tuple[dict[str, Any], Path]) -> None:
    resize(browser, width)
    browser.get((several[1] / "report.html").as_uri())
    cells = browser.execute_script(
        """const text = document.createRange()
           const left = head => (text.selectNodeContents(head), text.getBoundingClientRect().left)
           return [...document.querySelectorAll('.images tbody td')].map(cell => {
             const head = cell.closest('table').querySelectorAll('thead th')[cell.cellIndex]
             const label = getComputedStyle(cell, '::before')
             return { head: left(head), name: head.textContent, label: label.content, display: label.display,
                      image: cell.querySelector('img').getBoundingClientRect().left,
                      cell: cell.getBoundingClientRect().left } })"""
    )
    changed = sum(len(entry["changes"]["rows"]) for entry in several[0]["gains"])
    assert len(cells) == 2 * 3 * 3 + 2 * changed
    for cell in cells:
        if width > 640:
            assert cell["image"] == pytest.approx(cell["head"], abs=1)
        else:
            assert cell["label"] == f'"{cell["name"]}"'
            assert cell["display"] == "block"
            assert cell["image"] == pytest.approx(cell["cell"], abs=1)


def test_choices_are_a_table_and_a_picture_with_the_chosen_ones_marked(tmp_path: Path) -> None:
    changes = {"generators": ["cgan", "smote"], "unions": ["cgan+smote"], "classifier": {"steps": [5, 9]}}
    parameters, places = finished(tmp_path, Study(changes))
    arms = [Arm.named(f"{name}-plain") for name in ("none", "oversample", "cgan", "smote", "cgan+smote")]
    scores = {arm: {5: (0.5, 0.6), 9: (0.7, 0.75)} for arm in arms}
    choices = Choices(arms[1], {**dict.fromkeys(arms, 9), arms[0]: 5}, scores)
    facts = report(parameters, places, similarities(places.data, parameters.generators), choices)
    write_report(facts, places.results)
    rows = {row.head: row.cells for row in facts["choices"].rows}
    assert list(rows) == [f"{arm}{' (the chosen control)' if arm == arms[1] else ''}" for arm in arms]
    assert rows["none-plain"] == ["55.00 ± 7.07 ← chosen", "72.50 ± 3.54"]
    assert rows["cgan+smote-plain"] == ["55.00 ± 7.07", "72.50 ± 3.54 ← chosen"]
    html, markdown = ((places.results / f"report.{kind}").read_text(encoding="utf-8") for kind in ("html", "md"))
    for text in (html, markdown):
        verdict, rest = text.split("What was compared", 1)
        assert "cgan+smote-plain: " in verdict  # all tested arms are on the first screen
        assert "smote-plain: " in verdict
        assert "Choices on validation images" in rest
    assert "steps (circled: chosen)" in html


def test_without_choices_the_report_has_no_section_for_them(study: tuple[dict[str, Any], Path]) -> None:
    facts, results = study
    assert facts["choices"] is facts["budgets_plot"] is None
    assert 'id="choices"' not in (results / "report.html").read_text(encoding="utf-8")


def test_a_family_that_alters_training_images_is_not_reported_as_memorising(
    several: tuple[dict[str, Any], Path],
) -> None:
    facts, _ = several
    notes = {family["name"]: family["quality"].note for family in facts["families"]}
    assert notes["cgan"] == ""
    assert "by construction, and no sign of memorisation" in notes["smote"]


def test_assessments_are_a_section_with_alerts_measures_classes_and_pictures(tmp_path: Path) -> None:
    parameters, places = finished(tmp_path, Study({"assess": {"families": ["cgan"]}}))
    assert report(parameters, places, similarities(places.data, ["cgan"]))["assessments"] == []  # not written yet
    folder = places.results / "assessment" / "cgan"
    folder.mkdir(parents=True)
    measures = [
        {"name": "precision", "title": "precision", "explanation": "inside", "generated": 0.25, "real": 0.5},
        {"name": "membership", "title": "membership", "explanation": "AUC", "generated": 0.7, "low": 0.6, "high": 0.8},
    ]
    assessment = {
        "family": "cgan", "classes": CLASSES, "features": "values", "measures": measures, "notes": ["a note"],
        "alerts": [f"cgan: images of {EVIL}"], "by_class": {"precision": {"generated": [0.25, None, 120.4]}},
        "discriminator": {"train": 0.125, "validation": 0.5, "generated": 0.25},
    }  # fmt: skip
    write_json(folder / "assessment.json", assessment)
    for name in ("closest.png", "ranked.png"):
        Image.new("RGB", (1600, 20)).save(folder / name)
    write_report(report(parameters, places, similarities(places.data, ["cgan"])), places.results)
    read = Reader(page(places.results))
    text = " ".join(" ".join(read.texts).split())
    assert f"Alert: cgan: images of {EVIL}" in text
    assert "error is 12.5% on training images, 50.0% on validation images and 25.0% on generated ones" in text
    for cell in ("0.25", "0.7 (0.60 to 0.80)", "120", "–", "a note"):
        assert cell in read.texts or cell in text, cell
    pictures = [
        attributes for tag, attributes in read.tags if tag == "img" and "For each class" in (attributes["alt"] or "")
    ]
    assert len(pictures) == 1
    markdown = (places.results / "report.md").read_text(encoding="utf-8")
    assert "## Assessment of generated images" in markdown
    assert "<script>" not in markdown


def test_without_assessments_the_report_has_no_section_for_them(study: tuple[dict[str, Any], Path]) -> None:
    facts, results = study
    assert facts["assessments"] == []
    assert "Assessment" not in page(results)
    assert "Assessment" not in (results / "report.md").read_text(encoding="utf-8")


NONE, FILTERED_CGAN = Candidate("oversample", 0.0, ()), Candidate("cgan", 0.25, ("agreement",))


def with_automatic_arm(
    folder: Path, chosen: Candidate, drawn: Mapping[str, Mapping[str, Sequence[Path]]]
) -> tuple[dict[str, Any], Places]:
    """The facts of a study with an automatic arm, which are written as a report."""
    choice = AutomaticChoice(chosen, 12, {NONE: {12: (0.5, 0.6)}}, {}, {})
    choices = Choices(automatic={Arm("auto", "plain"): choice})
    made = Study({"automatic": ["auto"], "choice": {"replicates": 2}}, choices=choices)
    parameters, places = finished(folder, made)
    facts = report(parameters, places, similarities(places.data, parameters.generators), choices, drawn)
    write_report(facts, places.results)
    return facts, places


def test_changed_predictions_of_an_automatic_arm_are_shown_beside_images_that_it_was_trained_on(
    tmp_path: Path,
) -> None:
    own = Split(np.full((6, 8, 8, 1), 77, dtype=np.uint8), np.repeat(np.arange(3), 2), CLASSES)
    write_split(tmp_path / "own", own, {})
    facts, _ = with_automatic_arm(tmp_path, FILTERED_CGAN, {"auto-plain": {"cgan": [tmp_path / "own"]}})
    changes = {entry["arm"]: entry["changes"] for entry in facts["gains"]}
    assert changes["auto-plain"]["heads"][1:] == ["nearest images of cgan"]
    for arm in ("auto-plain", "cgan-plain"):
        shown = {row["nearest"][0] for row in changes[arm]["rows"]}
        assert shown
        pictures = [np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))) for uri in shown]
        assert all((picture[:, :8] == 77).all() == (arm == "auto-plain") for picture in pictures)


def test_an_automatic_arm_without_synthetic_images_has_nothing_to_test(tmp_path: Path) -> None:
    facts, places = with_automatic_arm(tmp_path, NONE, {"auto-plain": {}})
    table = facts["statistics"]
    column = table.heads.index("auto-plain minus oversample-plain") - 1
    verdict, *others = [row.cells[column] for row in table.rows]
    assert verdict == "none chosen"
    assert set(others) == {"–"}
    assert table.note.endswith(" Without synthetic images there is nothing to test: auto-plain.")
    assert [row.cells for row in facts["mcnemar"].rows if row.head.startswith("auto")] == [["–"]]
    assert [entry["arm"] for entry in facts["gains"]] == ["cgan-plain"]
    for kind in ("html", "md"):
        text = (places.results / f"report.{kind}").read_text(encoding="utf-8")
        assert "Without synthetic images, and therefore not listed: auto-plain." in text


def test_what_filters_dropped_is_a_table(tmp_path: Path) -> None:
    parameters, places = finished(tmp_path, Study())
    similar = similarities(places.data, parameters.generators)
    assert report(parameters, places, similar)["filters"] is None

    def dropped(kept: int, **by_filter: int) -> list[dict[str, Any]]:
        full = {"quota": 4, "drawn": 4, "kept": 4, "dropped": dict.fromkeys(by_filter, 0)}
        few = {"quota": 4, "drawn": 1200, "kept": kept, "dropped": by_filter}
        return [{"class": CLASSES[0], **full}, {"class": CLASSES[1], **full}, {"class": CLASSES[2], **few}]

    for k in range(3):
        write_json(
            places.data / f"synthetic/cgan/replicate_{k}/filters.json", dropped(k + 2, agreement=1000, density=9)
        )
    (tmp_path / "own").mkdir()
    write_json(tmp_path / "own/filters.json", dropped(4, novelty=8))
    facts = report(parameters, places, similar, automatic={"auto-plain": {"cgan": [tmp_path / "own"]}})
    table = facts["filters"]
    dropped_by = [f"dropped by {name}" for name in ("agreement", "density", "novelty")]
    assert table.heads == ["images", "drawn", *dropped_by, "kept", "missing"]
    assert {row.head: row.cells for row in table.rows} == {
        "cgan, all classes": ["3,624", "3,000", "27", "–", "33", "3"],
        "cgan, class “nan”": ["3,600", "3,000", "27", "–", "9", "3"],
        "cgan, for auto-plain, all classes": ["1,208", "–", "–", "8", "12", "0"],
    }
    write_report(facts, places.results)
    for kind in ("html", "md"):
        assert "Filtered images of all runs" in (places.results / f"report.{kind}").read_text(encoding="utf-8")


def test_candidates_of_automatic_arms_are_a_table_with_the_chosen_one_marked(tmp_path: Path) -> None:
    parameters, places = finished(tmp_path, Study())
    none, cgan = Candidate("oversample", 0.0, ()), Candidate("cgan", 0.25, ("agreement",))
    scores = {none: {12: (0.5, 0.6)}, cgan: {12: (0.55, 0.55)}}
    left_out = {Candidate("cgan", 0.5, ()): "beyond the number"}
    choice = AutomaticChoice(none, 12, scores, {cgan: Difference(0.004, 0.05)}, left_out)
    choices = Choices(automatic={Arm("auto", "plain"): choice})
    facts = report(parameters, places, similarities(places.data, parameters.generators), choices)
    write_report(facts, places.results)
    (table,) = facts["automatic"]
    assert {row.head: row.cells for row in table.rows} == {
        "no synthetic images (oversample)": ["55.00 ± 7.07 ← chosen", "–"],
        "cgan, 25% synthetic, filtered by agreement": ["55.00 ± 0.00", "+0.40 ± 5.00"],
    }
    assert table.note.endswith("Not tried: cgan, 50% synthetic (beyond the number).")
    for kind in ("html", "md"):
        text = (places.results / f"report.{kind}").read_text(encoding="utf-8")
        assert "Candidates of auto-plain" in text
        assert "Choices" in text
