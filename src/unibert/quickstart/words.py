"""Text to words and punctuation marks, as BERT's tokenizer divides it before it looks at its vocabulary."""

from __future__ import annotations

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

_SPACES_AROUND_HAN = BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=False)
_DIVIDER = BertPreTokenizer()


def words(text: str) -> list[str]:
    """Words, punctuation marks and single Han characters, in order.

    The pre-tokenizer alone keeps a run of Han characters together; it is BERT's normalizer that sets them apart.
    """
    return [word for word, _ in _DIVIDER.pre_tokenize_str(_SPACES_AROUND_HAN.normalize_str(text))]
