"""What `compare` prints on a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest

from makeweight.comparison.compare import Comparison, compare
from makeweight.comparison.console import show
from makeweight.comparison.sentences import contrast_text
from makeweight.runtime.files import write_json
from tests.support.study import Study, finished, sample_quality

NAMES = ("[bold]", "b", "c")


def shown(folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Comparison, str]:
    parameters, places = finished(folder, Study(test=(2, 30, 40), names=NAMES))
    comparison = compare(parameters, places.runs, places.models)
    capsys.readouterr()
    show(comparison)
    return comparison, capsys.readouterr().out


def test_the_answer_comes_first_and_every_sentence_occurs_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    comparison, output = shown(tmp_path, capsys)
    text = contrast_text(comparison.results[0])
    assert output.startswith(text.answer)
    flowing = " ".join(output.split())
    for sentence in [text.answer, *text.sentences, *comparison.basis, *comparison.explanations.values()]:
        assert flowing.count(" ".join(sentence.split())) == 1, sentence
    assert "“[bold]”" in flowing
    assert "2 other differences estimated, not tested" in flowing


@pytest.mark.parametrize("columns", ["60", "80", "200"])
def test_no_line_is_longer_than_the_terminal_or_80_columns(
    columns: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    _, output = shown(tmp_path, capsys)
    longest = max(len(line) for line in output.splitlines())
    assert longest <= min(80, int(columns))


def test_warnings_about_generated_images_stand_below_the_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters, places = finished(tmp_path, Study(test=(2, 30, 40), names=NAMES))
    write_json(places.models / "cgan/sample_quality.json", sample_quality("cgan", NAMES, diversity=0.2))
    comparison = compare(parameters, places.runs, places.models)
    capsys.readouterr()
    show(comparison)
    flowing = " ".join(capsys.readouterr().out.split())
    assert flowing.index("Warnings cgan: generated images of 3 classes vary") < flowing.index("What was compared")
    assert "“[bold]” (0.20)" in flowing
