"""Ask questions from a program, and print each answer with its model and its cost.

python examples/ask.py "What is a sluice?" "What is a weir?"
"""

import sys

from streams.client import Answer, Client
from streams.config.settings import load

with Client(load()) as client:
    for ending in client.ask_all(sys.argv[1:]):
        if isinstance(ending, Answer):
            print(f"{ending.model}, {ending.cost} nano-units: {ending.text}")
        else:
            print(f"{ending.id}: {ending.reason}", file=sys.stderr)
