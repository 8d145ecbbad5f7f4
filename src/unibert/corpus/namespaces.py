"""Names of the File and Category namespaces in the languages of Wikipedia, and language prefixes of links.

A dump's header names the namespaces of its own wiki; this table is for dumps whose header names another wiki's, and for
pages that were copied from one wiki to another with their links. The English names work on every wiki.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache

from unibert.languages import LANGUAGES

_FILE = """
file, image, media, datei, bild, fichier, médium, imagem, ficheiro, arquivo, archivo, imagen, immagine, bestand,
afbeelding, lêer, beeld, plik, grafika, soubor, obrázek, súbor, obrázok, slika, datoteka, датотека, слика,
податотека, файл, изображение, зображення, выява, картинка, fil, billede, bilde, kuva, tiedosto, fájl, kép,
fișier, imagine, dosya, resim, fayl, şəkil, tasvir, pilt, attēls, vaizdas, fails, fitxer, imatge, fitxategi,
irudi, dosiero, delwedd, restr, skeudenn, íomhá, faidhle, mynd, figura, fasciculus, imago, ofbyld, berkas,
gambar, imej, fail, talaksan, larawan, payl, tập tin, hình, rikcha, gahunda, figuro, imachen, archivu, imaxe,
plaetje, stampa, sary, rakitra, imàjine, fichye, archivi, immaggine, wobraz, dataja, ficheru, imàgen, immàggini,
fichièr, skeda, faili, picha, wêne, suret, сурет, рәсем, ӳкерчĕк, ойуу, зураг, акс, ныв, билэ, сүрөт, სურათი,
ფაილი, պատկեր, αρχείο, εικόνα, תמונה, קובץ, טעקע, בילד, ملف, صورة, پرونده, تصویر, فائل, فایل, تصوير, پەڕگە,
وێنە, دوتنه, انځور, ھۆججەت, चित्र, छवि, सञ्चिका, किपा, संचिका, चित्रम्, চিত্র, ছবি, ਤਸਵੀਰ, ચિત્ર, ଫାଇଲ, ଛବି,
படிமம், దస్త్రం, బొమ్మ, ಚಿತ್ರ, പ്രമാണം, ചിത്രം, ගොනුව, රූපය, ไฟล์, ภาพ, ໄຟລ໌, ຮູບ, ဖိုင်, ឯកសារ, រូបភាព, ስዕል,
파일, 그림, ファイル, 画像, 文件, 圖像, 图像, 檔案, 档案, 圖片, 图片, ފައިލު
"""

_CATEGORY = """
category, kategorie, kategori, kategorija, kategorio, kategoria, kategória, kategoriya, kategory, kategoreja,
kategooria, kateqoriya, kategorî, categoria, categoría, catégorie, categorie, categorìa, categurìa, categuria,
categori, catagóir, rummad, luokka, flokkur, bólkur, roinn-seòrsa, kaarangay, katiguriya, sokajy, thể loại,
ẹ̀ka, turkum, jamii, kategorya, klas, toifa, категория, категорія, катэгорыя, категорија, категори, төркем,
ангилал, санат, гурӯҳ, კატეგორია, կատեգորիա, κατηγορία, קטגוריה, קאַטעגאָריע, קאטעגאריע, تصنيف, رده, زمرہ, گٹھ,
بؤلمه, پۆل, رج, وېشنيزه, تۈر, श्रेणी, वर्ग, वर्गः, पुचः, বিষয়শ্রেণী, শ্রেণী, থাক, ਸ਼੍ਰੇਣੀ, શ્રેણી, ଶ୍ରେଣୀ,
பகுப்பு, వర్గం, ವರ್ಗ, വർഗ്ഗം, വിഭാഗം, ප්‍රවර්ගය, หมวดหมู่, ໝວດ, ကဏ္ဍ, ចំណាត់ថ្នាក់ក្រុម, መደብ, 분류, カテゴリ,
分類, 分类, ޤިސްމު
"""

# Wikipedias whose languages are not in the table of languages: their old interlanguage links stand in many pages.
_OTHER_WIKIPEDIAS = """
aa ace ady ak alt ami ang anp arc ary atj av avk awa ay ban bat-smg bbc bcl be-x-old bg bh bi bjn blk bm bo bug bxr
cbk-zam cdo ch cho chr chy co cr crh cs csb cu dag dga diq dsb dty dz ee egl eml ext fat ff fiu-vro fj fon frp frr fur
gag gan gcr glk gom gor got gpe guc gur guw gv hak haw hif ho hz ig igl ii ik ilo inh iu jam jbo kaa kbd kbp kcg kg ki
kj kl knc koi kr krc ks ksh kus kv kw lad lbe lez lfn lij ln lo lrc mad mai map-bms mdf mh mhr mnw mo mos mrj mus mwl
myv na nah nia nov nqo nrm nso nv ny olo om pag pam pap pcd pcm pdc pfl pi pih pnt pwn rmy rn roa-rup roa-tara rue sat
sc sd se sg shi shn shy sk skr sm smn srn stq syl szl szy tay tcy tet ti tk tly to tpi trv tum tw ty tyv udm ve vep vls
wa wo wuu xal xmf za zea zgh zh-cn zh-tw zh-classical zh-min-nan zh-yue
"""


def _names(text: str) -> frozenset[str]:
    return frozenset(normal_name(name) for name in text.replace("\n", " ").split(",") if name.strip())


def normal_name(name: str) -> str:
    """A namespace name as links are compared: NFC, no case, spaces for underscores, no marks of direction."""
    name = unicodedata.normalize("NFC", name.replace("_", " ").strip(" \u200e\u200f\u200b"))
    return " ".join(name.casefold().split())


FILE_NAMES = _names(_FILE)
CATEGORY_NAMES = _names(_CATEGORY)
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
