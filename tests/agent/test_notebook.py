"""The notebook as people read it, in the terminal, as JSON and as a page; and what they tell it."""
import json
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent import memory, notebook
from agent.claims import Claim, Prediction
from agent.cli.main import main
from search.store.archive import Archive
from tests.agent.ideas import WITH_ABS, archive_of, control, failed, idea
from tests.search.made import dense

EVIL = "</p><script>alert(1)</script> & \"quotes\""


@dataclass(frozen=True)
class Vortex:
    """The command, in this process."""

    folder: Path
    capture: pytest.CaptureFixture[str]

    def __call__(self, *words: str) -> tuple[int | str | None, str, str]:
        """Exit code, stdout, stderr."""
        with pytest.raises(SystemExit) as end:
            main(["notebook", *words, "--db", str(self.folder / "made.db")])
        return end.value.code, *self.capture.readouterr()


@pytest.fixture
def vortex(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Vortex:
    return Vortex(tmp_path, capsys)


@pytest.fixture
def filled(tmp_path: Path) -> Archive:
    archive, known = archive_of(tmp_path, [dense(), control(), idea(3, 140, 3.0, text=WITH_ABS, hypothesis=EVIL),
                                           failed(4), failed(5)])
    memory.hold(archive, known[3], Claim(mechanism=EVIL, prediction=(Prediction("accuracy", "up", 0.02),), refuted_by="no gain"))
    return archive


class Tags(HTMLParser):
    """What a browser would see: tags, addresses, and the text between."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str | None] = []
        self.words = ""
        self.open = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.open += tag in ("article", "table", "h1", "h2", "p", "small", "b")
        self.addresses += [value for name, value in attrs if name in ("src", "href")]

    def handle_endtag(self, tag: str) -> None:
        self.open -= tag in ("article", "table", "h1", "h2", "p", "small", "b")

    def handle_data(self, data: str) -> None:
        self.words += data


def test_the_page_shows_verdicts_and_text_of_others_stays_text(filled: Archive) -> None:
    seen = Tags(notebook.page(notebook.read(filled, "made")))
    assert "script" not in seen.tags and seen.addresses == [] and seen.open == 0
    assert EVIL in seen.words
    for said in ("3 hypotheses: 1 supported, 2 untested", "predicted accuracy up by 0.02: supported", "no gain",
                 "Anti-patterns", "adds abs in the cache"):
        assert said in seen.words, said
    filled.close()


def test_the_terminal_shows_each_kind_and_how_it_was_measured(filled: Archive) -> None:
    text = notebook.text(notebook.read(filled, "made"))
    assert text.startswith("made  3 hypotheses: 1 supported, 2 untested\n\nHypotheses\n")
    assert "supported against 2; predicted accuracy up by 0.02: supported, accuracy +0.200 [" in " ".join(text.split())
    assert "\n\nAnti-patterns: what did not work\n" in text
    assert "  adds abs in the cache: 2 of 3 ended at numerics: differs" in text
    assert max(map(len, text.splitlines())) <= 200
    filled.close()


def test_only_one_kind_is_shown_where_one_is_asked_for(filled: Archive) -> None:
    book = notebook.read(filled, "made", "anti-pattern")
    assert {memo.kind for memo in book.memos} == {"anti-pattern"}
    filled.close()


def test_a_campaign_that_learned_nothing_says_so(tmp_path: Path) -> None:
    archive, _ = archive_of(tmp_path, [dense()])
    assert notebook.text(notebook.read(archive, "made")) == "campaign made: nothing is noted yet"
    archive.close()


def test_people_add_pin_veto_and_steer(filled: Archive, vortex: Vortex) -> None:
    filled.close()
    _, out, _ = vortex("made", "--steer", "Fewer  bytes.", "--add", "question", "Is recency enough?", "--json")
    told = {one["text"]: one for one in json.loads(out)["notes"]}
    assert (told["Fewer bytes."]["kind"], told["Is recency enough?"]["kind"]) == ("steer", "question")
    number = str(told["Is recency enough?"]["id"])
    for words, marks in ((["--pin", number], (True, False)), (["--veto", number], (False, True)),
                         (["--unveto", number], (False, False)), (["--pin", number], (True, False)),
                         (["--unpin", number], (False, False))):
        notes = json.loads(vortex("made", *words, "--json")[1])["notes"]
        assert next((one["pinned"], one["vetoed"]) for one in notes if str(one["id"]) == number) == marks


def test_json_holds_claim_and_verdict(filled: Archive, vortex: Vortex) -> None:
    filled.close()
    notes = json.loads(vortex("--kind", "hypothesis", "--json")[1])["notes"]
    first = next(one for one in notes if one["verdict"]["ruling"] == "supported")
    assert first["claim"] == {"mechanism": EVIL, "prediction": [["accuracy", "up", 0.02]], "refuted_by": "no gain"}
    assert first["verdict"]["findings"][0]["change"]["estimate"]["value"] == pytest.approx(0.2)


@pytest.mark.parametrize(("words", "said"), [
    (["made", "--add", "rumour", "x"], "there is no note of kind 'rumour'"),
    (["made", "--steer", "x" * 5000], "a note of 5,000 characters"),
    (["made", "--add", "question", " "], "a note of 0 characters"),
    (["made", "--pin", "999"], "campaign made has no note 999"),
    (["mode"], "there is no campaign 'mode'"),
    (["made", "--html", "nowhere/page.html"], "cannot write nowhere/page.html"),
])
def test_a_mistake_is_one_message(filled: Archive, vortex: Vortex, words: list[str], said: str) -> None:
    filled.close()
    code, out, told = vortex(*words)
    assert (code, out) == (2, "")
    assert said in told


def test_the_page_is_written_where_it_is_asked_for(filled: Archive, vortex: Vortex) -> None:
    filled.close()
    _, out, _ = vortex("made", "--html", str(vortex.folder / "page.html"))
    assert out == f"page: {vortex.folder / 'page.html'}\n"
    assert (vortex.folder / "page.html").read_text().startswith("<!doctype html>")
