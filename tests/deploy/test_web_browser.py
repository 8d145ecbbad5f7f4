"""The page in a real browser, on models exported here: its answers are PyTorch's, it asks nobody, works offline."""

from __future__ import annotations

import contextlib
import http.server
import json
import os
import random
import socket
import threading
from pathlib import Path

import numpy as np
import pytest

from browser_support import WebDriverWait, needs_browser, screen, start_browser
from unibert.deploy.export import export_model
from unibert.deploy.quantise import quantise_model
from unibert.deploy.web import make_items, open_server, page_folder
from unibert.deploy.web_assets import load_library
from unibert.deploy.web_models import find_web_models
from unibert.errors import DataError
from web_support import cosines, top_pieces, word_tags, write_model

pytestmark = [needs_browser, pytest.mark.slow]
# What the page says to wait for: another program may have the processor.
PATIENCE = 120
TASKS = {"blanks": ("head", "fill-mask"), "tagger": ("head", "token-classification"), "vectors": ("embeddings", None)}


@pytest.fixture(scope="module")
def library():
    given = os.environ.get("UNIBERT_WEB_ASSETS")
    try:
        return load_library(page_folder(), Path(given) if given else None, offline=True)
    except DataError as error:
        pytest.skip(f"needs the page's libraries: run `unibert web --fetch-assets` ({error.message})")


@pytest.fixture(scope="module")
def models(tmp_path_factory, library):
    """Folders of transformers and exported ones, by name."""
    for package in ("onnx", "onnxruntime", "onnxscript"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    root = tmp_path_factory.mktemp("models")
    found = {}
    for name, (kind, task) in TASKS.items():
        source = write_model(root / "sources" / name, task or "encoder")
        found[name] = source, export_model(source, root / name, kind).folder
    quantise_model(found["blanks"][1], minimum_cosine=None)
    source, _ = found["vectors"]
    found["encoder"] = source, export_model(source, root / "encoder", "encoder").folder
    return found


@contextlib.contextmanager
def serving(library, models, *names, port=0):
    items = make_items(page_folder(), library, find_web_models([models[name][1] for name in names]))
    asked: list[str] = []
    with open_server("127.0.0.1", port, items, asked.append) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        server.requests = asked
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture(scope="module")
def address(library, models):
    with serving(library, models, *models) as server:
        yield server.address


@pytest.fixture(scope="module")
def driver(library):
    yield from start_browser()


@pytest.fixture
def browser(driver, address):
    """On a page that has just been loaded; what its console said in the meantime is an error."""
    screen(driver, 1400)
    driver.get_log("browser")
    open_page(driver, address)
    yield driver
    assert driver.get_log("browser") == []


def open_page(driver, address):
    driver.get(address)
    wait(driver, "return document.documentElement.dataset.ready")


def wait(driver, script, *arguments):
    return WebDriverWait(driver, PATIENCE).until(lambda _: driver.execute_script(script, *arguments))


def part(driver, section, name):
    return driver.find_element("css selector", f"#{section} [data-part={name}], #{section} .{name}")


def idle(driver, section) -> str:
    """What is said when all that was asked is done."""
    wait(driver, "return document.getElementById(arguments[0]).getAttribute('aria-busy') === 'false'", section)
    return part(driver, section, "status").text


def write(driver, section, text):
    """As the keyboard would, also for letters that the driver cannot type."""
    script = (
        "const f = document.querySelector(arguments[0]); f.value = arguments[1]; f.dispatchEvent(new Event('input'))"
    )
    driver.execute_script(script, f"#{section} textarea", text)


def choose(driver, section, **choices):
    for name, value in choices.items():
        selector = {
            "model": f"#{section} [data-part=model] option[value='{value}']",
            "precision": f"#{section} input[value={value}]",
        }[name]
        driver.find_element("css selector", selector).click()


def run(driver, section) -> str:
    driver.find_element("css selector", f"#{section} .run").click()
    return idle(driver, section)


def shown_pieces(driver) -> list[list[tuple[int, float]]]:
    lists = driver.find_elements("css selector", "#fill .pieces")
    script = "return [...arguments[0].children].map(line => [Number(line.dataset.id), Number(line.dataset.score)])"
    return [[tuple(pair) for pair in driver.execute_script(script, one)] for one in lists]


# --- the answers are the model's ---


@pytest.mark.parametrize(
    "text",
    [
        "The capital of ___ is big.",
        "Der ___ mündet ins ___.",
        "القاهرة هي عاصمة ___",
        "दिल्ली ___ की राजधानी है।",
        "北京是中国的___都。",
        "[MASK] читает книгу, unknown ☃ 123",
    ],
)
def test_blanks_are_filled_as_pytorch_fills_them(browser, models, text) -> None:
    choose(browser, "fill", precision="float32")
    write(browser, "fill", text)
    said = run(browser, "fill")
    expected = top_pieces(models["blanks"][0], text.replace("___", "[MASK]"), 5)
    found = shown_pieces(browser)
    assert [[piece for piece, _ in one] for one in found] == [[piece for piece, _ in one] for one in expected]
    np.testing.assert_allclose(np.array(found)[..., 1], np.array(expected)[..., 1], atol=1e-4)
    assert said.startswith("Most likely: ")


def test_int8_is_what_is_taken_first_and_gives_nearly_the_same(browser, models) -> None:
    text = "The capital of ___ is big."
    write(browser, "fill", text)
    run(browser, "fill")
    assert "in int8" in part(browser, "fill", "costs").text
    (expected,), (found,) = top_pieces(models["blanks"][0], text.replace("___", "[MASK]"), 20), shown_pieces(browser)
    exact = dict(expected)
    assert found[0][0] == expected[0][0]
    assert [score for _, score in found] != pytest.approx([exact.get(piece, 0) for piece, _ in found], abs=1e-6)
    assert [score for _, score in found] == pytest.approx([exact.get(piece, 0) for piece, _ in found], abs=0.1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Ada Lovelace met (Charles Babbage) in London.",
            ["Ada", "Lovelace", "met", "(", "Charles", "Babbage", ")", "in", "London", "."],
        ),
        ("Ребёнок читает книгу, Ребёнок", ["Ребёнок", "читает", "книгу", ",", "Ребёнок"]),
        ("القاهرة هي عاصمة مصر", ["القاهرة", "هي", "عاصمة", "مصر"]),
    ],
)
def test_entities_are_the_models(browser, models, text, words) -> None:
    write(browser, "entities", text)
    said = run(browser, "entities")
    tags = word_tags(models["tagger"][0], words)
    shown = json.loads(part(browser, "entities", "result").get_attribute("data-tags"))
    assert [(one["word"], one["tag"]) for one in shown] == list(zip(words, tags, strict=True))
    marks = browser.find_elements("css selector", "#entities mark")
    expected = chunks(tags)
    assert expected, "the tiny model finds nothing: the test would show nothing"
    assert [mark.get_attribute("data-type") for mark in marks] == [kind for kind, _, _ in expected]
    places = []
    for word in words:
        places.append(text.index(word, places[-1][1] if places else 0))
        places[-1] = (places[-1], places[-1] + len(word))
    spans = [(str(places[first][0]), str(places[last][1])) for _, first, last in expected]
    assert [(mark.get_attribute("data-start"), mark.get_attribute("data-end")) for mark in marks] == spans
    line = browser.find_element("css selector", "#entities .sentence")
    # Nothing of the text is lost or doubled.
    bare = "const line = arguments[0].cloneNode(true); line.querySelectorAll('small').forEach(s => s.remove());"
    assert browser.execute_script(bare + "return line.textContent", line) == text
    assert said.startswith(f"{len(expected)} entit")


def chunks(tags: list[str]) -> list[tuple[str, int, int]]:
    from seqeval.metrics.sequence_labeling import get_entities

    return get_entities(tags)


@pytest.mark.parametrize("model", [0, 1])  # embeddings; an encoder, whose mean the page takes
def test_similarities_are_the_cosines(browser, models, model) -> None:
    choose(browser, "similarity", model=model)
    fields = browser.find_elements("css selector", "#similarity .sentences input")
    texts = [field.get_attribute("value") for field in fields]
    assert len(texts) == 6
    said = run(browser, "similarity")
    script = (
        "return [...document.querySelectorAll('.matrix tbody tr')]"
        ".map(row => [...row.querySelectorAll('td')].map(cell => +cell.dataset.value))"
    )
    found = np.array(browser.execute_script(script))
    expected = np.array(cosines(models["vectors"][0], texts))
    np.testing.assert_allclose(found, expected, atol=1e-3)
    off = expected - 2 * np.eye(len(texts))
    pair = sorted(np.unravel_index(off.argmax(), off.shape))
    assert said.startswith(f"Most similar: {pair[0] + 1} and {pair[1] + 1} (")
    cells = browser.find_elements("css selector", ".matrix tbody td")
    assert [cell.text for cell in cells] == [f"{value:.2f}" for value in found.flatten()]
    # The colour follows the number.
    heat = browser.execute_script(
        "return arguments[0].map(c => getComputedStyle(c).getPropertyValue('--heat'))",
        [cell for cell in cells if "self" not in cell.get_attribute("class")],
    )
    values = found[~np.eye(len(texts), dtype=bool)]
    assert np.corrcoef([float(one) for one in heat], values)[0, 1] > 0.999


def test_words_and_entities_in_javascript(browser) -> None:
    def call(name, *arguments):
        script = "const [name, ...rest] = arguments; const done = rest.pop();"
        script += "import('/unibert/words.js').then(m => done(m[name](...rest)))"
        return browser.execute_async_script(script, name, *arguments)

    texts = [
        "",
        "  a  b ",
        "«Ça va?» – O'Brien-Smith, 3.5%…",
        "鲁迅出生于绍兴。",
        "ฉันรักกรุงเทพ",
        "𝒳 👍🏽 ok!",
        "東京タワーへ",
    ]
    for text in texts:
        words = call("splitWords", text)
        utf16 = text.encode("utf-16-le")
        for word in words:
            assert utf16[2 * word["start"] : 2 * word["end"]].decode("utf-16-le") == word["text"] != ""
        assert "".join(word["text"] for word in words) == "".join(text.split())
    assert [word["text"] for word in call("splitWords", texts[2])] == [
        *"«", "Ça", "va", "?", "»", "–", "O'Brien-Smith", ",", "3.5", "%", "…",
    ]  # fmt: skip
    assert len(call("splitWords", texts[3])) > 2 and len(call("splitWords", texts[4])) > 2
    chooser = random.Random(0)
    for _ in range(40):
        tags = chooser.choices(["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "LOC"][: chooser.choice([5, 5, 2])], k=9)
        words = [{"text": "w", "start": 2 * place, "end": 2 * place + 1} for place in range(9)]
        found = call("mergeEntities", words, tags, [1] * 9)
        assert [(one["type"], one["start"] // 2, one["end"] // 2) for one in found] == chunks(tags)


def test_costs_are_told(browser, models) -> None:
    _, folder = models["blanks"]
    before = part(browser, "fill", "costs").text
    assert f"{(folder / 'onnx' / 'model_quantized.onnx').stat().st_size / 1000:.1f} kB" in before
    run(browser, "fill")
    assert "median of 1 call" in part(browser, "fill", "costs").text
    part(browser, "fill", "repeat").click()
    idle(browser, "fill")
    costs = part(browser, "fill", "costs").text
    assert "median of the last 20 calls" in costs and "Load time" in costs and "Downloaded" in costs
    # Another weight file is another one to load and to time.
    choose(browser, "fill", precision="float32")
    costs = part(browser, "fill", "costs").text
    assert f"{(folder / 'onnx' / 'model.onnx').stat().st_size / 1000:.1f} kB" in costs


# --- what cannot be done ---


@pytest.mark.parametrize(
    ("section", "text", "says"),
    [
        ("fill", "nothing is missing here", "there is no blank"),
        ("fill", "much ___ " * 70, "the text is too long"),
        ("entities", "   ", "there is no text yet"),
        ("entities", "very long " * 70, "the text is too long"),
    ],
)
def test_what_cannot_be_answered_is_told(browser, section, text, says) -> None:
    write(browser, section, "It works ___ before")
    assert "Not done" not in run(browser, section)
    write(browser, section, text)
    browser.find_element("css selector", f"#{section} .run").click()
    wait(browser, "return document.querySelector(arguments[0]).classList.contains('problem')", f"#{section} .status")
    assert says in part(browser, section, "status").text
    assert part(browser, section, "result").text == ""
    write(browser, section, "It works ___ again")
    assert "Not done" not in run(browser, section)


def test_what_no_model_can_do_is_shown_with_the_way_to_it(driver, library, models) -> None:
    with serving(library, models, "tagger") as server:
        open_page(driver, server.address)
        missing = driver.find_elements("css selector", ".missing")
        assert [one.is_displayed() for one in missing] == [True, False, True]
        assert "unibert export MODEL --for head --output DIR" in missing[0].text
        assert "unibert export MODEL --for embeddings --output DIR" in missing[2].text
        assert [form.is_displayed() for form in driver.find_elements("css selector", "form")] == [False, True, False]
    with serving(library, models, "blanks", "vectors") as server:
        open_page(driver, server.address)
        missing = driver.find_elements("css selector", ".missing")
        assert [one.is_displayed() for one in missing] == [False, True, False]
        assert "unibert finetune --task ner" in missing[1].text


# --- nobody else is asked ---


def test_no_request_to_any_other_host(library, models, tmp_path) -> None:
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            strangers.append(self.path)
            self.send_response(200)
            self.send_header("Access-Control-Allow-Origin", "*")
            self.end_headers()

        def log_message(self, *_):
            pass

    strangers: list[str] = []
    record = tmp_path / "requests.json"
    other = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=other.serve_forever, daemon=True).start()
    browsers = start_browser(f"--log-net-log={record}")
    browser = next(browsers)
    with serving(library, models, "blanks", "tagger", "vectors") as server:
        open_page(browser, server.address)
        for section in ("fill", "entities", "similarity"):
            assert "Not done" not in run(browser, section)
        assert browser.get_log("browser") == []
        # The policy holds: even a request that the page's own script makes is stopped.
        stranger = f"http://127.0.0.1:{other.server_port}/stranger"
        script = "const done = arguments[1]; fetch(arguments[0]).then(() => done('asked'), () => done('stopped'))"
        assert browser.execute_async_script(script, stranger) == "stopped"
        assert "Content Security Policy" in browser.get_log("browser")[0]["message"]
        browser.get("about:blank")
        next(browsers, None)  # ends it, and the record with it
    other.shutdown()
    other.server_close()
    assert strangers == []
    events = json.loads(record.read_text(encoding="utf-8"))["events"]
    asked = [event["params"] for event in events if str(event.get("params", {}).get("url", "")).startswith("http")]
    origin = server.address.removesuffix("/unibert/")
    ours = {params["url"] for params in asked if params["url"].startswith(origin)}
    assert any(url.endswith("/onnxruntime.wasm") for url in ours) and any(url.endswith(".onnx") for url in ours)
    # What Chromium asks for itself is not begun by a page; what a page or its worker asks for is.
    assert any(p["url"].endswith(".onnx") and p.get("initiator", "").startswith(origin) for p in asked)
    foreign = {p["url"] for p in asked if not p["url"].startswith(origin) and p.get("initiator", "").startswith("http")}
    assert foreign == set()


# --- offline ---


def test_it_works_offline_after_loading(driver, library, models) -> None:
    with serving(library, models, "blanks", "vectors") as server:
        address = server.address
        open_page(driver, address)
        choose(driver, "fill", precision="float32")
        run(driver, "fill")
        wait(driver, "return document.querySelector('#offline').dataset.kept === 'blanks (float32)'")
        assert "Works offline now" in driver.find_element("id", "offline").text
        before = shown_pieces(driver)
        # Loaded again: nothing but the page itself is asked for.
        server.requests.clear()
        open_page(driver, address)
        choose(driver, "fill", precision="float32")
        run(driver, "fill")
        assert not [path for path in server.requests if "/models/" in path or "/library/" in path]
        assert "nothing: it was in this browser" in part(driver, "fill", "costs").text
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", server.server_port), timeout=5)
    open_page(driver, address)
    assert "blanks (float32)" in driver.find_element("id", "offline").text
    choose(driver, "fill", precision="float32")
    assert "Most likely" in run(driver, "fill")
    assert shown_pieces(driver) == before
    # What was never loaded cannot be had, and the page says so.
    assert "the server does not answer" in run(driver, "similarity")
    driver.get_log("browser")


def test_models_that_are_not_offered_any_more_are_forgotten(driver, library, models) -> None:
    script = (
        "const done = arguments[0]; caches.open('unibert-files').then(c => c.keys()).then(k => done(k.map(r => r.url)))"
    )
    with serving(library, models, "tagger") as server:
        open_page(driver, server.address)
        run(driver, "entities")
        wait(driver, "return document.querySelector('#offline').dataset.kept")
        assert any("/models/tagger/" in url for url in driver.execute_async_script(script))
        port = server.server_port
    with serving(library, models, "vectors", port=port) as server:
        open_page(driver, server.address)
        WebDriverWait(driver, PATIENCE).until(
            lambda _: not any("/models/tagger/" in url for url in driver.execute_async_script(script))
        )
        assert any("/library/" in url for url in driver.execute_async_script(script))
    driver.get_log("browser")


# --- for everybody ---


def test_the_keyboard_is_enough(browser) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.keys import Keys

    def press(*keys):
        chain = ActionChains(browser)
        for key in keys:
            chain = chain.send_keys(key)
        chain.perform()

    script = """
      const it = document.activeElement, style = getComputedStyle(it);
      return [it.closest('section')?.id ?? '', it.tagName, it.textContent.trim() || it.value || '',
              it.matches(':focus-visible') && style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2]"""
    press(Keys.TAB)
    assert browser.execute_script(script)[2] == "To the content"
    walked = []
    for _ in range(80):
        press(Keys.TAB)
        now = browser.execute_script(script)
        if now[1] == "BODY" or now[1] == "HTML":
            break
        walked.append(now)
    assert all(visible for *_, visible in walked), [one for one in walked if not one[3]]
    sections = [section for section, *_ in walked if section]
    assert list(dict.fromkeys(sections)) == ["fill", "entities", "similarity"] and sections == sorted(
        sections, key=["fill", "entities", "similarity"].index
    )
    reached = {(section, text) for section, _, text, _ in walked}
    assert {("fill", "Fill in"), ("fill", "Insert a blank"), ("fill", "العربية"), ("similarity", "Compare")} <= reached
    # Enter runs, Shift and Enter does not, nor does an Enter that ends the choice of a character.
    field = browser.find_element("css selector", "#fill textarea")
    field.click()
    ActionChains(browser).key_down(Keys.SHIFT).send_keys(Keys.ENTER).key_up(Keys.SHIFT).perform()
    assert "\n" in field.get_attribute("value")
    event = "new KeyboardEvent('keydown', { key: 'Enter', isComposing: true, bubbles: true, cancelable: true })"
    browser.execute_script(f"arguments[0].dispatchEvent({event})", field)
    assert part(browser, "fill", "status").text == ""
    press(Keys.ENTER)
    assert "Most likely" in idle(browser, "fill")
    assert browser.switch_to.active_element == field
    # A status is what screen readers read out.
    assert part(browser, "fill", "status").get_attribute("role") == "status"


def test_sentences_come_and_go(browser) -> None:
    def fields():
        return browser.find_elements("css selector", "#similarity .sentences input")

    removal = browser.find_elements("css selector", "#similarity .remove")
    assert removal[5].accessible_name == "Remove sentence 6"
    for button in reversed(removal[2:]):
        button.click()
    assert len(fields()) == 2
    assert not any(one.is_displayed() for one in browser.find_elements("css selector", "#similarity .remove"))
    browser.find_element("css selector", "#similarity .more").click()
    assert len(fields()) == 3 and browser.switch_to.active_element == fields()[2]
    browser.find_element("css selector", "#similarity .run").click()
    assert "sentence 3 is empty" in part(browser, "similarity", "status").text
    fields()[2].send_keys("Der Fluss\n")  # Enter runs here, too
    assert "Most similar" in idle(browser, "similarity")
    assert len(browser.find_elements("css selector", ".matrix tbody tr")) == 3
    for _ in range(7):
        browser.find_element("css selector", "#similarity .more").click()
    assert not browser.find_element("css selector", "#similarity .more").is_displayed() and len(fields()) == 10


def test_right_to_left_is_written_so(browser) -> None:
    for section in ("fill", "entities"):
        buttons = browser.find_elements("css selector", f"#{section} .examples button")
        next(button for button in buttons if button.text == "العربية").click()
        idle(browser, section)
        for selector in ("textarea", ".sentence"):
            found = browser.find_element("css selector", f"#{section} {selector}")
            assert found.value_of_css_property("direction") == "rtl"
            assert found.get_attribute("lang") == "ar"
    write(browser, "fill", "The ___ again")
    field = browser.find_element("css selector", "#fill textarea")
    assert field.value_of_css_property("direction") == "ltr" and not field.get_attribute("lang")
    arabic = browser.find_elements("css selector", "#similarity .sentences input")[2]
    assert arabic.value_of_css_property("direction") == "rtl"


CONTRASTS = """
  const canvas = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (colour) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = colour; canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const ground = (it) => {
    for (; it; it = it.parentElement) {
      const colour = rgb(getComputedStyle(it).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const it = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !it.checkVisibility() || it.closest('.skip, template')) continue;
    const [a, b] = [luminance(rgb(getComputedStyle(it).color)), luminance(ground(it))];
    const contrast = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    found.push([contrast, it.className || it.tagName, walker.currentNode.data]);
  }
  return found;"""


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 390, 1400])
def test_it_fits_and_can_be_read(browser, width, theme) -> None:
    screen(browser, width, theme)
    write(browser, "entities", "Ada Lovelace met Charles Babbage in London " + "verylongword" * 12)
    for section in ("fill", "entities", "similarity"):
        assert "Not done" not in run(browser, section)
    browser.find_element("css selector", "#similarity .more").click()
    part(browser, "similarity", "run").click()  # an empty sentence: a problem to be read, too
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    outside = browser.execute_script(
        "return [...document.querySelectorAll('main *')].filter(it => it.checkVisibility()"
        " && it.getBoundingClientRect().right > innerWidth + 1).map(it => it.outerHTML.slice(0, 80))"
    )
    assert outside == []
    contrasts = browser.execute_script(CONTRASTS)
    assert len(contrasts) > 80
    assert [one for one in contrasts if one[0] < 4.5] == []
    if width < 600:  # a finger's width, or nearly
        controls = "[...document.querySelectorAll('button, select')].filter(it => it.checkVisibility())"
        low = browser.execute_script(f"return {controls}.filter(it => it.offsetHeight < 32).map(it => it.outerHTML)")
        assert low == []


def test_threads_give_the_same_answer(driver, library, models) -> None:
    with serving(library, models, "blanks") as server:
        found = []
        for threads in (1, 2):
            open_page(driver, f"{server.address}?threads={threads}")
            assert driver.execute_script("return crossOriginIsolated")
            choose(driver, "fill", precision="float32")
            run(driver, "fill")
            assert f"{threads} thread" in part(driver, "fill", "costs").text
            found.append(shown_pieces(driver))
    np.testing.assert_allclose(*found, atol=1e-5)
    assert driver.get_log("browser") == []
