"""Texts for benchmarks: seeded, none twice, of words that an LLM's tokenizer knows."""

from __future__ import annotations

import numpy as np

from router.estimation.embedders.wordllama import load_package

TOPICS, WORDS_OF_A_TOPIC, COMMON = 40, 150, 400


def make_texts(count: int, characters: int, seed: int = 0) -> list[str]:
    """`count` texts of half to one and a half times that many characters, each on one of 40
    topics: half of its words are the topic's own. Every tenth word is a compound."""
    random = np.random.default_rng(seed)
    words = np.array(_words())
    common = words[:COMMON]
    topics = [random.choice(words[COMMON:], WORDS_OF_A_TOPIC) for _ in range(TOPICS)]
    length = characters // 2 + 1
    ends = random.integers(characters // 2, characters * 3 // 2, size=count, endpoint=True)
    texts = []
    for i in range(count):
        topic = topics[i % TOPICS]
        chosen = np.where(
            random.random(length) < 0.5,
            common[random.integers(COMMON, size=length)],
            topic[random.integers(WORDS_OF_A_TOPIC, size=length)],
        )
        chosen[::10] = np.char.add(chosen[::10], topic[random.integers(len(topic), size=1)][0])
        texts.append(" ".join(chosen)[: ends[i]])
    return texts


def _words() -> list[str]:
    """Whole words of wordllama's tokenizer, the most common first."""
    vocabulary: dict[str, int] = load_package().tokenizer.get_vocab()
    by_number = sorted(vocabulary.items(), key=lambda item: item[1])
    whole = (token[1:] for token, _ in by_number if token.startswith("▁"))
    return [word for word in whole if word.isascii() and word.isalpha() and len(word) > 1]
