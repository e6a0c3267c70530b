"""Who may ask the server what, how often, and the record of it.

keys.py        API keys: a file of hashes, made by `playlake key`
door.py        finds out who asks, and whether he may
body_limit.py  how much a request may hold
pace.py        requests a minute and queries at once, by key
query_log.py   a line a query
"""
