"""Pairs of texts with a pattern to learn, and a short training that needs nothing but a task's own functions."""

import random

from ner_support import FILLERS
from unibert.tasks.nli import Pair
from unibert.tasks.sts import ScoredPair

TOPICS = ("mister", "in")


def _text(chooser, *words):
    found = [*words, *chooser.choices(FILLERS, k=chooser.randint(2, 4))]
    chooser.shuffle(found)
    return " ".join(found)


def labelled_pairs(count, seed):
    """The hypothesis has the premise's topic (yes), the other one (no), or none (maybe)."""
    chooser = random.Random(seed)
    pairs = []
    for _ in range(count):
        label = chooser.choice(["yes", "no", "maybe"])
        second = {"yes": [TOPICS[0]] * 2, "no": [TOPICS[1]] * 2, "maybe": []}[label]
        pairs.append(Pair(_text(chooser, TOPICS[0]), _text(chooser, *second), label))
    return pairs


def scored_pairs(count, seed):
    """Scores from 0 to 5: high when both texts are on the same of two topics."""
    chooser = random.Random(seed)
    pairs = []
    for _ in range(count):
        topics = (TOPICS[0], chooser.choice(TOPICS))
        first, second = (_text(chooser, topic, topic) for topic in topics)
        pairs.append(ScoredPair(first, second, 5.0 - chooser.random() if topics[0] == topics[1] else chooser.random()))
    return pairs


def train_briefly(task, model, tokenizer, samples, labels, settings, rate=5e-3):
    """Train in place; the loss of every step."""
    import torch

    torch.manual_seed(0)
    features = task.features(samples, tokenizer, labels, settings)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate)
    losses = []
    model.train()
    for _ in range(settings.epochs):
        for start in range(0, len(features), settings.batch_size):
            loss = model(**task.collate(features[start : start + settings.batch_size], tokenizer)).loss
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
    model.eval()
    return losses
