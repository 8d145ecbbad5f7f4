// Sentences to begin with; every language by its own name.

export const FILL = [
  { code: "en", name: "English", text: "The capital of France is ___." },
  { code: "de", name: "Deutsch", text: "Der Fluss ___ ins Meer." },
  { code: "fr", name: "Français", text: "Le chat dort sur la ___." },
  { code: "es", name: "Español", text: "Madrid es la capital de ___." },
  { code: "ru", name: "Русский", text: "Москва — столица ___." },
  { code: "tr", name: "Türkçe", text: "Ankara, Türkiye'nin ___ şehridir." },
  { code: "sw", name: "Kiswahili", text: "Nairobi ni mji mkuu wa ___." },
  { code: "ar", name: "العربية", text: "القاهرة هي عاصمة ___." },
  { code: "he", name: "עברית", text: "ירושלים היא עיר ב___." },
  { code: "hi", name: "हिन्दी", text: "दिल्ली ___ की राजधानी है।" },
  { code: "zh", name: "中文", text: "北京是中国的___都。" },
  { code: "ja", name: "日本語", text: "東京は日本の___都です。" },
];

export const ENTITIES = [
  { code: "en", name: "English", text: "Ada Lovelace met Charles Babbage in London." },
  { code: "es", name: "Español", text: "Pablo Picasso nació en Málaga y vivió en París." },
  { code: "nl", name: "Nederlands", text: "Vincent van Gogh werd geboren in Zundert." },
  { code: "de", name: "Deutsch", text: "Die Bahn fährt von Hamburg nach München." },
  { code: "ru", name: "Русский", text: "Антон Чехов родился в Таганроге." },
  { code: "ar", name: "العربية", text: "ولد نجيب محفوظ في القاهرة." },
  { code: "hi", name: "हिन्दी", text: "महात्मा गांधी का जन्म पोरबंदर में हुआ था।" },
  { code: "zh", name: "中文", text: "鲁迅出生于绍兴。" },
];

export const SENTENCES = [
  { code: "en", text: "The river flows into the sea." },
  { code: "de", text: "Der Fluss mündet ins Meer." },
  { code: "ar", text: "يصب النهر في البحر." },
  { code: "en", text: "The child is reading a book." },
  { code: "ru", text: "Ребёнок читает книгу." },
  { code: "zh", text: "孩子在看书。" },
];
