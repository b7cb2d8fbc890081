from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pandas as pd
import pytest

from lmim_kedro.registries import METRICS, SECTIONS
from lmim_kedro.reporting.figures import (
    Figures,
    draw_training,
)
from lmim_kedro.reporting.scores import build_scores
from lmim_kedro.reporting.sections import Report, Section, cards, headline, render_page
from lmim_kedro.reporting.shown_readings import choose_readings
from lmim_kedro.reporting.tables import accuracy_table, to_markdown
from lmim_kedro.scoring.analysis import confusions
from lmim_kedro.scoring.metrics import Metric
from lmim_kedro.scoring.protocols import get_protocol

VOID = {"meta", "img", "br", "link", "source", "input"}


class Page(HTMLParser):
    """What a browser would find: elements, links, text; fails on tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self.open):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_no_request_leaves_the_page(inputs: dict[str, Any]) -> None:
    html = render_page(Report(**inputs))
    page = Page(html)
    assert not {"iframe", "object", "embed", "video"} & {tag for tag, _ in page.elements}
    assert not any("src" in script for script in page.all("script"))
    assert all(link["href"] == "data:," for link in page.all("link"))
    assert all(source["srcset"].startswith("data:image/") for source in page.all("source"))
    assert not any("action" in form for form in page.all("form"))
    assert all(image["src"].startswith("data:image/") and image["alt"] for image in page.all("img"))
    assert all(link["href"].startswith("#") for link in page.all("a"))
    assert not re.search(r"https?://|url\(|@import|fetch\(|XMLHttpRequest|import\(", html)
    sections = {section["id"] for section in page.all("section") if "id" in section}
    assert {link["href"].removeprefix("#") for link in page.all("a")} == sections


def test_page_shows_what_made_the_numbers(inputs: dict[str, Any]) -> None:
    text = " ".join(Page(render_page(Report(**inputs))).text.split())
    for shown in (
        "Variant lmim · environment mini · model vit_small · fine-tuning reference · seed 3",
        "paper 97.7",
        "Table 8: six common benchmarks, WAICS in %",
        "svt has 50 crops here; the published test set has 647.",
        "pre-trained on 13,851 crops, fine-tuned on 6,725 labeled crops, seed 3",
        "5 truncated, 2 empty",
        "random, 80 % of the patches",
        '"mask_ratio": 0.8',
        "5 min 0 s",
    ):
        assert shown in text, shown


def test_size_of_a_run_is_that_of_the_crops_that_were_used(inputs: dict[str, Any]) -> None:
    summaries = {use: summary.head(0) for use, summary in inputs["summaries"].items()}
    none = Page(render_page(Report(**inputs | {"summaries": summaries}))).text
    assert "pre-trained on 0 crops, fine-tuned on 0 labeled crops" in " ".join(none.split())


def test_page_shows_where_the_recognizer_goes_wrong(inputs: dict[str, Any]) -> None:
    page = Page(render_page(Report(**inputs)))
    text = " ".join(page.text.split())
    for shown in ("By length, shape and confidence", "Confused characters"):
        assert shown in text, shown
    first = inputs["confusions"].query("kind == 'substitution'").iloc[0]
    times = inputs["confusions"].groupby("kind")["count"].sum()
    assert f"{first['label']}{first['prediction']}{first['count']}{first['share_percent']:.1f} %" in text
    assert f"The most frequent of {times['substitution']} characters read as others" in text
    assert f"; {times.get('deletion', 0)} were left out and {times.get('insertion', 0)} added" in text
    assert f"Expected calibration error: {100 * inputs['scores']['calibration_error']:.1f} points" in text
    assert sum("calibration error" in str(image["alt"]) for image in page.all("img")) == 1


def test_page_without_confidence_shape_or_mistakes_does_without_their_figures(
    inputs: dict[str, Any], predictions: pd.DataFrame, recipe: dict[str, Any], stages: dict[str, pd.DataFrame]
) -> None:
    right = predictions.drop(columns=["confidence", "aspect"]).assign(prediction=predictions["label"])
    inputs |= {
        "scores": build_scores(right, recipe),
        "figures": Figures(draw_training(*stages.values()), None),
        "confusions": confusions(right, "waics"),
    }
    text = Page(render_page(Report(**inputs))).text
    assert "Confused" not in text and "By length" not in text and "calibration error" not in text


def test_metric_added_from_outside_is_shown(
    inputs: dict[str, Any], predictions: pd.DataFrame, recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS._entries))
    METRICS.register("first_letter", Metric("first letter", lambda text: text[:1].lower(), "only that counts"))
    scores = build_scores(predictions, recipe, "first_letter")
    assert scores["accuracy"]["svt"]["first_letter"] == 1
    text = Page(render_page(Report(**inputs | {"scores": scores}))).text
    assert "first letter: only that counts." in text
    assert "svt: first letter 100.00 %" in headline(scores)[0]
    assert "|   first letter |" in to_markdown(accuracy_table(scores), scores)


def test_section_added_from_outside_is_on_the_page_and_in_its_navigation(
    inputs: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SECTIONS, "_entries", dict(SECTIONS._entries))
    SECTIONS.register("speed", Section("Speed", lambda report: f"<h2>Threads: {report.facts['cpu_threads']}</h2>"))
    SECTIONS.register("nothing", Section("Nothing", lambda report: ""))
    html = render_page(Report(**inputs))
    page = Page(html)
    assert [link["href"] for link in page.all("a")][-2:] == ["#machine", "#speed"]
    assert '<section id="speed">\n<h2>Threads: 2</h2>' in html and {"id": "speed"} in page.all("section")
    assert {"id": "nothing"} not in page.all("section")


def test_page_shows_what_the_ready_reader_makes_of_the_same_words(
    inputs: dict[str, Any], predictions: pd.DataFrame, recipe: dict[str, Any], crops: Any
) -> None:
    assert "ready reader" not in Page(render_page(Report(**inputs))).text
    predictions["beside"] = [f"ready{place}" for place in range(len(predictions))]
    predictions.loc[predictions["benchmark"] == "svt", "beside"] = predictions["label"]
    inputs["scores"] = build_scores(predictions, recipe, beside="ready")
    inputs["readings"] = choose_readings(predictions, crops, "waics")
    text = Page(render_page(Report(**inputs))).text
    assert "The ready reader reads the same crops for comparison" in text
    assert "the ready reader 100.0" in text and "the ready reader 0.0" in text
    shown = inputs["readings"].wrong + inputs["readings"].right
    for reading in shown:
        assert "".join(span.text for span in reading.beside) in text.replace("\n", "")


def test_data_card_is_a_section_where_there_is_one(inputs: dict[str, Any], card: pd.DataFrame) -> None:
    assert "Data card" not in Page(render_page(Report(**inputs))).text
    page = Page(render_page(Report(**inputs, data_card=card)))
    assert {"id": "card"} in page.all("section") and {"href": "#card"} in page.all("a")
    text = " ".join(page.text.split())
    assert "street20051.0 (6.0 to 96.0)0 + 70 + 3000é 4, <b> 2" in text
    assert "gone000 + 00 + 0000" in text


def test_labels_are_text_not_markup(inputs: dict[str, Any]) -> None:
    html = render_page(Report(**inputs))
    assert "<b>&amp;</b>" not in html and "&lt;" in html
    assert "<b>&amp;" in "".join(Page(html).text.split())


def test_page_is_the_same_every_time(inputs: dict[str, Any]) -> None:
    assert render_page(Report(**inputs)) == render_page(Report(**inputs))


def test_scratch_run_has_a_page_without_what_it_did_not_do(
    inputs: dict[str, Any], stages: dict[str, pd.DataFrame], recipe: dict[str, Any]
) -> None:
    empty = stages["teacher"].head(0)
    stages = {"teacher": empty, "pre-training": empty, "fine-tuning": stages["fine-tuning"]}
    scratch = recipe | {"variant": "scratch", "pretraining": recipe["pretraining"] | {"method": "none"}}
    inputs |= {
        "recipe": scratch,
        "scores": inputs["scores"] | {"variant": "scratch"},
        "stages": stages,
        "figures": Figures(draw_training(*stages.values()), None),
        "reconstructions": {},
    }
    text = " ".join(Page(render_page(Report(**inputs))).text.split())
    assert "The paper has no row of variant scratch on svt, rendered" in text
    assert "Reconstructions" not in text and "By length" not in text


def test_headline_is_one_line_per_benchmark(inputs: dict[str, Any]) -> None:
    lines = headline(inputs["scores"])
    assert [line.partition(":")[0] for line in lines] == ["svt", "rendered"]
    assert re.fullmatch(r"svt: WAICS \d\d\.\d\d % \(95 %: [\d.]+ to [\d.]+\) of \d\d crops", lines[0])


def test_page_names_the_place_of_each_query_and_shows_every_picture(inputs: dict[str, Any]) -> None:
    page = Page(render_page(Report(**inputs)))
    alts = [image["alt"] for image in page.all("img")]
    assert [alt for alt in alts if str(alt).startswith("attention")][:3] == [
        f"attention of the patch in row 5, column {column}" for column in (7, 15, 26)
    ]
    assert alts.count("masked crop") == alts.count("prediction") == 2
    assert "the pixels that are predicted" in page.text
    similar = {"crops": inputs["reconstructions"]["crops"], "masked": inputs["reconstructions"]["masked"]}
    similar["similarity"] = inputs["attention"]["maps"][:, 0]
    page = Page(render_page(Report(**inputs | {"reconstructions": similar})))
    assert "how near the predicted features come" in page.text


def test_recipe_is_on_the_page_as_json_that_people_can_read(inputs: dict[str, Any]) -> None:
    html = render_page(Report(**inputs | {"scores": inputs["scores"] | {"notes": ["naïve"]}}))
    text = Page(html).text
    assert '\n  "seed": 3,\n' in text and '"naïve"' in text
    assert not re.search(r"\n[ \t]+\n", html) and html.count("\n\n") < 40, "templates leave no empty lines"


def test_page_shows_the_twelve_most_frequent_confusions(inputs: dict[str, Any]) -> None:
    pairs = pd.DataFrame({"label": list("abcdefghijklmn"), "prediction": list("bcdefghijklmno")})
    table = confusions(pd.concat([pairs] * 3, ignore_index=True), "waics")
    text = " ".join(Page(render_page(Report(**inputs | {"confusions": table}))).text.split())
    assert "l: m" in text and "m: n" not in text
    assert "The most frequent of 42 characters read as others; 0 were left out and 0 added." in text


def test_sizes_beside_the_paper_are_those_of_the_language(
    inputs: dict[str, Any], predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    text = " ".join(Page(render_page(Report(**inputs))).text.split())
    assert "a recognizer of 1.1 M parameters, pre-trained on" in text and "35.8 M parameters" in text
    scores = build_scores(predictions.assign(benchmark="scene"), recipe, "chinese")
    text = " ".join(Page(render_page(Report(**inputs | {"scores": scores, "facts": {}}))).text.split())
    assert "43.8 M parameters" in text and "This run: vit_small, pre-trained" in text


def test_spread_of_cls_is_told_for_each_encoder(inputs: dict[str, Any]) -> None:
    own = {"crops": 1200, "width": 384, "cls": {"std": 0.0351, "effective_rank": 10.44}}
    statistics = {"encoder": own, "teacher": None}
    text = Page(render_page(Report(**inputs, cls_statistics=statistics))).text
    assert "over 1,200 benchmark crops: encoder 0.0351 in 10.4 of 384 directions." in text
    assert "Spread and effective rank" not in Page(render_page(Report(**inputs))).text


def test_headline_is_in_percent_and_says_what_cannot_be_scored(recipe: dict[str, Any]) -> None:
    sizes = get_protocol("common_857_1811").sizes
    frames = [pd.DataFrame({"benchmark": name, "label": "a", "prediction": "a"}, range(n)) for name, n in sizes.items()]
    scores = build_scores(pd.concat(frames), recipe | {"variant": "mim"})
    assert headline(scores)[-1] == "common_857_1811 W-Avg: WAICS 100.00 % of 7,248 crops"
    symbols = build_scores(pd.DataFrame({"benchmark": "svt", "label": ["-"], "prediction": ["-"]}), recipe)
    assert headline(symbols) == ["svt: WAICS cannot be scored of 0 crops"]


def test_head_of_the_page_says_when_and_how_the_numbers_were_made_as_far_as_that_is_known(
    inputs: dict[str, Any],
) -> None:
    text = " ".join(Page(render_page(Report(**inputs))).text.split())
    assert "Read on" not in text and "trained for 15 min 0 s" in text
    known = {"date": "2026-11-27 05:06 UTC", "command": "kedro run --env=mini", "commit": "664172ed6723"}
    text = " ".join(Page(render_page(Report(**inputs | {"facts": known}))).text.split())
    assert "Read on 2026-11-27 05:06 UTC trained for 15 min 0 s commit 664172ed6723 kedro run --env=mini" in text


def test_columns_without_content_are_left_out(
    inputs: dict[str, Any], predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    assert "row of the paper" in Page(render_page(Report(**inputs))).text
    assert "median size" in Page(render_page(Report(**inputs))).text
    inputs["scores"] = build_scores(predictions, recipe | {"variant": "mask_density"})
    inputs["summaries"] = {
        use: summary.drop(columns=["median_width", "reasons"]) for use, summary in inputs["summaries"].items()
    }
    page = Page(render_page(Report(**inputs)))
    heads = page.text
    assert "row of the paper" not in heads and "median size" not in heads and "why" not in heads


def test_cards_are_named_by_what_differs_and_averages_say_whose_they_are(
    predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    both = predictions.assign(benchmark=["ic13_857"] * 50 + ["ic13_1015"] * 40)
    assert [(card["title"], card["of"]) for card in cards(build_scores(both, recipe))] == [
        ("857", "ic13"), ("1015", "ic13")]  # fmt: skip
    assert [(card["title"], card["of"]) for card in cards(build_scores(predictions, recipe))] == [
        ("svt", ""), ("rendered", "")]  # fmt: skip
    averages = {"union14m": {"avg": 0.5, "weighted_avg": 0.25, "n": 9, "labels": "original"}}
    scores = build_scores(predictions, recipe) | {"averages": averages}
    assert [(card["title"], card["of"]) for card in cards(scores)[2:]] == [("Avg", "union14m"), ("W-Avg", "union14m")]


def test_a_score_of_zero_says_what_was_read_and_names_its_interval(
    inputs: dict[str, Any], predictions: pd.DataFrame, recipe: dict[str, Any]
) -> None:
    wrong = predictions.assign(prediction=[""] * 50 + ["e"] * 40)
    text = " ".join(Page(render_page(Report(**inputs | {"scores": build_scores(wrong, recipe)}))).text.split())
    assert "crops is right. What is read: nothing in 50 of 50 crops." in text
    assert "crops is right. What is read: the letter `e` and no other." in text
    assert "score interval of Wilson" in text
    assert "Wilson" not in Page(render_page(Report(**inputs))).text


def test_what_is_not_known_of_the_machine_is_left_out(inputs: dict[str, Any]) -> None:
    text = Page(render_page(Report(**inputs))).text
    assert "cpu threads2" in text and "commit" not in text and "parameters1,120,000" in text
