"""The HTML page: what it says, that it is safe and self-contained, and how it behaves in a real browser."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import made_up
import pandas as pd
import pytest

from robustprune.policy.policy import Policy, judge
from robustprune.report import figures
from robustprune.report.html import Card, Picture, Section, inline_svg, render
from robustprune.report.pictures import suite_pictures
from robustprune.report.table import comparison
from robustprune.report.verdicts import verdict_view
from robustprune.report.views import check_rows, table_view, typeset

CHROMIUM = Path("/usr/bin/chromium")
EVIL = '</td><script>document.title = "owned"</script><img src="x" onerror="document.title=1">'
POLICY = Policy(max_clean_drop=0.05, max_robust_drop=0.08)


@pytest.fixture(scope="module")
def cases():
    found = made_up.whole_suite(n=60, seeds=(0, 1))
    return [*found[:-1], replace(found[-1], strategy=EVIL, trust="SUSPECT", checks=made_up.checks(c9="fail"))]


@pytest.fixture(scope="module")
def page(cases):
    verdicts = [judge(case, cases[0], POLICY) for case in cases[1:]]
    section = Section(
        title="Newly broken",
        paragraphs=(EVIL,),
        table=pd.DataFrame({"sample": [3, 20, 100], "class": ["cat", EVIL, "car"]}),
        cards=(Card(title="Rule 1", text=EVIL, source="a standard", lists={"evidence for it": [EVIL] * 3, "gap": []}),),
    )
    return render(
        "Suite & <review>",
        cases,
        verdicts=verdicts,
        policy=POLICY,
        pictures=suite_pictures(cases),
        facts={"blocks gone": EVIL},
        sections=[section],
    )


def test_the_verdict_stands_before_the_table_the_pictures_and_the_evidence(page):
    places = [
        page.index(f'id="{name}"')
        for name in ("verdict", "comparison", "pictures", "evidence", "environment", "reading")
    ]
    assert places == sorted(places)


def test_many_verdicts_are_folded_by_their_result_and_long_tables_scroll(cases):
    """Each network is named in the fold of its own result, once."""
    parent, many = (
        cases[0],
        [
            replace(case, case=f"{case.case}-{i}", strategy=f"{case.strategy}-{i}")
            for i in range(8)
            for case in cases[1:6]
        ],
    )
    verdicts = [judge(case, parent, POLICY) for case in many]
    page = render("Many", [parent, *many], verdicts=verdicts, policy=POLICY)
    first = page[page.index('id="verdict"') : page.index('id="comparison"')]
    folds = first.split('<details class="many">')[1:]
    assert len(folds) == len({one.verdict for one in verdicts})
    for fold in folds:
        own = [one for one in verdicts if f"</span> {one.case}</summary>" in fold]
        assert own
        assert f"all {len(own)}</summary>" in fold
        assert {one.verdict for one in own} == {own[0].verdict}
    assert 'class="scroll long"' in page
    few = render("Few", cases[:6], verdicts=verdicts[:5], policy=POLICY)
    assert 'class="many"' not in few
    assert 'class="scroll long"' not in few


def test_one_verdict_is_told_in_full(cases):
    verdict = judge(cases[5], cases[0], POLICY)
    page = render("Review", [cases[0], cases[5]], verdicts=[verdict], policy=POLICY)
    first = page[page.index('id="verdict"') : page.index('id="comparison"')]
    assert f"<strong>{cases[5].case}</strong> in place of <strong>{cases[0].case}</strong>" in first
    for finding in verdict.findings:
        assert finding.measure in first
    assert "max_robust_drop" in first
    assert "0.08" in first


def test_without_a_policy_that_is_said(cases):
    assert "No policy was applied" in render("Suite", cases)


def picture():
    points = [figures.Point(eps=0, k=9, n=10), figures.Point(eps=0.1, k=1, n=10)]
    return Picture(title="Curve", figure=figures.over_eps({"a": points}), alt="a curve that falls")


def test_the_page_is_the_same_when_made_again_and_reaches_for_nothing(page, cases):
    twice = [render("Suite", cases[:2], pictures=[picture()]) for _ in range(2)]
    assert twice[0] == twice[1]
    outside = re.findall(r'(?:src|href)="(?!#|data:)[^"]*"|url\((?!#)[^)]*\)|@import', page)
    assert [one for one in outside if "http" in one] == []
    assert "default-src 'none'" in page


def test_names_from_files_cannot_become_markup(page):
    assert "<script>document.title" not in page
    assert "<img" not in page
    assert "Suite &amp; &lt;review&gt;" in page


def test_ids_are_unique_although_pictures_share_theirs(page):
    ids = re.findall(r'\sid="([^"]+)"', page)
    in_pictures = [one for one in ids if re.match(r"p\d+-", one)]
    assert len(set(ids) - set(in_pictures)) == len(ids) - len(in_pictures)
    assert {one.split("-")[0] for one in in_pictures} == {f"p{n}" for n in range(1, 8)}
    for target in re.findall(r'(?:url\(|xlink:href=")#([^)"]+)', page):
        assert target in ids


def test_an_inline_picture_has_a_name_no_size_and_the_pages_ink():
    svg = inline_svg(picture().figure, 'falls "fast" <&', "p1")
    head = svg[: svg.index(">")]
    assert 'role="img"' in head
    assert 'aria-label="falls &#34;fast&#34; &lt;&amp;"' in head
    assert "viewBox" in head
    assert " width=" not in head
    assert "min-width:443px" in head  # 5.8 in are 417.6 units, in which the ticks, the smallest, are 8.5
    assert "var(--ink)" in svg
    assert "<style" not in svg


def test_cells_carry_the_number_to_sort_by(cases):
    frame = comparison(cases)
    view = table_view(frame)
    titles = [head["title"] for head in view["heads"]]
    assert titles[:5] == ["model", "strategy", "blocks removed", "worst case %", "change, worst case"]
    column = titles.index("worst case %")
    assert [float(row["cells"][column]["sort"]) for row in view["rows"]] == frame["worst case"].tolist()
    assert view["rows"][0]["parent"]
    assert view["rows"][0]["cells"][titles.index("change, worst case")]["sort"] == ""


def test_marks_of_an_interval_lie_in_order_on_the_scale(cases):
    for finding in verdict_view(judge(cases[7], cases[0], POLICY))["findings"]:
        place = finding["place"]
        if place:
            assert 0 <= place["low"] <= place["middle"] <= place["high"] <= 100
            assert 0 <= place["margin"] < place["zero"] <= 100
            passed = place["low"] > place["margin"]
            assert passed == (finding["verdict"] == "PASS")


def test_checks_are_folded_with_failures_first(cases):
    first, *others = check_rows(cases)
    assert (first["number"], first["status"], first["fail"], first["pass"]) == (9, "fail", 1, 0)
    assert [row["status"] for row in others] == ["skipped", "pass"]
    assert others[1]["pass"] == len(cases) - 1


def test_a_check_counts_once_a_case_by_the_worst_of_its_threat_models():
    seen = [("a", ["pass", "pass"]), ("b", ["pass", "fail"]), ("c", ["skipped", "pass"])]
    some = [
        made_up.case([True], case=name, checks=[one for status in each for one in made_up.checks(c26=status)])
        for name, each in seen
    ]
    (row,) = check_rows(some)
    assert (row["fail"], row["skipped"], row["pass"]) == (1, 1, 1)
    assert len(row["seen"]) == 6


def test_minus_signs_are_set_only_before_numbers():
    assert typeset("PGD-20 [-3.1, +2.0] a-b 1e-5") == "PGD-20 [\u22123.1, +2.0] a-b 1e-5"


@pytest.fixture(scope="module")
def browser():
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if not CHROMIUM.exists():
        pytest.skip(f"no chromium at {CHROMIUM}")
    flags = [
        "--no-sandbox",
        "--disable-gpu",
        "--disable-background-networking",
        "--disable-component-update",
        "--no-first-run",
    ]
    with playwright.sync_playwright() as started:
        running = started.chromium.launch(executable_path=str(CHROMIUM), args=flags)
        yield running
        running.close()


@pytest.fixture
def opened(browser, page, tmp_path):
    """Open the page, and collect what it complains about and what it asks for."""
    file = tmp_path / "page.html"
    file.write_text(page, encoding="utf-8")
    tab = browser.new_page(viewport={"width": 1200, "height": 900})
    tab.noticed = []
    tab.on("console", lambda message: tab.noticed.append(message.text))
    tab.on("pageerror", lambda error: tab.noticed.append(str(error)))
    tab.on("request", lambda request: tab.noticed.append(request.url) if request.url != file.as_uri() else None)
    tab.goto(file.as_uri())
    yield tab
    tab.close()


def column_of(tab, title):
    """The column's sort values from top to bottom."""
    return tab.evaluate(
        """title => { const t = document.querySelector('#comparison table');
        const i = [...t.tHead.rows[0].cells].findIndex(c => c.textContent.trim() === title);
        return [...t.tBodies[0].rows].map(r => r.cells[i].dataset.sort); }""",
        title,
    )


def test_the_browser_has_nothing_to_complain_about_and_shows_every_picture(opened):
    boxes = opened.evaluate(
        "[...document.querySelectorAll('figure svg')].map(s => { const b = s.getBoundingClientRect();"
        " return [b.width, b.height, s.getAttribute('aria-label'), s.querySelectorAll('path').length]; })"
    )
    assert len(boxes) == 7
    assert all(width > 300 and height > 80 and label and marks > 10 for width, height, label, marks in boxes)
    assert opened.title() == "Suite & <review>"
    assert opened.noticed == []


def test_the_table_sorts_by_mouse_and_keyboard(opened):
    before = [float(value) for value in column_of(opened, "worst case %")]
    button = opened.locator("#comparison thead button", has_text="worst case %").first
    button.click()
    rising = [float(value) for value in column_of(opened, "worst case %")]
    assert rising == sorted(before)
    button.press("Enter")
    assert [float(value) for value in column_of(opened, "worst case %")] == sorted(before, reverse=True)
    assert opened.locator("#comparison th[aria-sort]").count() == 1
    opened.locator("#comparison thead button", has_text="change, clean").click()
    changes = column_of(opened, "change, clean")
    assert changes[-1] == ""
    assert [float(value) for value in changes[:-1]] == sorted(float(value) for value in changes[:-1])
    assert opened.noticed == []


def test_what_a_number_is_worth_is_seen_beside_it(opened):
    opened.set_viewport_size({"width": 1280, "height": 900})
    titles = opened.locator("#comparison thead").first.locator("th").all_inner_texts()
    place = [title.strip() for title in titles].index("evidence")
    box = opened.locator("#comparison tbody tr").last.locator("td").nth(place).bounding_box()
    assert box["x"] + box["width"] <= 1280


@pytest.mark.parametrize("width", [1280, 390, 320])
def test_letters_of_pictures_can_be_read_at_any_width(opened, width):
    opened.set_viewport_size({"width": width, "height": 900})
    sizes = opened.evaluate(
        "[...document.querySelectorAll('figure svg')].flatMap(s => {"
        " const scale = s.getBoundingClientRect().width / s.viewBox.baseVal.width;"
        " return [...s.querySelectorAll('text')].map(t => scale * parseFloat(getComputedStyle(t).fontSize)); })"
    )
    assert len(sizes) > 50
    assert min(sizes) >= 9
    assert opened.evaluate("document.documentElement.scrollWidth") <= width


def test_numbers_of_a_section_sort_as_numbers(opened):
    table = opened.locator("section", has=opened.locator("h2", has_text="Newly broken")).locator("table")
    table.locator("thead button", has_text="sample").click()
    assert table.locator("tbody td:first-child").all_inner_texts() == ["3", "20", "100"]


def test_cards_are_folded_and_say_how_much_is_in_them(opened):
    card = opened.locator("details", has=opened.locator("summary", has_text="Rule 1"))
    assert card.locator(".tally").inner_text() == "evidence for it: 3, gap: 0"
    assert not card.locator("li").first.is_visible()
    card.locator("summary").click()
    assert card.locator("li").all_inner_texts() == [EVIL] * 3
    assert card.locator("p.hint").all_inner_texts() == ["a standard", "evidence for it"]
    assert opened.noticed == []


def test_a_phone_needs_no_sideways_scrolling(opened):
    opened.set_viewport_size({"width": 360, "height": 740})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 360


def test_light_dark_and_paper(opened):
    shades = {}
    for scheme in ("light", "dark"):
        opened.emulate_media(color_scheme=scheme)
        shades[scheme] = opened.evaluate(
            "[getComputedStyle(document.body).color, getComputedStyle(document.body).backgroundColor]"
            ".map(c => c.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + Number(b), 0))"
        )
    assert shades["light"][0] < 200 < 600 < shades["light"][1]
    assert shades["dark"][1] < 200 < 600 < shades["dark"][0]
    opened.set_viewport_size({"width": 1030, "height": 700})  # A4, landscape
    opened.emulate_media(media="print")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 1030
    assert opened.locator("details:not([open])").count() > 0
    assert opened.pdf()[:4] == b"%PDF"
    assert opened.locator("details:not([open])").count() == 0
