"""A model worker in 20 lines of a plain Kafka client: python examples/worker.py MODEL."""

import json
import os
import sys

from confluent_kafka import Consumer, Producer

model = sys.argv[1]
servers = os.environ.get("SLUICE_BROKER", "127.0.0.1:9092")
group = {"group.id": f"routed.{model}", "auto.offset.reset": "earliest"}
consumer = Consumer({"bootstrap.servers": servers, "enable.auto.commit": False, **group})
producer = Producer({"bootstrap.servers": servers})
consumer.subscribe([f"routed.{model}"])
while True:
    record = consumer.poll(1.0)
    if record is None or record.error():
        continue
    query = json.loads(record.value())
    said = query.get("prompt") or query["payload"]["messages"][-1]["content"]
    answer = f"You said: {said}"  # call your model here, with query["max_tokens"]
    result = {key: query[key] for key in ("id", "decision_id", "model")}
    result |= {"status_code": 200, "response": answer, "cost": query["reserved"] // 2}
    source = query["source"]["partition"]
    producer.produce("results", json.dumps(result), record.key(), partition=source)
    producer.flush()
    consumer.commit(record)
