"""Records of an event topic as columns, decoded by compiled code without an object an event.

What a record means is said by `schemas/event.py` and the topic's structs, and by nothing here: the scanner knows the
plain form of JSON only (one flat object; ASCII without escapes; numbers that need no rounding; stamps to the
microsecond), by tables that `rules.py` derives from those structs. Whatever it does not know for certain it leaves to
them, record by record, and their values go into the same columns. So whoever reads the columns sees no difference.
"""
