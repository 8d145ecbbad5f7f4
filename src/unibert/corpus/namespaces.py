"""Names of the File and Category namespaces in the languages of Wikipedia, and language prefixes of links.

A dump's header names the namespaces of its own wiki; this table is for dumps whose header names another wiki's, and for
pages that were copied from one wiki to another with their links. The English names work on every wiki.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from unibert.languages import LANGUAGES

# Code of the Wikipedia: names and aliases of its File namespace; those of its Category namespace.
_TABLE = """
ab: афаил; акатегориа
af: lêer, beeld; kategorie
als: datei, bild; kategorie
am: ስዕል; መደብ
an: imachen, imagen; categoría
ang: biliþ, ymele; flocc
ar: ملف, صورة; تصنيف
arz: ملف, صوره; تصنيف
as: চিত্ৰ, চিত্র; শ্ৰেণী, শ্রেণী
ast: ficheru, imaxe, imaxen; categoría
awa: फाइल, चित्र; श्रेणी
az: şəkil, fayl; kateqoriya
azb: فایل, شکیل; بؤلمه
ba: файл, рәсем; категория, төркөм
bar: datei, bild; kategorie
be: файл, выява; катэгорыя
be-tarask: файл, выява; катэгорыя
bg: файл, картинка; категория
bn: চিত্র, ছবি; বিষয়শ্রেণী
bpy: ছবি; থাক
br: restr, skeudenn; rummad
bs: datoteka, slika; kategorija
ca: fitxer, imatge; categoria
cbk-zam: archivo, imagen; categoría
ce: файл; категори, кадегар
ceb: payl, imahen; kategoriya
ckb: پەڕگە, وێنە; پۆل
cs: soubor, obrázek; kategorie
csb: òbrôzk, plik; kategòrëjô
cv: файл, ӳкерчĕк; категори
cy: delwedd; categori
da: fil, billede; kategori
de: datei, bild; kategorie
dsb: wobraz, dataja; kategorija
dv: ފައިލު; ޤިސްމު
el: αρχείο, εικόνα; κατηγορία
en: file, image; category
eo: dosiero; kategorio
es: archivo, imagen; categoría
et: fail, pilt; kategooria
eu: fitxategi, irudi; kategoria
fa: پرونده, تصویر; رده
fi: tiedosto, kuva; luokka
fo: mynd; bólkur
fr: fichier, image; catégorie
fy: ofbyld, triem; kategory
ga: íomhá; catagóir
gd: faidhle; roinn-seòrsa
gl: ficheiro, imaxe; categoría
gn: ta'ãnga, archivo; ñemohenda
gu: ચિત્ર; શ્રેણી
ha: fayil; rukuni
he: קובץ, תמונה; קטגוריה
hi: चित्र, छवि; श्रेणी
hr: datoteka, slika; kategorija
hsb: dataja, wobraz; kategorija
ht: fichye, imaj; kategori
hu: fájl, kép; kategória
hy: պատկեր; կատեգորիա
ia: imagine, file; categoria
id: berkas, gambar; kategori
ie: file, image; categorie
io: arkivo, imajo; kategorio
is: mynd; flokkur
it: file, immagine; categoria
ja: ファイル, 画像; カテゴリ
jv: berkas, gambar; kategori
ka: ფაილი, სურათი; კატეგორია
kab: tugna, afaylu; taggayt
kk: сурет, файл; санат
km: ឯកសារ, រូបភាព; ចំណាត់ថ្នាក់ក្រុម, ចំណាត់ក្រុម
kn: ಚಿತ್ರ; ವರ್ಗ
ko: 파일, 그림; 분류
ku: wêne, dosya; kategorî
kw: restren; klass, class
ky: файл, сүрөт; категория
la: fasciculus, imago; categoria
lb: fichier, bild; kategorie
lfn: fix, imaje; categoria
li: plaetje, aafbeelding; categorie
lmo: archivi, figura, immagine; categuria, categoria
lt: vaizdas; kategorija
ltg: fails; kategoreja
lv: attēls; kategorija
lzh: 檔, 圖; 類, 分類
mg: sary, rakitra; sokajy
mhr: файл; категорий, категория
min: berkas, gambar; kategori
mk: податотека, слика; категорија
ml: പ്രമാണം, ചിത്രം; വർഗ്ഗം, വിഭാഗം
mn: файл, зураг; ангилал
mr: चित्र; वर्ग
mrj: файл; категори, категорий
ms: fail, imej; kategori
mt: stampa, fajl; kategorija
my: ဖိုင်; ကဏ္ဍ
mzn: پرونده; رج
nan: tóng-àn; lūi-pia̍t
nap: fiura, fiùra; categurìa, categoria
nds: bild, datei; kategorie
nds-nl: bestaand, ofbeelding; kategorie, kattegerie
ne: चित्र, फाइल; श्रेणी
new: किपा; पुचः
nl: bestand, afbeelding; categorie
nn: fil, bilde; kategori
no: fil, bilde; kategori
oc: fichièr, imatge; categoria
or: ଫାଇଲ, ଛବି; ଶ୍ରେଣୀ
os: файл, ныв; категори
pa: ਤਸਵੀਰ; ਸ਼੍ਰੇਣੀ
pl: plik, grafika; kategoria
pms: figura; categorìa
pnb: فائل, تصویر; گٹھ
ps: دوتنه, انځور; وېشنيزه
pt: ficheiro, arquivo, imagem; categoria
qu: rikcha; katiguriya
rm: datoteca; categoria
ro: fișier, imagine; categorie
ru: файл, изображение; категория
rup: fișier, imagine; categorie
sa: चित्रम्, सञ्चिका; वर्गः
sah: билэ, ойуу; категория
scn: immàggini, file; catigurìa
sco: eemage, file; category
sgs: abruozdielis, vaizdas; kateguorėjė
sh: datoteka, slika, датотека; kategorija, категорија
si: ගොනුව, රූපය; ප්‍රවර්ගය
simple: file, image; category
sk: súbor, obrázok; kategória
sl: slika, datoteka; kategorija
sq: skeda, figura; kategoria
sr: датотека, слика, datoteka; категорија, kategorija
su: gambar, berkas; kategori
sv: fil, bild; kategori
sw: picha, faili; jamii
ta: படிமம்; பகுப்பு
te: దస్త్రం, బొమ్మ, ఫైలు; వర్గం
tg: акс, файл; гурӯҳ
th: ไฟล์, ภาพ; หมวดหมู่
tk: faýl; kategoriýa
tl: talaksan, larawan; kategorya, kaurian
tr: dosya, resim; kategori
tt: файл, рәсем, räsem; төркем, törkem
ug: ھۆججەت; تۈر
uk: файл, зображення; категорія
ur: فائل, تصویر, ملف; زمرہ
uz: fayl, tasvir; turkum, kategoriya
vec: imàjine, file; categoria
vi: tập tin, hình; thể loại
vo: ragiv, magod; klad
vro: pilt; katõgooria
war: paypay; kaarangay
wuu: 文件, 檔案, 档案, 图像, 圖像; 分类, 分類
yi: טעקע, בילד; קאַטעגאָריע
yo: fáìlì, àwòrán; ẹ̀ka
yue: 檔案, 文件, 圖; 分類
zh: 文件, 檔案, 档案, 图像, 圖像, 图片, 圖片; 分类, 分類
"""
_ENGLISH = "arq bas ber ch cnh dtp kzj lg max mi nov orv pam rw sn so ss st swg tn ts tzl vot xh zu"
"""Languages whose Wikipedia has the English names, or that have none."""

# Names of other wikis and of other times, which pages copied between wikis still contain.
_MORE_FILES = """
media, archivu, figuro, gahunda, immaggine, imàgen, médium, suret, تصوير, संचिका, ຮູບ, ໄຟລ໌
"""
_MORE_CATEGORIES = """
klas, toifa, קאטעגאריע, ໝວດ
"""

# Wikipedias whose languages are not in the table of languages: their old interlanguage links stand in many pages.
_OTHER_WIKIPEDIAS = """
aa ace ady ak alt ami anp arc ary atj av avk ay ban bat-smg bbc bcl be-x-old bg bh bi bjn blk bm bo bug bxr
cdo cho chr chy co cr crh cs cu dag dga diq dty dz ee egl eml ext fat ff fiu-vro fj fon frp frr fur
gag gan gcr glk gom gor got gpe guc gur guw gv hak haw hif ho hz ig igl ii ik ilo inh iu jam jbo kaa kbd kbp kcg kg ki
kj kl knc koi kr krc ks ksh kus kv lad lbe lez lij ln lo lrc mad mai map-bms mdf mh mnw mo mos mrj mus mwl
myv na nah nia nqo nrm nso nv ny olo om pag pap pcd pcm pdc pfl pi pih pnt pwn rmy rn roa-rup roa-tara rue sat
sc sd se sg shi shn shy sk skr sm smn srn stq syl szl szy tay tcy tet ti tly to tpi trv tum tw ty tyv udm ve vep vls
wa wo wuu xal xmf za zea zgh zh-cn zh-tw zh-classical zh-min-nan zh-yue
"""


def normal_name(name: str) -> str:
    """A namespace name as links are compared: NFC, no case, spaces for underscores, no marks of direction."""
    name = unicodedata.normalize("NFC", name.replace("_", " ").strip(" \u200e\u200f\u200b"))
    return " ".join(name.casefold().split())


def _names(text: str) -> frozenset[str]:
    return frozenset(normal_name(name) for name in text.replace("\n", " ").split(",") if name.strip())


def _read_table() -> dict[str, tuple[frozenset[str], frozenset[str]]]:
    table = {}
    for line in _TABLE.strip().splitlines():
        code, _, names = line.partition(":")
        files, _, categories = names.partition(";")
        table[code] = (_names(files), _names(categories))
    return table | dict.fromkeys(_ENGLISH.split(), table["en"])


NAMES = _read_table()
"""Code of a Wikipedia -> names of its File namespace, names of its Category namespace."""
FILE_NAMES = _names(_MORE_FILES).union(*(files for files, _ in NAMES.values()))
CATEGORY_NAMES = _names(_MORE_CATEGORIES).union(*(categories for _, categories in NAMES.values()))
LANGUAGE_PREFIXES = frozenset(_OTHER_WIKIPEDIAS.split()) | frozenset(LANGUAGES)


@lru_cache(maxsize=64)
def _dropped_prefixes(own: tuple[str, ...]) -> frozenset[str]:
    return FILE_NAMES | CATEGORY_NAMES | frozenset(normal_name(name) for name in own if name)


def dropped_prefixes(namespaces: Mapping[int, str]) -> frozenset[str]:
    """Prefixes of links that show no text: files and categories, in every language and in the dump's own names.

    Args:
        namespaces: number -> name, from the dump's header.
    """
    own: Iterable[str] = (namespaces.get(number, "") for number in (-2, 6, 14))
    return _dropped_prefixes(tuple(own))
