"""The words of the synthetic workload: templates and things of each topic, and common phrases."""

from __future__ import annotations

TOPICS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "arithmetic": (
        (
            "A shop sells {a} in boxes of six and {b} in boxes of nine; how many boxes are sold?",
            "If {a} cost three times as much as {b}, what does a basket of both cost?",
            "A train carries {a} and {b} at different speeds; when do the two loads meet?",
            "How many {a} are left after sharing {b} equally among the children?",
        ),
        ("apples", "pencils", "marbles", "tickets", "eggs", "coins", "bricks", "oranges"),
    ),
    "python": (
        (
            "Write a Python function that turns {a} into {b}.",
            "Why does this Python code raise TypeError when {a} meets {b}?",
            "Refactor a Python class that caches {a} and returns {b}, and add a unit test.",
            "Show Python code that reads {a} and sorts them by {b}.",
        ),
        (
            "a list of tuples",
            "a nested dictionary",
            "a generator",
            "a pandas column",
            "a byte string",
            "a dataclass",
            "an iterator of lines",
            "a JSON document",
        ),
    ),
    "medicine": (
        (
            "A patient with {a} now shows {b}; which diagnosis is most likely?",
            "Which drug is contraindicated for {a} in the presence of {b}?",
            "Explain the pathology that links {a} to {b}.",
            "What is the first treatment for {a} when {b} is suspected?",
        ),
        (
            "chronic hypertension",
            "acute chest pain",
            "renal failure",
            "type 2 diabetes",
            "bacterial pneumonia",
            "iron deficiency",
            "atrial fibrillation",
            "a high fever",
        ),
    ),
    "law": (
        (
            "Is a contract about {a} void when {b} was concealed from one party?",
            "Which court has jurisdiction over {a} that involves {b}?",
            "What must the plaintiff prove about {a} to recover damages for {b}?",
            "Does the statute on {a} also cover {b}?",
        ),
        (
            "a lease",
            "negligent misstatement",
            "a trademark",
            "breach of fiduciary duty",
            "an easement",
            "unjust enrichment",
            "a patent licence",
            "wrongful dismissal",
        ),
    ),
    "history": (
        (
            "How did {a} change the course of {b}?",
            "Which treaty ended {a}, and what did it mean for {b}?",
            "Compare the causes of {a} with those of {b}.",
            "Who were the main figures of {a} during {b}?",
        ),
        (
            "the Thirty Years' War",
            "the Ottoman Empire",
            "the French Revolution",
            "the Meiji Restoration",
            "the Hanseatic League",
            "the Cold War",
            "the Roman Republic",
            "the Silk Road trade",
        ),
    ),
    "physics": (
        (
            "What force acts between {a} and {b} at rest?",
            "Derive the energy of {a} that moves through {b}.",
            "How does the wavelength change when {a} passes {b}?",
            "At what temperature does {a} come into equilibrium with {b}?",
        ),
        (
            "a charged sphere",
            "a magnetic field",
            "an ideal gas",
            "a damped pendulum",
            "a photon",
            "a superconductor",
            "a diffraction grating",
            "a rotating disc",
        ),
    ),
    "cooking": (
        (
            "Give me a recipe with {a} and {b} for a weekday dinner.",
            "How long should I roast {a} together with {b}?",
            "What can replace {a} in a dish that also has {b}?",
            "Which spices suit {a} served with {b}?",
        ),
        ("chickpeas", "salmon", "aubergine", "basmati rice", "feta", "lamb", "leeks", "tofu"),
    ),
    "travel": (
        (
            "Plan two days in {a} before taking the train to {b}.",
            "Is it cheaper to fly from {a} to {b} in spring or in autumn?",
            "Which neighbourhood of {a} is quieter than the centre of {b}?",
            "What should a family see in {a} and what in {b}?",
        ),
        ("Lisbon", "Kyoto", "Marrakesh", "Reykjavik", "Buenos Aires", "Hanoi", "Vienna", "Oslo"),
    ),
    "finance": (
        (
            "How does a rise in {a} affect {b}?",
            "Should a retired investor prefer {a} to {b}?",
            "Compute the yearly return of {a} hedged with {b}.",
            "What tax is due on {a} that is held in {b}?",
        ),
        (
            "interest rates",
            "government bonds",
            "an index fund",
            "a pension account",
            "dividend shares",
            "a currency swap",
            "mortgage debt",
            "inflation",
        ),
    ),
    "translation": (
        (
            "Translate this note about {a} into French and keep the tone of {b}.",
            "How do you say '{a}' in polite German in a letter about {b}?",
            "Correct the Spanish grammar in a message that mentions {a} and {b}.",
            "Which Japanese idiom is closest to '{a}' when speaking of {b}?",
        ),
        (
            "a late delivery",
            "a birthday invitation",
            "a lost suitcase",
            "a job interview",
            "a broken window",
            "a school trip",
            "a rent increase",
            "a thank-you gift",
        ),
    ),
    "poetry": (
        (
            "Write a sonnet in which {a} speaks to {b}.",
            "Finish this verse that begins with {a} and ends with {b}.",
            "Describe {a} as a romantic poet would, with a metaphor of {b}.",
            "Compose a short haiku on {a} beside {b}.",
        ),
        (
            "the winter sea",
            "an old lighthouse",
            "the nightingale",
            "a forgotten garden",
            "the harvest moon",
            "a ferryman",
            "the first snow",
            "a withered rose",
        ),
    ),
    "logic": (
        (
            "If every {a} is a {b} and no {b} sleeps, does any {a} sleep?",
            "Three guests, a {a}, a {b} and a judge, sit in a row; who sits in the middle?",
            "One of the {a} and the {b} always lies; what single question finds the liar?",
            "Which conclusion follows: some {a} are not {b}, all {b} are tall?",
        ),
        ("knight", "baker", "sailor", "painter", "librarian", "gardener", "piper", "smith"),
    ),
}
"""Topic: (templates with two gaps, things that fill them)."""

OPENINGS = (
    "Please help me with this.",
    "Quick question:",
    "I have been thinking about the following.",
    "You are a careful assistant.",
    "Hello,",
)
EASY = (
    "One word is enough.",
    "A simple answer will do.",
    "Keep it basic, it is for a beginner.",
    "Just the short version, please.",
)
HARD = (
    "Give a rigorous proof of every step and treat all corner cases.",
    "Assume an expert reader and weigh the competing arguments in depth.",
    "This is from a graduate examination, so justify each claim formally.",
    "Consider the unusual exceptions and derive the general result.",
)
DETAILS = (
    "Answer in at most {n} lines.",
    "It is for a group of {n} people.",
    "The deadline is in {n} days.",
    "Number the {n} most important points.",
    "My last attempt took {n} minutes.",
    "Use the context of the previous {n} messages.",
)
