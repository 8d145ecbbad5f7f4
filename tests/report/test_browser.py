"""The page in a real browser: sorting, filters, large pictures, small screens, themes, paper, no requests."""

from __future__ import annotations

import functools
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from browser_support import WebDriverWait, needs_browser, screen, start_browser

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser():
    yield from start_browser()


@pytest.fixture(params=["large_report", "family_report", "live_report"])
def any_page(request):
    """The address of a file, one for every kind of report."""
    return request.getfixturevalue(request.param).as_uri()


@pytest.fixture
def page(large_report):
    """The address of a report served on loopback, and the paths that were asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_):
            asked.append(self.path)

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(large_report.parent)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/index.html", asked
    server.shutdown()
    server.server_close()


def column(browser, table: str, position: int) -> list[str]:
    script = (
        "return [...document.querySelectorAll(`#${arguments[0]} tbody tr`)].map(r => r.cells[arguments[1]].textContent)"
    )
    return browser.execute_script(script, table, position)


def values(browser, table: str, position: int) -> list[float]:
    rows = "[...document.querySelectorAll(`#${arguments[0]} tbody tr`)]"
    return browser.execute_script(f"return {rows}.map(r => +r.cells[arguments[1]].dataset.sort)", table, position)


def test_page_works_alone_and_sorts_its_tables(browser, page):
    address, asked = page
    screen(browser, 1280)
    browser.get_log("browser")
    browser.get(address)
    before = column(browser, "table-corpus", 1)
    headings = browser.find_elements("css selector", "#table-corpus th button")
    headings[1].click()
    names = column(browser, "table-corpus", 1)
    assert names != before and names == sorted(before, key=str.casefold)
    headings[3].click()
    down = values(browser, "table-corpus", 3)
    assert down == sorted(down, reverse=True) and down[0] > down[-1]
    headings[3].send_keys("\ue007")  # Enter: the keyboard does what the mouse does
    assert values(browser, "table-corpus", 3) == sorted(down)
    assert headings[3].find_element("xpath", "..").get_attribute("aria-sort") == "ascending"
    # The total never moves into the body.
    assert browser.find_element("css selector", "#table-corpus tfoot th").text == "all"
    assert "all" not in column(browser, "table-corpus", 0)
    assert browser.get_log("browser") == []
    assert asked == ["/index.html"]


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_page_never_scrolls_sideways(browser, any_page, width):
    screen(browser, width)
    browser.get(any_page)
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    frames = "[...document.querySelectorAll('.panel:not(.wide) svg, .panel.wide')]"
    ends = f"{frames}.map(picture => picture.getBoundingClientRect().right)"
    assert browser.execute_script(f"return Math.max(...{ends})") <= width


@pytest.mark.parametrize("width", [390, 1400])
def test_legends_stay_within_their_pictures(browser, any_page, width):
    """Matplotlib's estimate of a text's width is not the browser's."""
    screen(browser, width)
    browser.get(any_page)
    outside = browser.execute_script("""
      const found = [];
      for (const picture of document.querySelectorAll('.panel:not(.wide) svg')) {
        const frame = picture.getBoundingClientRect();
        for (const text of picture.querySelectorAll('text')) {
          const box = text.getBoundingClientRect();
          const over = Math.max(box.right - frame.right, frame.left - box.left);
          if (over > 8) found.push([text.textContent, over]);
        }
      }
      return found;""")
    assert outside == []


def test_page_of_a_run_that_goes_loads_itself_again(browser, page, large_report):
    """The refresh is the page's own, allowed by its own policy, and needs no script."""
    address, asked = page
    source = large_report.read_text(encoding="utf-8")
    live = large_report.with_name("live.html")
    live.write_text(source.replace("<meta charset", '<meta http-equiv="refresh" content="1"><meta charset', 1))
    try:
        screen(browser, 1280)
        browser.get(address.replace("index.html", "live.html"))
        WebDriverWait(browser, 60).until(lambda _: asked.count("/live.html") >= 3)
    finally:
        browser.get("about:blank")
        live.unlink()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_text_has_contrast_in_both_themes(browser, any_page, theme):
    screen(browser, 1280, theme)
    browser.get(any_page)
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    # WCAG 2 contrast of every element that holds text, against the nearest ground that is painted behind it.
    faint = browser.execute_script("""
      const parse = c => c.match(/[\\d.]+/g).map(Number);
      const linear = x => x <= .04045 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4;
      const light = ([r, g, b]) => .2126 * linear(r / 255) + .7152 * linear(g / 255) + .0722 * linear(b / 255);
      const ground = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
        if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
      const found = [];
      for (const e of document.querySelectorAll('body *')) {
        if (e.closest('script, .skip')) continue;
        if (![...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())) continue;
        const style = getComputedStyle(e);
        const [a, b] = [light(parse(e.closest('svg') ? style.fill : style.color)), light(ground(e))];
        const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
        if (ratio < 4.5) found.push([e.tagName, e.textContent.slice(0, 30), ratio]);
      }
      return found;""")
    assert faint == []


def shown(browser, table: str) -> list[str]:
    """The texts of the rows that are not hidden."""
    rows = f"[...document.querySelectorAll('#{table} tbody tr')].filter(row => row.checkVisibility())"
    return browser.execute_script(f"return {rows}.map(row => [...row.cells].map(cell => cell.textContent).join(' '))")


def filters(browser, table: str):
    """The controls above a table."""
    return browser.execute_script(
        f"return document.querySelector('#{table}').closest('.scroll').previousElementSibling"
    )


def test_long_table_is_filtered_by_any_word_and_stays_sorted(browser, page):
    address, asked = page
    screen(browser, 1280)
    browser.get_log("browser")
    browser.get(address)
    box = filters(browser, "table-corpus")
    search, told = box.find_element("css selector", "input"), box.find_element("css selector", "output")
    assert told.text == "107 rows" == f"{len(shown(browser, 'table-corpus'))} rows"
    search.send_keys("TURKCE")  # of Türkçe, and azb is in another script
    assert [row.split()[1] for row in shown(browser, "table-corpus")] == ["Turkish"]
    assert told.text == "1 of 107 rows"
    search.send_keys("\ue003" * 6 + "norw bok")  # every word has to be there, in any column
    assert [row.split()[0] for row in shown(browser, "table-corpus")] == ["no"]
    search.clear()
    search.send_keys("norwegian")
    browser.find_elements("css selector", "#table-corpus th button")[0].click()
    assert [row.split()[0] for row in shown(browser, "table-corpus")] == ["nn", "no"]
    assert browser.find_element("css selector", "#table-corpus tfoot").is_displayed()
    search.send_keys("zzz")
    assert shown(browser, "table-corpus") == [] and told.text == "No row matches"
    search.send_keys("\ue00c")  # Escape
    assert len(shown(browser, "table-corpus")) == 107
    assert browser.get_log("browser") == [] and asked == ["/index.html"]


def test_long_table_is_filtered_by_model_and_setting(browser, page):
    screen(browser, 1280)
    browser.get(page[0])
    browser.execute_script("document.querySelectorAll('details').forEach(part => part.open = true)")
    choices = filters(browser, "table-ner-seeds").find_elements("css selector", "label")
    named = {choice.text.split("\n")[0]: choice for choice in choices}
    assert {"Find", "Model", "Setting", "Trained on", "Tested on"} == set(named)
    everything = shown(browser, "table-ner-seeds")

    def choose(name: str, value: str) -> None:
        named[name].find_element("xpath", f".//option[text()='{value}']").click()

    choose("Model", "teacher")
    assert shown(browser, "table-ner-seeds") == [row for row in everything if row.startswith("teacher ")]
    choose("Setting", "each")
    both = [row for row in everything if row.startswith("teacher each ")]
    assert shown(browser, "table-ner-seeds") == both and len(both) == 3
    choose("Model", "all")
    assert len(shown(browser, "table-ner-seeds")) == 9
    # A short table needs no filter.
    assert "filters" not in filters(browser, "table-models").get_attribute("class")


def test_picture_is_enlarged_and_put_back_by_keyboard_alone(browser, page):
    address, asked = page
    screen(browser, 1280)
    browser.get_log("browser")
    browser.get(address)
    ids = "const ids = [...document.querySelectorAll('[id]')].map(e => e.id); return ids.length - new Set(ids).size"
    button = browser.find_element("css selector", "[aria-label='Enlarge: Training of the student, 2 of 9']")
    before = browser.execute_script("return document.querySelector('main').innerHTML")
    width = browser.execute_script(
        "return arguments[0].closest('.panel').querySelector('svg').getBoundingClientRect().width", button
    )
    button.send_keys("\ue007")  # Enter
    dialog = browser.find_element("css selector", "dialog[open]")
    assert dialog.find_element("css selector", "h2").text == "Training of the student, 2 of 9"
    assert "A panel per logged quantity" in dialog.text
    large = dialog.find_element("css selector", "svg")
    assert large.get_attribute("aria-label").startswith("Masked language modelling")
    assert large.rect["width"] > 1.8 * width
    assert dialog.rect["x"] >= 0 and dialog.rect["x"] + dialog.rect["width"] <= 1280
    assert browser.execute_script(ids) == 0
    # What is behind it cannot be reached: Tab goes round in the dialog, or to the browser.
    for _ in range(4):
        browser.switch_to.active_element.send_keys("\ue004")
        inside = "return document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        assert browser.execute_script(inside)
    browser.switch_to.active_element.send_keys("\ue00c")  # Escape
    WebDriverWait(browser, 5).until(lambda _: not browser.find_elements("css selector", "dialog[open]"))
    assert browser.switch_to.active_element == button
    assert browser.execute_script("return document.querySelector('main').innerHTML").replace(' style=""', "") == before
    assert browser.execute_script(ids) == 0
    # The mouse: on the picture opens, on the ground around closes.
    picture = browser.find_element("css selector", "#corpus .picture svg")
    browser.execute_script("arguments[0].dispatchEvent(new MouseEvent('click', {bubbles: true}))", picture)
    assert browser.find_elements("css selector", "dialog[open]")
    browser.execute_script("document.querySelector('dialog').click()")
    WebDriverWait(browser, 5).until(lambda _: not browser.find_elements("css selector", "dialog[open]"))
    assert browser.get_log("browser") == [] and asked == ["/index.html"]


def test_picture_on_a_telephone_is_larger_than_its_screen_and_scrolls(browser, large_report):
    screen(browser, 390)
    browser.get(large_report.as_uri())
    browser.execute_script("document.querySelector('#training .enlarge').click()")
    stage = browser.find_element("css selector", "dialog .stage")
    assert stage.find_element("css selector", "svg").rect["width"] > 500
    assert stage.rect["x"] + stage.rect["width"] <= 390
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 390


def ground(browser) -> str:
    return browser.execute_script("return getComputedStyle(document.body).backgroundColor")


@pytest.mark.parametrize("system", ["light", "dark"])
def test_colours_are_chosen_and_stay_after_loading_again(browser, small_report, system):
    """As a file, where browsers may be strict about storage."""
    screen(browser, 1280, system)
    browser.get_log("browser")
    browser.get(small_report.as_uri())
    browser.execute_script("localStorage.clear()")
    browser.refresh()
    of = {"light": "rgb(251, 251, 249)", "dark": "rgb(18, 22, 28)"}
    other = {"light": "dark", "dark": "light"}[system]
    assert ground(browser) == of[system]
    choose = "[name=theme][value={}]"
    assert browser.find_element("css selector", choose.format("system")).is_selected()
    browser.find_element("css selector", choose.format("system")).send_keys(
        "\ue014" if other == "light" else "\ue012"  # the arrows go round: system, light, dark
    )
    assert ground(browser) == of[other]
    browser.refresh()
    assert ground(browser) == of[other]
    assert browser.find_element("css selector", choose.format(other)).is_selected()
    scheme = "return getComputedStyle(document.documentElement).colorScheme"
    assert browser.execute_script(scheme) == other
    ink = "return getComputedStyle(document.querySelector('.picture text')).fill"
    assert browser.execute_script(ink) == {"light": "rgb(88, 100, 116)", "dark": "rgb(169, 180, 194)"}[other]
    browser.find_element("css selector", choose.format("system")).find_element("xpath", "..").click()
    browser.refresh()
    assert ground(browser) == of[system]
    assert browser.get_log("browser") == []


def test_page_without_storage_is_whole(browser, small_report):
    screen(browser, 1280)
    source = "Object.defineProperty(window, 'localStorage', {get() { throw new DOMException('', 'SecurityError'); }})"
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": source})
    try:
        browser.get_log("browser")
        browser.get(small_report.as_uri())
        dark = browser.find_element("css selector", "[name=theme][value=dark]")
        dark.find_element("xpath", "..").click()
        assert ground(browser) == "rgb(18, 22, 28)"
        assert browser.find_elements("css selector", "th button") and browser.find_elements("css selector", ".enlarge")
        assert browser.get_log("browser") == []
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def test_page_without_scripts_is_complete(browser, small_report):
    screen(browser, 1280)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(small_report.as_uri())
        assert not browser.find_element("css selector", ".theme").is_displayed()
        assert browser.find_element("css selector", "#table-corpus tbody tr:last-child").is_displayed()
        assert not browser.find_elements("css selector", "th button, .enlarge, .filters")
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
