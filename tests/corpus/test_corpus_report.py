"""What is told of an aligned corpus: as text, as a page, as a plot."""

from html.parser import HTMLParser

import pytest
from corpus_clips import FakeAligner

from transformers_qwen3_asr.cli.main import main
from transformers_qwen3_asr.corpus import CorpusFolder, CorpusRow, align_corpus, read_report
from transformers_qwen3_asr.corpus.report_pictures import plot_report, report_page

HOSTILE = '<script>alert("a")</script>&amp;\u202e'
EMPTY = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "table", "tr", "th", "td", "svg", "rect"}


@pytest.fixture
def corpus(tmp_path):
    rows = [CorpusRow(f"row {number}", text="bad" if number % 10 == 3 else "one") for number in range(60)]
    rows[1] = CorpusRow(HOSTILE, text=HOSTILE)
    rows[3] = CorpusRow("row 3", text="bad", error=HOSTILE)
    with CorpusFolder(tmp_path / "out") as out:
        out.begin({"source": HOSTILE, "limit": None})
        align_corpus(rows, out, FakeAligner(), shard_rows=25)
    return tmp_path / "out"


def test_figures(corpus):
    report = read_report(corpus, worst=2)
    assert (report.aligned, report.failed, report.fits, report.scores[9]) == (54, 6, 54, 54)
    assert report.audio_seconds == 60.0 and report.seconds == pytest.approx(6.0)
    assert report.kinds == {"alignment": 6} and len(report.examples["alignment"]) == 3
    assert report.examples["alignment"][1] == ("row 13", "it fails")
    assert [row[1] for row in report.worst] == [HOSTILE, "row 0"] and report.complete
    table = report.table()
    assert "54 aligned, 6 failed (complete)" in table and "10.0 audio seconds a second" in table
    assert report.manifest == {"version": 1, "source": HOSTILE, "limit": None}


class Elements(HTMLParser):
    def __init__(self):
        super().__init__()
        self.names, self.texts, self.attributes = [], [], set()

    def handle_starttag(self, tag, attributes):
        self.names.append(tag)
        self.attributes |= {name for name, _ in attributes}

    def handle_data(self, data):
        self.texts.append(data)


def test_the_page_shows_texts_as_texts_and_loads_nothing(corpus):
    page = report_page(read_report(corpus))
    elements = Elements()
    elements.feed(page)
    assert set(elements.names) <= EMPTY
    assert not elements.attributes & {"src", "href", "style", "onclick", "onload"}
    assert "default-src 'none'" in page and "\u202e" not in page
    shown = HOSTILE.replace("\u202e", "⟨U+202E⟩")
    # the title, the heading, what was asked for, the row's id and its text, an error
    assert sum(shown in text for text in elements.texts) == 6
    assert elements.names.count("rect") == 11  # ten bins, one kind


def test_a_page_and_a_plot_of_nothing(tmp_path):
    pytest.importorskip("matplotlib")
    with CorpusFolder(tmp_path / "out") as out:
        out.begin({})
        out.end({})
    report = read_report(tmp_path / "out")
    assert "0 aligned, 0 failed (complete)" in report.table()
    assert "Scores" not in report_page(report)
    assert plot_report(report, tmp_path / "x.svg").stat().st_size > 1000


def test_the_command_writes_what_is_asked_for(corpus, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    assert main(["corpus-report", str(corpus), "--html", f"{tmp_path}/x.html", "--plot", f"{tmp_path}/x.png"]) == 0
    assert "54 aligned" in capsys.readouterr().out
    assert (tmp_path / "x.html").read_text("utf-8") == report_page(read_report(corpus))
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--html", "{out}/rank-00000/000000.parquet"], "would be written over an input"),
        (["--html", "{tmp}/x.pdf"], "known are .html"),
        (["--html", "{tmp}"], "is a folder"),
        (["--plot", "{tmp}/x.txt"], "a plot"),
        (["--plot", "{tmp}/x.png", "--html", "{tmp}/x.png"], "are the same file"),
        (["--html", "{out}/manifest.json/x.html"], "is no folder"),
        (["--worst", "0"], "--worst"),
    ],
)
def test_what_is_refused_is_one_line(arguments, message, corpus, tmp_path, capsys):
    arguments = [argument.format(out=corpus, tmp=tmp_path) for argument in arguments]
    try:
        status = main(["corpus-report", str(corpus), *arguments])
    except SystemExit as exit:
        status = exit.code
    captured = capsys.readouterr()
    assert status == 2 and captured.out == ""
    [line] = captured.err.splitlines()
    assert line.startswith("qwen3-asr corpus-report: error: ") and message in line
