"""One source partition, live: sessions and minutes as numpy tables, folded by compiled code, kept as state."""
