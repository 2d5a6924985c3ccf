"""Print the first N answers of a running Sluice, with the model that each query went to.

python examples/answers.py [N]
"""

import json
import os
import sys

from confluent_kafka import Consumer

wanted = int(sys.argv[1]) if len(sys.argv) > 1 else 1
consumer = Consumer(
    {
        "bootstrap.servers": os.environ.get("SLUICE_BROKER", "127.0.0.1:9092"),
        "group.id": f"answers-{os.getpid()}",
        "auto.offset.reset": "earliest",
    }
)
consumer.subscribe(["results"])
while wanted > 0:
    record = consumer.poll(1.0)
    if record is None or record.error():
        continue
    result = json.loads(record.value())
    answer = result.get("response") or result.get("error")
    if isinstance(answer, dict) and "choices" in answer:
        answer = answer["choices"][0]["message"]["content"]
    print(f"{result['id']} answered by {result['model']}: {answer}")
    wanted -= 1
consumer.close()
