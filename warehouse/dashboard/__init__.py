"""The dashboard's own questions and its live stream: trusted code, unlike what users send to `/v1/sql`."""
