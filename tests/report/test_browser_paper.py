"""The page on paper, and by keyboard alone, in a real browser."""

from __future__ import annotations

import base64
import re

import pytest

from browser_support import needs_browser, screen, start_browser

pytestmark = needs_browser


@pytest.fixture(scope="module")
def browser():
    yield from start_browser()


def test_every_control_is_reached_and_seen_by_keyboard(browser, small_report):
    screen(browser, 1280)
    browser.get(small_report.as_uri())
    unseen = browser.execute_script("""
      const controls = 'a[href], button, input, select, summary, [tabindex]';
      const there = [...document.querySelectorAll(controls)].filter(e => e.checkVisibility() && !e.closest('dialog'));
      return there.filter(e => {
        e.focus({focusVisible: true});
        const seen = e.type === 'radio' ? e.nextElementSibling : e;
        return document.activeElement !== e || e.tabIndex < 0 || parseFloat(getComputedStyle(seen).outlineWidth) < 2;
      }).map(e => e.outerHTML.slice(0, 100));""")
    assert unseen == []
    nameless = browser.execute_script("""
      const named = 'button, input, select, [role=region], [role=group], [role=img]';
      return [...document.querySelectorAll(named)].filter(e => !(
        e.ariaLabel || e.textContent.trim() || e.labels?.[0]?.textContent.trim() || e.getAttribute('aria-labelledby')
      )).map(e => e.outerHTML.slice(0, 100));""")
    assert nameless == []


PAPER = 703
"""Pixels of text on A4, portrait, with the page's own margins of 12 mm."""


def test_paper_shows_everything_and_cuts_nothing_off(browser, large_report):
    screen(browser, 1280)
    browser.get_log("browser")
    browser.get(large_report.as_uri())
    before = browser.execute_script("return document.querySelector('main').innerHTML")
    closed = len(browser.find_elements("css selector", "details:not([open])"))
    assert closed >= 2
    try:
        browser.execute_script("dispatchEvent(new Event('beforeprint'))")
        screen(browser, PAPER)
        features = [{"name": "prefers-color-scheme", "value": "dark"}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print", "features": features})
        assert (
            browser.execute_script("return getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        ), "paper is white, whatever the screen"
        assert not browser.find_elements("css selector", "details:not([open])")
        seen = "[...document.querySelectorAll('%s')].filter(e => e.checkVisibility())"
        cut_off = browser.execute_script(
            f"return {seen % 'main td, main th, footer td, p, pre, svg, .picture text'}"
            f".filter(e => e.getBoundingClientRect().right > {PAPER} + 1 || e.scrollWidth > e.clientWidth + 1 && "
            "e.clientWidth && getComputedStyle(e).overflowX !== 'visible')"
            ".map(e => e.textContent.slice(0, 40))"
        )
        assert cut_off == []
        small = browser.execute_script(
            f"return {seen % 'td, th, p, li'}.filter(e => parseFloat(getComputedStyle(e).fontSize) < 10).length"
        )
        assert small == 0, "8 pt is the smallest type"
        hidden = browser.execute_script(f"return {seen % '.enlarge, .filters, .theme, nav, dialog'}.length")
        assert hidden == 0
        # All columns of a table that was cut are there, and the language is in every part.
        heads = browser.execute_script(
            "return [...document.querySelectorAll('#table-corpus ~ table')].map("
            "t => [...t.tHead.rows[0].cells].map(c => c.textContent))"
        )
        assert len(heads) >= 2
        assert all(head[0] == "Code" for head in heads)
        whole = browser.execute_script(
            "return [...document.querySelector('#table-corpus').tHead.rows[0].cells].map(c => c.textContent)"
        )
        assert heads[0] + [name for head in heads[1:] for name in head[1:]] == whole
        ids = "const ids = [...document.querySelectorAll('[id]')].map(e => e.id); return ids.length - new Set(ids).size"
        assert browser.execute_script(ids) == 0
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.execute_script("dispatchEvent(new Event('afterprint'))")
    assert len(browser.find_elements("css selector", "details:not([open])")) == closed
    assert browser.execute_script("return document.querySelector('main').innerHTML") == before
    browser.find_elements("css selector", "#table-corpus th button")[1].send_keys("\ue007")
    names = browser.execute_script(
        "return [...document.querySelectorAll('#table-corpus tbody tr')].map(r => r.cells[1].innerText)"
    )
    assert names == sorted(names, key=str.casefold), "headings still sort"
    assert browser.get_log("browser") == []


def test_browser_itself_prints_every_fold(browser, small_report):
    """`beforeprint` comes before the pages are made, so what is folded is on them."""
    screen(browser, 1280)
    browser.get(small_report.as_uri())
    script = (
        "window.opened = []; addEventListener('beforeprint', () => opened.push(document.querySelectorAll('{}').length))"
    )
    browser.execute_script(script.replace("{}", "details:not([open])"))
    printed = browser.execute_cdp_cmd("Page.printToPDF", {"preferCSSPageSize": True})["data"]
    pages = len(re.findall(rb"/Type\s*/Page\b", base64.b64decode(printed)))
    assert pages >= 8
    assert browser.execute_script("return opened") == [0]
    assert browser.find_elements("css selector", "details:not([open])"), "folded again afterwards"


def test_picture_that_is_enlarged_is_printed_in_its_place(browser, small_report):
    screen(browser, 1280)
    browser.get_log("browser")
    browser.get(small_report.as_uri())
    browser.execute_script("document.querySelector('#models .enlarge').click()")
    assert browser.find_elements("css selector", "dialog[open] svg")
    browser.execute_script(
        "addEventListener('beforeprint', () => window.there = !!document.querySelector('#models .picture svg'))"
    )
    browser.execute_cdp_cmd("Page.printToPDF", {})
    assert browser.execute_script("return there")
    assert browser.get_log("browser") == []


def test_long_names_are_broken_on_paper_and_not_cut_off(browser, small_report):
    """Forty languages that were trained on, joined by signs, are one word to the browser."""
    screen(browser, 1280)
    browser.get(small_report.as_uri())
    browser.execute_script(
        "const cell = document.querySelector('#table-ner-seeds tbody tr').cells[2]; cell.textContent = 'en+'.repeat(40)"
    )
    try:
        browser.execute_script("dispatchEvent(new Event('beforeprint'))")
        screen(browser, PAPER)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
        assert browser.execute_script("return document.documentElement.scrollWidth") <= PAPER
        wide = (
            "[...document.querySelectorAll('table')].filter(t => t.checkVisibility() && t.offsetWidth > arguments[0])"
        )
        assert browser.execute_script(f"return {wide}.length", PAPER) == 0
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
        browser.execute_script("dispatchEvent(new Event('afterprint'))")
