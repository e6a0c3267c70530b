"""Spark as a part of the platform: a long-lived Connect server and the configuration that every session shares."""
