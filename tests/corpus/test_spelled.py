import pytest

from unibert.corpus.spelled import speller
from unibert.corpus.wikitext import plain_text


@pytest.mark.parametrize(
    ("template", "text"),
    [
        # words that are dressed, marked or in another language
        ("{{nowrap|10 km}}", "10 km"),
        ("{{Lang|fr|Bonjour}}", "Bonjour"),
        ("{{langue|de|texte=Straßen}}", "Straßen"),
        ("{{lang-ru|Москва}}", "Москва"),
        ("{{langx|ru|Москва|Moskva|Moscow}}", "Москва"),
        ("{{k-de|Stadt}}", "Stadt"),
        ("{{script/Arabic|مدينة}}", "مدينة"),
        ("{{Citazione_necessaria|non è noto}}", "non è noto"),
        ("{{incise|très tard}}", "très tard"),
        # pages that exist in another language only
        ("{{仮リンク|都市|en|Town}}", "都市"),
        ("{{ill|Die Stadt|en|The Town}}", "Die Stadt"),
        ("{{ill|en|Die Stadt|The Town}}", "Die Stadt"),
        ("{{ill|Die Stadt|en|The Town|lt=Stadt}}", "Stadt"),
        ("{{нп5|Город|городе|en|Town}}", "городе"),
        ("{{нп5|Город||en|Town}}", "Город"),
        ("{{iw|Город|en|Town}}", "Город"),
        ("{{tsl|en|Town|城市}}", "城市"),
        ("{{tsl|en|Town|城市|城}}", "城"),
        ("{{link-en|城市|Town}}", "城市"),
        # numbers, measures, dates
        ("{{convert|5|km|mi}}", "5 km"),
        ("{{convert|5|to|6|km}}", "5 to 6 km"),
        ("{{unité|12|km|2}}", "12 km2"),
        ("{{unité|5 millions}}", "5 millions"),
        ("{{nombre|200|pages}}", "200 pages"),
        ("{{M|2|k|Pa}}", "2 kPa"),
        ("{{Höhe|115|DE-NHN}}", "115 m"),
        ("{{heure|4|30}}", "4 h 30"),
        ("{{formatnum:1234}}", "1234"),
        ("{{val|6.24|e=18}}", "6.24"),
        ("{{frac|3}}", "1/3"),
        ("{{frac|2|3}}", "2/3"),
        ("{{frac|1|2|3}}", "1 2/3"),
        ("{{chem|H|2|O}}", "H2O"),
        ("{{date|1|mai|1955}}", "1er mai 1955"),
        ("{{date|15|mai|1955}}", "15 mai 1955"),
        ("{{s|XIX|e}}", "XIXe siècle"),
        ("{{segle|XIII|s}}", "segle XIII"),
        ("{{séc|XX}}", "século XX"),
        ("{{As of|2010|5|2}}", "As of 2 May 2010"),
        ("{{as of|2010|lc=y}}", "as of 2010"),
        ("{{as of|2010|since=y|lc=y}}", "since 2010"),
        ("{{as of|2010|alt=by then}}", "by then"),
        # quotations
        ("{{quote|One [[word|Word]] more.|Author}}", "One Word more."),
        ("{{Quote|text=One.|author=A}}", "One."),
        ("{{quote|One:\n:* two\n\n: three}}", "One: two three"),
        ('{{"|Ein Wort}}', "Ein Wort"),
        ("{{q|Due parole}}", "Due parole"),
        # characters
        ("{{'}}", "'"),
        ("{{ndash}}", "–"),
        ("{{nbsp}}x", "x"),
        # one in another
        ("{{nowrap|{{lang|de|Haus}} am {{ill|See|en|Lake}}}}", "Haus am See"),
    ],
)
def test_templates_that_stand_for_words_show_them(template, text):
    assert plain_text(f"a {template} b") == f"a {text} b"


@pytest.mark.parametrize(
    "template",
    [
        "{{Infobox Stadt|name=Stadt}}",
        "{{sfn|Muster|1999|p=9}}",
        "{{citation needed|date=May 2014}}",
        "{{cn|date=May 2014}}",
        "{{citation|last=Muster|title=Das Buch}}",
        "{{q|Q42}}",
        "{{s|matematica}}",
        "{{M|masculin}}",
        "{{tmp|Divisione}}",
        "{{convert}}",
        "{{lang}}",
        "{{nowrap|a\nb}}",
        "{{frac|}}" * 0 + "{{nowrap|}}",
        "{{nowrap|" + "a" * 5_000 + "}}",
    ],
)
def test_templates_that_show_nothing_in_a_sentence_leave_no_trace(template):
    assert plain_text(f"a {template} b.") == "a b."


@pytest.mark.parametrize("name", ["link fa", "lang", "k-", "langley-de", "unknown", "", "link-interwiki"])
def test_only_short_codes_make_a_label(name):
    assert (speller(name) is None) is (name != "lang")


@pytest.mark.parametrize(
    "name",
    ["nowrap", "lang", "convert", "frac", "as of", "quote", "ill", "нп5", "tsl", "s", "m", "chem", "date", "heure"],
)
@pytest.mark.parametrize("arguments", [[], [""], ["", "", ""], ["x"], ["1", "2", "3", "4", "5", "6"]])
def test_any_number_of_arguments_is_borne(name, arguments):
    assert isinstance(speller(name)(arguments, {}), str)
