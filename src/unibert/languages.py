"""The languages: code, names, script, family, Wikipedia; and which of them a file is in, from the file's name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from unibert.errors import DataError


@dataclass(frozen=True)
class Language:
    """One language as Wikipedia writes it."""

    code: str
    """The code of its Wikipedia, which is the ISO 639 code in most cases."""
    name: str
    """In English."""
    native: str
    """In the language itself."""
    script: str
    """ISO 15924 code of the script it is mostly written in; `Zyyy` (undetermined) for an unknown language."""
    family: str
    """Genealogical group, for figures by family; `unknown` for an unknown language.

    The language family; of the four families that would hold most of the table (Indo-European, Afro-Asiatic,
    Niger-Congo, Sino-Tibetan) the branch. Latin stands with its daughters under Romance, a creole with the language
    that most of its words are from, Basque, an isolate, by itself; planned languages are `Constructed`.
    """
    wiki: str
    """Database name of its Wikipedia, which is how its dumps are named; empty where there is no Wikipedia."""


# code, English name, native name, script, family[, wiki if it is not CODEwiki; "-" if there is none]
_TABLE = """
ab, Abkhaz, Аԥсшәа, Cyrl, Northwest Caucasian
af, Afrikaans, Afrikaans, Latn, Germanic
als, Alemannic, Alemannisch, Latn, Germanic
am, Amharic, አማርኛ, Ethi, Semitic
an, Aragonese, Aragonés, Latn, Romance
ang, Old English, Ænglisc, Latn, Germanic
ar, Arabic, العربية, Arab, Semitic
arq, Algerian Arabic, الدارجة الجزائرية, Arab, Semitic, -
arz, Egyptian Arabic, مصرى, Arab, Semitic
as, Assamese, অসমীয়া, Beng, Indo-Aryan
ast, Asturian, Asturianu, Latn, Romance
awa, Awadhi, अवधी, Deva, Indo-Aryan
az, Azerbaijani, Azərbaycanca, Latn, Turkic
azb, South Azerbaijani, تۆرکجه, Arab, Turkic
ba, Bashkir, Башҡортса, Cyrl, Turkic
bar, Bavarian, Boarisch, Latn, Germanic
bas, Basaa, Ɓasaá, Latn, Bantu, -
be, Belarusian, Беларуская, Cyrl, Slavic
be-tarask, Belarusian (Taraškievica), Беларуская (тарашкевіца), Cyrl, Slavic, be_x_oldwiki
ber, Berber, Tamaziɣt, Latn, Berber, -
bg, Bulgarian, Български, Cyrl, Slavic
bn, Bengali, বাংলা, Beng, Indo-Aryan
bpy, Bishnupriya Manipuri, বিষ্ণুপ্রিয়া মণিপুরী, Beng, Indo-Aryan
br, Breton, Brezhoneg, Latn, Celtic
bs, Bosnian, Bosanski, Latn, Slavic
ca, Catalan, Català, Latn, Romance
cbk-zam, Chavacano, Chavacano de Zamboanga, Latn, Romance, cbk_zamwiki
ce, Chechen, Нохчийн, Cyrl, Northeast Caucasian
ceb, Cebuano, Sinugboanon, Latn, Austronesian
ch, Chamorro, Chamoru, Latn, Austronesian
ckb, Central Kurdish, کوردی, Arab, Iranian
cnh, Hakha Chin, Lai holh, Latn, Tibeto-Burman, -
cs, Czech, Čeština, Latn, Slavic
csb, Kashubian, Kaszëbsczi, Latn, Slavic
cv, Chuvash, Чӑвашла, Cyrl, Turkic
cy, Welsh, Cymraeg, Latn, Celtic
da, Danish, Dansk, Latn, Germanic
de, German, Deutsch, Latn, Germanic
dsb, Lower Sorbian, Dolnoserbski, Latn, Slavic
dtp, Central Dusun, Kadazandusun, Latn, Austronesian, -
dv, Divehi, ދިވެހިބަސް, Thaa, Indo-Aryan
el, Greek, Ελληνικά, Grek, Hellenic
en, English, English, Latn, Germanic
eo, Esperanto, Esperanto, Latn, Constructed
es, Spanish, Español, Latn, Romance
et, Estonian, Eesti, Latn, Uralic
eu, Basque, Euskara, Latn, Basque
fa, Persian, فارسی, Arab, Iranian
fi, Finnish, Suomi, Latn, Uralic
fo, Faroese, Føroyskt, Latn, Germanic
fr, French, Français, Latn, Romance
fy, West Frisian, Frysk, Latn, Germanic
ga, Irish, Gaeilge, Latn, Celtic
gd, Scottish Gaelic, Gàidhlig, Latn, Celtic
gl, Galician, Galego, Latn, Romance
gn, Guarani, Avañe'ẽ, Latn, Tupian
gu, Gujarati, ગુજરાતી, Gujr, Indo-Aryan
ha, Hausa, Hausa, Latn, Chadic
he, Hebrew, עברית, Hebr, Semitic
hi, Hindi, हिन्दी, Deva, Indo-Aryan
hr, Croatian, Hrvatski, Latn, Slavic
hsb, Upper Sorbian, Hornjoserbsce, Latn, Slavic
ht, Haitian Creole, Kreyòl ayisyen, Latn, Romance
hu, Hungarian, Magyar, Latn, Uralic
hy, Armenian, Հայերեն, Armn, Armenian
ia, Interlingua, Interlingua, Latn, Constructed
id, Indonesian, Bahasa Indonesia, Latn, Austronesian
ie, Interlingue, Interlingue, Latn, Constructed
io, Ido, Ido, Latn, Constructed
is, Icelandic, Íslenska, Latn, Germanic
it, Italian, Italiano, Latn, Romance
ja, Japanese, 日本語, Jpan, Japonic
jv, Javanese, Jawa, Latn, Austronesian
ka, Georgian, ქართული, Geor, Kartvelian
kab, Kabyle, Taqbaylit, Latn, Berber
kk, Kazakh, Қазақша, Cyrl, Turkic
km, Khmer, ភាសាខ្មែរ, Khmr, Austroasiatic
kn, Kannada, ಕನ್ನಡ, Knda, Dravidian
ko, Korean, 한국어, Kore, Koreanic
ku, Kurmanji Kurdish, Kurdî, Latn, Iranian
kw, Cornish, Kernewek, Latn, Celtic
ky, Kyrgyz, Кыргызча, Cyrl, Turkic
kzj, Coastal Kadazan, Kadazan, Latn, Austronesian, -
la, Latin, Latina, Latn, Romance
lb, Luxembourgish, Lëtzebuergesch, Latn, Germanic
lfn, Lingua Franca Nova, Lingua Franca Nova, Latn, Constructed
lg, Luganda, Luganda, Latn, Bantu
li, Limburgish, Limburgs, Latn, Germanic
lmo, Lombard, Lombard, Latn, Romance
lt, Lithuanian, Lietuvių, Latn, Baltic
ltg, Latgalian, Latgaļu, Latn, Baltic
lv, Latvian, Latviešu, Latn, Baltic
lzh, Classical Chinese, 文言, Hant, Sinitic, zh_classicalwiki
max, North Moluccan Malay, Bahasa Maluku Utara, Latn, Austronesian, -
mg, Malagasy, Malagasy, Latn, Austronesian
mhr, Meadow Mari, Олык марий, Cyrl, Uralic
mi, Māori, Māori, Latn, Austronesian
min, Minangkabau, Minangkabau, Latn, Austronesian
mk, Macedonian, Македонски, Cyrl, Slavic
ml, Malayalam, മലയാളം, Mlym, Dravidian
mn, Mongolian, Монгол, Cyrl, Mongolic
mr, Marathi, मराठी, Deva, Indo-Aryan
mrj, Hill Mari, Кырык мары, Cyrl, Uralic
ms, Malay, Bahasa Melayu, Latn, Austronesian
mt, Maltese, Malti, Latn, Semitic
my, Burmese, မြန်မာဘာသာ, Mymr, Tibeto-Burman
mzn, Mazanderani, مازِرونی, Arab, Iranian
nan, Southern Min, Bân-lâm-gí, Latn, Sinitic, zh_min_nanwiki
nap, Neapolitan, Napulitano, Latn, Romance
nds, Low Saxon, Plattdüütsch, Latn, Germanic
nds-nl, Dutch Low Saxon, Nedersaksies, Latn, Germanic, nds_nlwiki
ne, Nepali, नेपाली, Deva, Indo-Aryan
new, Newar, नेपाल भाषा, Deva, Tibeto-Burman
nl, Dutch, Nederlands, Latn, Germanic
nn, Norwegian Nynorsk, Norsk nynorsk, Latn, Germanic
no, Norwegian Bokmål, Norsk bokmål, Latn, Germanic
nov, Novial, Novial, Latn, Constructed
oc, Occitan, Occitan, Latn, Romance
or, Odia, ଓଡ଼ିଆ, Orya, Indo-Aryan
orv, Old East Slavic, рѹсьскъ ѩзыкъ, Cyrl, Slavic, -
os, Ossetian, Ирон, Cyrl, Iranian
pa, Punjabi, ਪੰਜਾਬੀ, Guru, Indo-Aryan
pam, Kapampangan, Kapampangan, Latn, Austronesian
pl, Polish, Polski, Latn, Slavic
pms, Piedmontese, Piemontèis, Latn, Romance
pnb, Western Punjabi, پنجابی, Arab, Indo-Aryan
ps, Pashto, پښتو, Arab, Iranian
pt, Portuguese, Português, Latn, Romance
qu, Quechua, Runa Simi, Latn, Quechuan
rm, Romansh, Rumantsch, Latn, Romance
ro, Romanian, Română, Latn, Romance
ru, Russian, Русский, Cyrl, Slavic
rup, Aromanian, Armãneashti, Latn, Romance, roa_rupwiki
rw, Kinyarwanda, Ikinyarwanda, Latn, Bantu
sa, Sanskrit, संस्कृतम्, Deva, Indo-Aryan
sah, Yakut, Саха тыла, Cyrl, Turkic
scn, Sicilian, Sicilianu, Latn, Romance
sco, Scots, Scots, Latn, Germanic
sgs, Samogitian, Žemaitėška, Latn, Baltic, bat_smgwiki
sh, Serbo-Croatian, Srpskohrvatski, Latn, Slavic
si, Sinhala, සිංහල, Sinh, Indo-Aryan
simple, Simple English, Simple English, Latn, Germanic
sk, Slovak, Slovenčina, Latn, Slavic
sl, Slovenian, Slovenščina, Latn, Slavic
sn, Shona, ChiShona, Latn, Bantu
so, Somali, Soomaaliga, Latn, Cushitic
sq, Albanian, Shqip, Latn, Albanian
sr, Serbian, Српски, Cyrl, Slavic
ss, Swati, SiSwati, Latn, Bantu
st, Southern Sotho, Sesotho, Latn, Bantu
su, Sundanese, Basa Sunda, Latn, Austronesian
sv, Swedish, Svenska, Latn, Germanic
sw, Swahili, Kiswahili, Latn, Bantu
swg, Swabian, Schwäbisch, Latn, Germanic, -
ta, Tamil, தமிழ், Taml, Dravidian
te, Telugu, తెలుగు, Telu, Dravidian
tg, Tajik, Тоҷикӣ, Cyrl, Iranian
th, Thai, ไทย, Thai, Kra-Dai
tk, Turkmen, Türkmençe, Latn, Turkic
tl, Tagalog, Tagalog, Latn, Austronesian
tn, Tswana, Setswana, Latn, Bantu
tr, Turkish, Türkçe, Latn, Turkic
ts, Tsonga, Xitsonga, Latn, Bantu
tt, Tatar, Татарча, Cyrl, Turkic
tzl, Talossan, Talossan, Latn, Constructed, -
ug, Uyghur, ئۇيغۇرچە, Arab, Turkic
uk, Ukrainian, Українська, Cyrl, Slavic
ur, Urdu, اردو, Arab, Indo-Aryan
uz, Uzbek, Oʻzbekcha, Latn, Turkic
vec, Venetian, Vèneto, Latn, Romance
vi, Vietnamese, Tiếng Việt, Latn, Austroasiatic
vo, Volapük, Volapük, Latn, Constructed
vot, Votic, Vaďďa, Latn, Uralic, -
vro, Võro, Võro, Latn, Uralic, fiu_vrowiki
war, Waray, Winaray, Latn, Austronesian
wuu, Wu Chinese, 吴语, Hani, Sinitic
xh, Xhosa, IsiXhosa, Latn, Bantu
yi, Yiddish, ייִדיש, Hebr, Germanic
yo, Yoruba, Yorùbá, Latn, Volta-Niger
yue, Cantonese, 粵語, Hant, Sinitic, zh_yuewiki
zh, Chinese, 中文, Hani, Sinitic
zu, Zulu, IsiZulu, Latn, Bantu
"""


def _read_table(lines: str) -> dict[str, Language]:
    table = {}
    for line in lines.strip().splitlines():
        code, name, native, script, family, *wiki = line.split(", ")
        database = wiki[0] if wiki else f"{code}wiki"
        table[code] = Language(code, name, native, script, family, "" if database == "-" else database)
    return table


LANGUAGES = _read_table(_TABLE)
"""Every language of the table, by code."""

_MBERT = """
af an ar ast az azb ba bar be bg bn bpy br bs ca ce ceb cs cv cy da de el en es et eu fa fi fr fy ga gl gu he hi hr ht
hu hy id io is it ja jv ka kk kn ko ky la lb lmo lt lv mg min mk ml mn mr ms my nds ne new nl nn no oc pa pl pms pnb pt
ro ru scn sco sh sk sl sq sr su sv sw ta te tg th tl tr tt uk ur uz vi vo war yo zh
"""
MBERT_CODES = tuple(_MBERT.split())
"""The Wikipedias that mBERT was trained on: its 104 languages; the two ways to write Chinese are one Wikipedia."""

PAPER_CODES = tuple(sorted((*MBERT_CODES, "ss", "ia", "ku", "vec")))
"""Our reading of the paper's 107 languages, of which it names Swati only beyond mBERT's.

mBERT's 104 languages are 103 Wikipedias; with Swati, three more make 107. They are the largest Latin-script Wikipedias
that we know of outside mBERT's whose spelling we could measure on real text and of which mBERT's vocabulary turns fewer
than 1 word in 1,000 into [UNK]: Kurmanji Kurdish (0.02 % of the words), Venetian (none of 700) and Interlingua (none).
Esperanto (9.4 %: there is no ĉ, ĝ, ŝ), Hausa (3.8 %: no ɓ, ɗ, ƙ) and Southern Min (no o͘) are larger, but out.
"""

# ISO 639-3 code and ours, where they differ.
_ISO_639_3 = """
abk ab, afr af, als sq, amh am, ara ar, arb ar, arg an, asm as, aze az, azj az, bak ba, bel be, ben bn, bos bs,
bre br, bul bg, cat ca, cbk cbk-zam, ces cs, cha ch, che ce, chv cv, cmn zh, cor kw, cym cy, dan da, deu de, div dv,
ekk et, ell el, eng en, epo eo, est et, eus eu, fao fo, fas fa, fil tl, fin fi, fra fr, fry fy, gla gd, gle ga,
glg gl, grn gn, gsw als, gug gn, guj gu, hat ht, hau ha, hbs sh, heb he, hin hi, hrv hr, hun hu, hye hy, ido io,
ile ie, ina ia, ind id, isl is, ita it, jav jv, jpn ja, kan kn, kat ka, kaz kk, khk mn, khm km, kin rw, kir ky,
kmr ku, kor ko, kur ku, lat la, lav lv, lim li, lit lt, ltz lb, lug lg, lvs lv, mal ml, mar mr, mkd mk, mlg mg,
mlt mt, mon mn, mri mi, msa ms, mya my, nep ne, nld nl, nno nn, nob no, nor no, npi ne, oci oc, ori or, ory or,
oss os, pan pa, pbt ps, pes fa, plt mg, pol pl, por pt, pus ps, que qu, quy qu, roh rm, ron ro, rus ru, san sa,
sin si, slk sk, slv sl, sna sn, som so, sot st, spa es, sqi sq, srp sr, ssw ss, sun su, swa sw, swe sv, swh sw,
tam ta, tat tt, tel te, tgk tg, tgl tl, tha th, tsn tn, tso ts, tuk tk, tur tr, uig ug, ukr uk, urd ur, uzb uz,
uzn uz, vie vi, vol vo, xho xh, ydd yi, yid yi, yor yo, zho zh, zlm ms, zsm ms, zul zu
"""
ISO_639_3 = dict(entry.split() for entry in _ISO_639_3.replace("\n", " ").split(","))
"""Our code by the ISO 639-3 code, where they differ; of a language with dialects also by its main dialect's code.

One code means two languages: Wikipedia's `als` is Alemannic (ISO `gsw`), the standard's is Tosk Albanian.
"""

_CODE_OF_WIKI = {language.wiki: language.code for language in LANGUAGES.values() if language.wiki}

_DUMP_NAME = re.compile(
    r"(?P<code>[a-z]+(?:_[a-z]+)*)"
    r"(?:wiki|wiktionary|wikibooks|wikinews|wikiquote|wikisource|wikiversity|wikivoyage)(?=[-.])"
)
_TEXT_NAME = re.compile(r"(?P<code>[a-z]{2,3}(?:[-_][a-z]{2,10})*|simple)\.(?:txt|text)\b")


def language(code: str) -> Language:
    """The language with this code; an unknown code gives an entry that is named by the code itself."""
    return LANGUAGES.get(code) or Language(code, code, code, "Zyyy", "unknown", f"{code.replace('-', '_')}wiki")


def select_languages(names: Iterable[str]) -> list[Language]:
    """The languages of these codes, each once, in the order they are first named.

    Args:
        names: codes; `paper` stands for the 107 of the paper (`PAPER_CODES`), `all` for every Wikipedia of the table.
            A code that is not in the table is taken for a Wikipedia that we do not know.

    Raises:
        DataError: no name at all, something that cannot be a code, or a language without a Wikipedia.
    """
    groups = {"paper": PAPER_CODES, "all": tuple(code for code, entry in LANGUAGES.items() if entry.wiki)}
    codes = dict.fromkeys(code for name in names for code in groups.get(name, (name,)))
    hint = "`unibert languages` lists the codes; `paper` and `all` stand for many."
    if not codes:
        raise DataError("no language is named", hint)
    for code in codes:
        if not re.fullmatch(r"[a-z]{2,12}([-_][a-z]{1,12})*", code):
            raise DataError(f"{code!r} is not the code of a language", hint)
        if not language(code).wiki:
            raise DataError(f"{code}: there is no Wikipedia in {language(code).name}", "Leave the language out.")
    return [language(code) for code in codes]


def format_languages(entries: Iterable[Language]) -> str:
    """An aligned table with a header: code, English name, native name, script, family, wiki database name."""
    rows = [("code", "name", "own name", "script", "family", "wiki")]
    rows += [(e.code, e.name, e.native, e.script, e.family, e.wiki or "-") for e in entries]
    widths = [max(_columns(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell + " " * (width - _columns(cell)) for cell, width in zip(row, widths, strict=True))
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in lines)


def _columns(text: str) -> int:
    """Columns a terminal takes for this text: two for a wide character, none for a mark upon the one before it."""
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me", "Cf") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def language_of_file(path: Path | str) -> str:
    """The language code in the name of a dump or a text file.

    `dewiki-20260101-pages-articles-multistream1.xml-p1p100.bz2` and `de.txt.gz` give `de`, `zh_yuewiki-...` gives
    `yue`.
    The name is the only witness: the header of a dump may name another language than the text is in.

    Raises:
        DataError: no language in the name.
    """
    name = Path(path).name
    dump = _DUMP_NAME.match(name)
    if dump:
        code = dump["code"]
        known = _CODE_OF_WIKI.get(f"{code}wiki")
        if known:
            return known
        # commonswiki, metawiki, specieswiki and their like have no language; the codes of languages are this short.
        if re.fullmatch(r"[a-z]{2,3}(_[a-z]+)*", code):
            return code.replace("_", "-")
    text = _TEXT_NAME.match(name)
    if text:
        code = text["code"].replace("_", "-")
        return _CODE_OF_WIKI.get(f"{text['code'].replace('-', '_')}wiki", code)
    raise DataError(
        f"{path}: no language in the file's name",
        "Name a dump as Wikimedia does (dewiki-20260101-pages-articles.xml.bz2) and a text file de.txt or de.txt.gz.",
    )
