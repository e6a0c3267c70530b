"""Airflow as a part of the platform: its own environment, its own state folder, loopback only."""
