"""The decision: embed, find neighbours, estimate, price, reserve.

No Kafka, no asyncio, no clock.
"""
