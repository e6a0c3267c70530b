"""The load generator: simulated events at a set rate, and a ledger of what was acknowledged.

`pool` makes records without end of a short simulation, `senders` bring them to Kafka or to a collector, `ledger` keeps
what became of each, `run` is several processes of that, `verify` compares the ledger with what Kafka holds.
"""
