"""Questions about contexts, and a small tokenizer of every kind."""

from types import SimpleNamespace

from ner_support import ENDINGS, FILLERS, tiny_tokenizer
from unibert.recipe import FineTune
from unibert.tasks.pairs import settle_token_types
from unibert.tasks.squad import Answer, Question

WORDS = " ".join(FILLERS + ENDINGS)
ROMAN = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>"}
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>"]


def byte_level(trim):
    """RoBERTa's kind: bytes, the space belongs to the word after it; offsets with that space, or trimmed."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    backend.train_from_iterator(
        [WORDS] * 3, trainers.BpeTrainer(vocab_size=400, special_tokens=SPECIAL, initial_alphabet=alphabet)
    )
    backend.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), trim_offsets=trim)
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **ROMAN)


def sentence_piece():
    """XLM-R's kind: pieces of a unigram model, the space belongs to the word after it."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.Unigram())
    backend.normalizer = normalizers.NFKC()
    backend.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(vocab_size=120, special_tokens=SPECIAL, unk_token="<unk>", show_progress=False)
    backend.train_from_iterator([WORDS, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ."], trainer)
    backend.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", pair="<s> $A </s> </s> $B </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **ROMAN)


def space_after():
    """Pieces that the space after them belongs to."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ. "
    trainer = trainers.BpeTrainer(vocab_size=200, special_tokens=SPECIAL, initial_alphabet=list(letters))
    backend.train_from_iterator([WORDS], trainer)
    backend.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", **ROMAN)


KINDS = {
    "word-piece": tiny_tokenizer,
    "byte-level": lambda: byte_level(True),
    "byte-level-with-spaces": lambda: byte_level(False),
    "sentence-piece": sentence_piece,
    "space-after": space_after,
}


def word_piece_with_types():
    """As `load` leaves it for BERT: it tells question and context apart."""
    tokenizer = tiny_tokenizer()
    settle_token_types(SimpleNamespace(config=SimpleNamespace(type_vocab_size=2)), tokenizer)
    return tokenizer


def asked(context, answer="", question="gona dora", number=0):
    """A question; its answer is where it first stands in the context."""
    answers = (Answer(answer, context.index(answer)),) if answer else ()
    return Question(str(number), question, context, answers)


def fine_tune(**changes):
    """Settings for models with 64 positions."""
    return FineTune(**{"max_length": 64, "stride": 8, "precision": "float32", **changes})
