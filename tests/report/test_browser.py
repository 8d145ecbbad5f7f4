"""The page in a real browser: sorting, small screens, both themes, no requests."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
WebDriverWait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (CHROMIUM and DRIVER), reason="needs Chromium and chromedriver (apt install chromium-driver)"
)


@pytest.fixture(scope="module")
def browser():
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for argument in (
        "--headless=new",
        "--window-size=1400,1000",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
    ):
        options.add_argument(argument)
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        options.add_argument("--no-sandbox")  # Chromium's sandbox refuses to run as root, as in a container
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = webdriver.Chrome(options=options, service=webdriver.ChromeService(executable_path=DRIVER))
    yield driver
    driver.quit()


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


def screen(browser, width: int, theme: str = "light") -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    features = [{"name": "prefers-color-scheme", "value": theme}, {"name": "prefers-reduced-motion", "value": "reduce"}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


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
