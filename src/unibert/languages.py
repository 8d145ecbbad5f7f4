"""The languages: code, names, script, Wikipedia; and which of them a file is in, from the file's name."""

from __future__ import annotations

import re
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
    wiki: str
    """Database name of its Wikipedia, which is how its dumps are named; empty where there is no Wikipedia."""


# code, English name, native name, script[, wiki if it is not CODEwiki; "-" if there is none]
_TABLE = """
ab, Abkhaz, Аԥсшәа, Cyrl
af, Afrikaans, Afrikaans, Latn
als, Alemannic, Alemannisch, Latn
am, Amharic, አማርኛ, Ethi
an, Aragonese, Aragonés, Latn
ar, Arabic, العربية, Arab
arz, Egyptian Arabic, مصرى, Arab
as, Assamese, অসমীয়া, Beng
ast, Asturian, Asturianu, Latn
az, Azerbaijani, Azərbaycanca, Latn
azb, South Azerbaijani, تۆرکجه, Arab
ba, Bashkir, Башҡортса, Cyrl
bar, Bavarian, Boarisch, Latn
bas, Basaa, Ɓasaá, Latn, -
be, Belarusian, Беларуская, Cyrl
be-tarask, Belarusian (Taraškievica), Беларуская (тарашкевіца), Cyrl, be_x_oldwiki
bg, Bulgarian, Български, Cyrl
bn, Bengali, বাংলা, Beng
bpy, Bishnupriya Manipuri, বিষ্ণুপ্রিয়া মণিপুরী, Beng
br, Breton, Brezhoneg, Latn
bs, Bosnian, Bosanski, Latn
ca, Catalan, Català, Latn
ce, Chechen, Нохчийн, Cyrl
ceb, Cebuano, Sinugboanon, Latn
ckb, Central Kurdish, کوردی, Arab
cnh, Hakha Chin, Lai holh, Latn, -
cs, Czech, Čeština, Latn
cv, Chuvash, Чӑвашла, Cyrl
cy, Welsh, Cymraeg, Latn
da, Danish, Dansk, Latn
de, German, Deutsch, Latn
dv, Divehi, ދިވެހިބަސް, Thaa
el, Greek, Ελληνικά, Grek
en, English, English, Latn
eo, Esperanto, Esperanto, Latn
es, Spanish, Español, Latn
et, Estonian, Eesti, Latn
eu, Basque, Euskara, Latn
fa, Persian, فارسی, Arab
fi, Finnish, Suomi, Latn
fo, Faroese, Føroyskt, Latn
fr, French, Français, Latn
fy, West Frisian, Frysk, Latn
ga, Irish, Gaeilge, Latn
gd, Scottish Gaelic, Gàidhlig, Latn
gl, Galician, Galego, Latn
gn, Guarani, Avañe'ẽ, Latn
gu, Gujarati, ગુજરાતી, Gujr
ha, Hausa, Hausa, Latn
he, Hebrew, עברית, Hebr
hi, Hindi, हिन्दी, Deva
hr, Croatian, Hrvatski, Latn
hsb, Upper Sorbian, Hornjoserbsce, Latn
ht, Haitian Creole, Kreyòl ayisyen, Latn
hu, Hungarian, Magyar, Latn
hy, Armenian, Հայերեն, Armn
ia, Interlingua, Interlingua, Latn
id, Indonesian, Bahasa Indonesia, Latn
io, Ido, Ido, Latn
is, Icelandic, Íslenska, Latn
it, Italian, Italiano, Latn
ja, Japanese, 日本語, Jpan
jv, Javanese, Jawa, Latn
ka, Georgian, ქართული, Geor
kab, Kabyle, Taqbaylit, Latn
kk, Kazakh, Қазақша, Cyrl
km, Khmer, ភាសាខ្មែរ, Khmr
kn, Kannada, ಕನ್ನಡ, Knda
ko, Korean, 한국어, Kore
ku, Kurmanji Kurdish, Kurdî, Latn
ky, Kyrgyz, Кыргызча, Cyrl
la, Latin, Latina, Latn
lb, Luxembourgish, Lëtzebuergesch, Latn
lg, Luganda, Luganda, Latn
li, Limburgish, Limburgs, Latn
lmo, Lombard, Lombard, Latn
lt, Lithuanian, Lietuvių, Latn
ltg, Latgalian, Latgaļu, Latn
lv, Latvian, Latviešu, Latn
lzh, Classical Chinese, 文言, Hant, zh_classicalwiki
mg, Malagasy, Malagasy, Latn
mi, Māori, Māori, Latn
min, Minangkabau, Minangkabau, Latn
mk, Macedonian, Македонски, Cyrl
ml, Malayalam, മലയാളം, Mlym
mn, Mongolian, Монгол, Cyrl
mr, Marathi, मराठी, Deva
mrj, Hill Mari, Кырык мары, Cyrl
ms, Malay, Bahasa Melayu, Latn
mt, Maltese, Malti, Latn
my, Burmese, မြန်မာဘာသာ, Mymr
mzn, Mazanderani, مازِرونی, Arab
nan, Southern Min, Bân-lâm-gí, Latn, zh_min_nanwiki
nap, Neapolitan, Napulitano, Latn
nds, Low Saxon, Plattdüütsch, Latn
nds-nl, Dutch Low Saxon, Nedersaksies, Latn, nds_nlwiki
ne, Nepali, नेपाली, Deva
new, Newar, नेपाल भाषा, Deva
nl, Dutch, Nederlands, Latn
nn, Norwegian Nynorsk, Norsk nynorsk, Latn
no, Norwegian Bokmål, Norsk bokmål, Latn
oc, Occitan, Occitan, Latn
or, Odia, ଓଡ଼ିଆ, Orya
os, Ossetian, Ирон, Cyrl
pa, Punjabi, ਪੰਜਾਬੀ, Guru
pl, Polish, Polski, Latn
pms, Piedmontese, Piemontèis, Latn
pnb, Western Punjabi, پنجابی, Arab
ps, Pashto, پښتو, Arab
pt, Portuguese, Português, Latn
qu, Quechua, Runa Simi, Latn
rm, Romansh, Rumantsch, Latn
ro, Romanian, Română, Latn
ru, Russian, Русский, Cyrl
rup, Aromanian, Armãneashti, Latn, roa_rupwiki
rw, Kinyarwanda, Ikinyarwanda, Latn
sa, Sanskrit, संस्कृतम्, Deva
sah, Yakut, Саха тыла, Cyrl
scn, Sicilian, Sicilianu, Latn
sco, Scots, Scots, Latn
sgs, Samogitian, Žemaitėška, Latn, bat_smgwiki
sh, Serbo-Croatian, Srpskohrvatski, Latn
si, Sinhala, සිංහල, Sinh
simple, Simple English, Simple English, Latn
sk, Slovak, Slovenčina, Latn
sl, Slovenian, Slovenščina, Latn
sn, Shona, ChiShona, Latn
so, Somali, Soomaaliga, Latn
sq, Albanian, Shqip, Latn
sr, Serbian, Српски, Cyrl
ss, Swati, SiSwati, Latn
st, Southern Sotho, Sesotho, Latn
su, Sundanese, Basa Sunda, Latn
sv, Swedish, Svenska, Latn
sw, Swahili, Kiswahili, Latn
ta, Tamil, தமிழ், Taml
te, Telugu, తెలుగు, Telu
tg, Tajik, Тоҷикӣ, Cyrl
th, Thai, ไทย, Thai
tl, Tagalog, Tagalog, Latn
tn, Tswana, Setswana, Latn
tr, Turkish, Türkçe, Latn
ts, Tsonga, Xitsonga, Latn
tt, Tatar, Татарча, Cyrl
ug, Uyghur, ئۇيغۇرچە, Arab
uk, Ukrainian, Українська, Cyrl
ur, Urdu, اردو, Arab
uz, Uzbek, Oʻzbekcha, Latn
vec, Venetian, Vèneto, Latn
vi, Vietnamese, Tiếng Việt, Latn
vo, Volapük, Volapük, Latn
vot, Votic, Vaďďa, Latn, -
vro, Võro, Võro, Latn, fiu_vrowiki
war, Waray, Winaray, Latn
xh, Xhosa, IsiXhosa, Latn
yi, Yiddish, ייִדיש, Hebr
yo, Yoruba, Yorùbá, Latn
yue, Cantonese, 粵語, Hant, zh_yuewiki
zh, Chinese, 中文, Hani
zu, Zulu, IsiZulu, Latn
"""


def _read_table() -> dict[str, Language]:
    table = {}
    for line in _TABLE.strip().splitlines():
        code, name, native, script, *wiki = line.split(", ")
        table[code] = Language(
            code, name, native, script, {"": f"{code}wiki", "-": ""}.get("".join(wiki), "".join(wiki))
        )
    return table


LANGUAGES = _read_table()
"""Every language of the table, by code."""

_MBERT = """
af an ar ast az azb ba bar be bg bn bpy br bs ca ce ceb cs cv cy da de el en es et eu fa fi fr fy ga gl gu he hi hr ht
hu hy id io is it ja jv ka kk kn ko ky la lb lmo lt lv mg min mk ml mn mr ms my nds ne new nl nn no oc pa pl pms pnb pt
ro ru scn sco sh sk sl sq sr su sv sw ta te tg th tl tr tt uk ur uz vi vo war yo zh
"""
MBERT_CODES = tuple(_MBERT.split())
"""The Wikipedias that mBERT was trained on: its 104 languages; the two ways to write Chinese are one Wikipedia."""

_CODE_OF_WIKI = {language.wiki: language.code for language in LANGUAGES.values() if language.wiki}

_DUMP_NAME = re.compile(
    r"(?P<code>[a-z]+(?:_[a-z]+)*)"
    r"(?:wiki|wiktionary|wikibooks|wikinews|wikiquote|wikisource|wikiversity|wikivoyage)(?=[-.])"
)
_TEXT_NAME = re.compile(r"(?P<code>[a-z]{2,3}(?:[-_][a-z]{2,10})*|simple)\.(?:txt|text)\b")


def language(code: str) -> Language:
    """The language with this code; an unknown code gives an entry that is named by the code itself."""
    return LANGUAGES.get(code) or Language(code, code, code, "Zyyy", f"{code.replace('-', '_')}wiki")


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
