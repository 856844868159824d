"""The page "E-commerce" in a browser, without Airflow and a warehouse: what it makes of figures that are given."""

import json
import threading
from datetime import UTC, date, datetime, timedelta

import pytest
import uvicorn

from local.supervision import wait_for
from tests.conftest import free_ports
from tests.e2e.browser import chromium, keep

YEAR = {"from": "2010-12-10", "to": "2011-12-09", "sales_from": "2010-12-01"}
SPAN = {"first_day": "2010-12-01", "last_day": "2011-12-09"}
TOTALS = {
    "net_revenue": 9_747_747.93,
    "gross_revenue": 10_655_401.5,
    "invoices": 20_725,
    "units": 5_372_990,
    "customers": 4_339,
}


def weeks(first, last):
    monday = date.fromisoformat(first) - timedelta(days=date.fromisoformat(first).weekday())
    count = (date.fromisoformat(last) - monday).days // 7 + 1
    return [(monday + timedelta(weeks=week)).isoformat() for week in range(count)]


def business(**other):
    """The answer of data/business for a year of sales in pounds, with purchases in dollars and stock."""
    products = [
        "REGENCY CAKESTAND 3 TIER",
        "WHITE HANGING HEART T-LIGHT HOLDER",
        "PARTY BUNTING",
        "JUMBO BAG RED RETROSPOT",
        "RABBIT NIGHT LIGHT",
        "=PAPER CHAIN KIT",
        "ASSORTED COLOUR BIRD ORNAMENT",
        "CHILLI LIGHTS",
        "PICNIC BASKET",
        None,
    ]
    countries = [
        "United Kingdom",
        "Netherlands",
        "EIRE",
        "Germany",
        "France",
        "Australia",
        "Switzerland",
        "Spain",
        "Belgium",
        "Sweden",
    ]
    ages, genders = ["16-24", "25-34", "35-44", "45-54", "55+"], ["Female", "Male", "unknown"]
    starts = weeks(YEAR["from"], YEAR["to"])
    made = {
        "totals": TOTALS,
        "before": None,
        "trend": [
            {"period_start": start, "net_revenue": 120_000 + 7_000.5 * (n * 13 % 29)} for n, start in enumerate(starts)
        ],
        "best_sellers": [
            {
                "feed": "online_retail",
                "stock_code": f"2{n:04}",
                "description": name,
                "net_revenue": 164_762.19 / (n + 1),
                "units": 12_000 // (n + 1),
            }
            for n, name in enumerate(products)
        ],
        "countries": [
            {"country": name, "net_revenue": 8_187_806.36 / (n * n * 20 or 1), "invoices": 18_000 // (n * 30 + 1)}
            for n, name in enumerate(countries)
        ],
        "segments": [
            {"segment": name, "customers": 1_000 - 130 * n, "net_revenue": 3e6 / (n + 1)}
            for n, name in enumerate(["champions", "loyal", "recent", "at_risk", "fading", "lost"])
        ],
        "demographics": [
            {"age_group": age, "gender": gender, "amount": 900.25 * (i + 1) * (j + 1), "purchases": 40 * (i + j + 1)}
            for i, age in enumerate(ages)
            for j, gender in enumerate(genders)
        ],
        "stock": [
            {"status": status, "products": n, "on_hand": 10 * n, "as_of_date": "2011-12-09"}
            for status, n in (("out", 4), ("low", 21), ("good", 130), ("idle", 11))
        ],
        "shortest_cover": [
            {
                "product_id": f"P{n:03}",
                "on_hand": 3 * n,
                "days_of_cover": 0.7 * n,
                "sold_last_28_days": 90 + n,
                "sales_trend": None if n == 3 else 0.2 - 0.1 * n,
                "status": "out" if n == 0 else "low",
            }
            for n in range(8)
        ],
        "forecast": [],
        "to_order": [],
        "span": SPAN,
        "period": "week",
        "feed": "all",
        "currency": "GBP",
        "currencies": ["GBP"],
        "demographics_currency": "USD",
    }
    return made | YEAR | other


def pipeline(**other):
    """The answer of data/pipeline of a healthy pipeline that has loaded in the last hour."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    feeds = ["online_retail", "product_events", "purchases"]
    made = {
        "arrivals": [
            {
                "minute_start": f"{now - timedelta(minutes=9 * n):%Y-%m-%d %H:%M:%S}",
                "feed": feed,
                "accepted": 400 + 97 * n,
                "quarantined": n,
            }
            for feed in feeds
            for n in range(6)
        ],
        "batches": [
            {
                "batch_id": f"{feed}-20111209T120000-1a2b3c",
                "feed": feed,
                "accepted": 6_680,
                "clean": 6_600,
                "quarantined": 67,
                "duplicates": 13,
                "committed_at": f"{now:%Y-%m-%d %H:%M:%S}",
            }
            for feed in feeds
        ],
        "conservation": [
            {
                "feed": feed,
                "accepted": 20_045,
                "clean": 19_804,
                "quarantined": 201,
                "duplicates": 40,
                "core": 19_804,
                "holds": True,
                "last_minute": 2_040,
                "newest_seconds": 41,
            }
            for feed in feeds
        ],
        "checks": [],
        "marts": {"marts": 23, "behind": 0, "published_at": f"{now:%Y-%m-%d %H:%M:%S}", "checks": 103},
        "waiting": {"objects": 0, "open_batches": 0, "oldest_seconds": 0},
        "reasons": [{"feed": "online_retail", "column_name": "Quantity", "rule": "not_an_integer", "events": 88}],
        "reconciliation": [],
        "exported": [],
        "feeds": feeds,
        "feed": "all",
    }
    return made | other


@pytest.fixture(scope="module")
def page():
    """The page's application on a free port, for whoever asks, in a tab of a browser. `show` changes its figures.

    An error in the browser fails the test that caused it.
    """
    from ecommerce_elt.page import app, figures

    shown = {}
    with pytest.MonkeyPatch.context() as patch, chromium() as browser:
        patch.setattr(figures, "span", lambda: shown["shop"]["span"])
        patch.setattr(figures, "business", lambda *_: {k: v for k, v in shown["shop"].items() if k != "span"})
        patch.setattr(figures, "pipeline", lambda _: shown["health"])
        [signed_in] = app.app.router.dependencies
        patch.setitem(app.app.dependency_overrides, signed_in.dependency, lambda: None)
        [port] = free_ports(1)
        server = uvicorn.Server(uvicorn.Config(app.app, host="127.0.0.1", port=port, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        wait_for(lambda: server.started, 60, "the page", 0.1)
        context = browser.new_context(
            viewport={"width": 1440, "height": 900}, permissions=["clipboard-read", "clipboard-write"]
        )
        tab = context.new_page()
        tab.set_default_timeout(60_000)
        wrong = []
        tab.on("pageerror", lambda error: wrong.append(str(error)))

        def show(shop=None, health=None):
            shown.update(shop=shop or business(), health=health or pipeline())
            if tab.url == "about:blank":
                tab.goto(f"http://127.0.0.1:{port}/")
            tab.evaluate("loadBusiness().then(loadPipeline)")
            assert wrong == []
            return tab

        yield show
        server.should_exit = True
        thread.join(30)


def test_figures_of_days_that_are_not_whole_have_none_before(monkeypatch):
    """What is asked of the warehouse, and when: a year against nine days is no change."""
    from ecommerce_elt.page import figures

    asked = []

    def rows(name, values, **_):
        asked.append((name, dict(values)))
        answers = {
            "currencies": [{"currency": "GBP", "invoices": 3}],
            "sales_from": [{"sales_from": "2010-12-01"}],
            "totals": [dict(TOTALS)],
            "span": [dict(SPAN)],
        }
        return answers.get(name, [])

    monkeypatch.setattr(figures, "_rows", rows)
    for first, last, has_before in (
        ("2010-12-10", "2011-12-09", False),
        ("2011-11-10", "2011-12-09", True),
        ("2010-12-31", "2011-01-29", True),
        ("2010-12-30", "2011-01-29", False),
        ("2011-11-30", "2011-12-29", False),
    ):
        figures.span.cache_clear()
        figures.business.cache_clear()
        asked.clear()
        found = figures.business(date.fromisoformat(first), date.fromisoformat(last))
        assert (found["before"] is not None) == has_before, (first, last)
        totals = [values for name, values in asked if name == "totals"]
        assert len(totals) == 1 + has_before
        assert found["demographics_currency"] == "USD"
        json.dumps(found)
    figures.span.cache_clear()
    figures.business.cache_clear()


AMOUNTS = [
    (0, "£0.00"),
    (15.5, "£15.50"),
    (999.99, "£999.99"),
    (999.999, "£1.00k"),
    (1032.52, "£1.03k"),
    (37_000, "£37.0k"),
    (229_624.4, "£230k"),
    (999_960, "£1.00m"),
    (1_552_310, "£1.55m"),
    (-2_500, "−£2.50k"),
    (None, "–"),
]


def test_amounts_are_written_by_one_rule_and_never_without_a_currency(page):
    tab = page()
    written = [tab.evaluate("([value]) => money(value, 'GBP')", [value]) for value, _ in AMOUNTS]
    assert written == [text for _, text in AMOUNTS]
    signs = {code: tab.evaluate("code => money(5, code)", code) for code in ("EUR", "USD", "CHF", "unknown", "")}
    assert signs == {"EUR": "€5.00", "USD": "US$5.00", "CHF": "CHF\u00a05.00", "unknown": "¤5.00", "": "¤5.00"}
    assert tab.evaluate("ticks([0, 380123], 'GBP').ticktext") == ["£0", "£100k", "£200k", "£300k", "£400k"]
    assert tab.evaluate("ticks([-120, 40], 'EUR').ticktext") == ["−€100", "−€50", "€0", "€50"]
    assert tab.locator("#net_revenue strong").inner_text() == "£9.75m"
    assert tab.locator("#net_revenue strong").get_attribute("title") == "£9,747,747.93"
    assert tab.locator("#average_basket strong").inner_text() == "£514.13"
    # Of purchases the currency is another one.
    assert tab.locator("#demographics .ytick text").all_text_contents()[1].startswith("US$")
    assert tab.locator("#best-sellers .bartext").first.text_content() == "£165k"


def test_one_screen_has_the_business_and_the_health_of_the_pipeline(page):
    tab = page()
    keep(tab, "page-light")
    for shown in (
        "#net_revenue",
        "#units",
        "#conserved",
        "#marts",
        "#trend",
        "#arrivals",
        "#best-sellers",
        "#countries",
        "#segments",
    ):
        place = tab.locator(shown).bounding_box()
        assert place["y"] + place["height"] <= 900, shown
        assert place["x"] + place["width"] <= 1440, shown


@pytest.mark.parametrize("width", [390, 768, 1440], ids=["phone", "tablet", "desktop"])
def test_nothing_is_wider_than_the_window_in_light_and_dark(page, width):
    tab = page()
    tab.set_viewport_size({"width": width, "height": 900})
    for theme in ("dark", "light"):
        tab.evaluate("theme => { localStorage.setItem('theme', theme); applyTheme(); }", theme)
        assert tab.evaluate("document.documentElement.scrollWidth") <= width
        assert tab.evaluate("document.documentElement.dataset.theme") == theme
        for chart in tab.locator(".chart .main-svg:first-child").all():
            tab.wait_for_function("chart => chart.clientWidth <= innerWidth", arg=chart.element_handle())
        keep(tab, f"page-{theme}-{width}")
    tab.set_viewport_size({"width": 1440, "height": 900})


def test_a_change_is_shown_only_against_days_that_are_there_whole(page):
    before = {name: value / 2 for name, value in TOTALS.items()}
    tab = page(business(before=before, sales_from="2009-12-01"))
    assert tab.locator("#net_revenue span").inner_text() == "▲ 100 % on the 365 days before"
    assert "before" not in tab.locator("#as-of").inner_text()
    tab = page()
    assert tab.locator("#net_revenue span").inner_text() == "£26.7k a day"
    assert "no whole 365 days before" in tab.locator("#as-of").inner_text()


def test_a_period_that_is_not_whole_is_marked(page):
    tab = page()
    # 9 December 2011 is a Friday: the fifth day of the last week.
    assert tab.locator("#trend-period").inner_text() == "by week; dotted: the last week has 5 of 7 days"
    of = "([starts, period, first, last, today]) => wholeness(starts, period, first, last, today)"
    assert tab.evaluate(
        of, [["2010-12-06", "2010-12-13", "2011-12-05"], "week", "2010-12-10", "2011-12-09", "2030-01-01"]
    ) == [[3, 7], [7, 7], [5, 7]]
    assert tab.evaluate(of, [["2024-02-01", "2024-03-01"], "month", "2024-01-01", "2024-03-31", "2030-01-01"]) == [
        [29, 29],
        [31, 31],
    ]
    # The day that goes on is not over.
    assert tab.evaluate(of, [["2024-03-30", "2024-03-31"], "day", "2024-03-01", "2024-03-31", "2024-03-31"]) == [
        [1, 1],
        [0, 1],
    ]


def test_an_empty_panel_says_what_would_fill_it_in_one_line(page):
    shop = business(demographics=[], stock=[], shortest_cover=[], segments=[], best_sellers=[], countries=[])
    tab = page(shop, pipeline(arrivals=[], reasons=[]))
    keep(tab, "page-empty-panels")
    fills = {
        "demographics": "Events of the feed purchases fill it",
        "stock": "Events of the feed product_events fill it",
        "forecast": "The DAG forecast_demand makes one a day",
        "arrivals": "Events that are sent fill it",
        "reconciliation": "The DAG reconcile_layers fills it",
        "segments": "Sales with a customer's id fill it",
    }
    for panel, text in fills.items():
        card = tab.locator(".card", has=tab.locator(f"#{panel}"))
        assert text in card.inner_text()
        assert card.bounding_box()["height"] < 100, panel
        assert card.get_by_role("button", name="Copy as CSV").is_hidden()


def test_a_panel_is_copied_as_csv(page):
    tab = page()
    card = tab.locator(".card", has=tab.locator("#best-sellers"))
    card.hover()
    card.get_by_role("button", name="Copy as CSV").click()
    card.locator("[data-tool=copy].done").wait_for()
    copied = tab.evaluate("navigator.clipboard.readText()").replace("\r\n", "\n").splitlines()
    assert copied[:2] == [
        "feed,stock_code,description,net_revenue,units,currency",
        "online_retail,20000,REGENCY CAKESTAND 3 TIER,164762.19,12000,GBP",
    ]
    assert len(copied) == 11
    assert "'=PAPER CHAIN KIT" in copied[6], "a spreadsheet would compute it"
    assert tab.evaluate("csv([{a: 'say \"so\", twice', b: null, c: -1.5}])") == 'a,b,c\r\n"say ""so"", twice",,-1.5\r\n'


def test_a_panel_is_enlarged_and_comes_back(page):
    tab = page()
    card = tab.locator(".card", has=tab.locator("#countries"))
    small = card.bounding_box()
    card.hover()
    card.get_by_role("button", name="Enlarge").click()
    tab.wait_for_function("document.querySelector('dialog #countries .main-svg').clientHeight > 700")
    assert card.bounding_box()["width"] > 1300
    keep(tab, "page-enlarged")
    tab.keyboard.press("Escape")
    tab.locator("dialog").wait_for(state="hidden")
    tab.locator("#business #countries .main-svg").first.wait_for()
    assert card.bounding_box() == small


def test_each_panel_and_total_has_a_definition(page):
    tab = page()
    of = "links => links.map(link => link.getAttribute('href').split('#'))"
    links = tab.eval_on_selector_all("[data-tool=definition], .total a", of)
    assert len(links) == len({anchor for _, anchor in links}) == tab.locator("figure, .total").count()
    definitions = tab.context.new_page()
    definitions.goto(f"{tab.url}definitions#net_revenue")
    for page, anchor in links:
        assert page == "definitions"
        assert definitions.locator(f"a[id='{anchor}']").count() == 1, anchor
    assert definitions.locator("tr", has=definitions.locator("a#net_revenue")).is_visible()
    keep(definitions, "page-definitions")
    definitions.close()


def test_before_the_first_event_the_pipeline_is_shown_alone(page):
    nothing = pipeline(
        arrivals=[],
        batches=[],
        conservation=[],
        reasons=[],
        marts={"marts": 0, "behind": 0, "published_at": None, "checks": 0},
    )
    tab = page({"span": {"first_day": None, "last_day": None}}, nothing)
    tab.get_by_text("No sales yet").wait_for()
    assert tab.locator("#business").is_hidden()
    assert tab.locator("#trend").is_hidden()
    keep(tab, "page-before-the-first-event")


def test_a_link_leaves_the_frame_that_airflow_keeps_the_page_in(page):
    """The frame may not leave itself: its sandbox is the one of Airflow 3.3.2."""
    outer = page().context.new_page()
    url = page().url
    outer.goto(f"{url}runbooks/README")
    outer.evaluate(
        """url => {
        const frame = document.createElement("iframe");
        frame.setAttribute("sandbox", "allow-scripts allow-same-origin allow-forms allow-downloads");
        frame.src = url;
        document.body.replaceChildren(frame);
    }""",
        url,
    )
    outer.frame_locator("iframe").get_by_role("link", name="load_events").click()
    outer.wait_for_url(f"{url}dags/load_events")
    outer.close()
