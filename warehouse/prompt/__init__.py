"""The prompt of `playlake sql`.

loop.py       reads, runs, shows, until Ctrl-D
editor.py     the line that is edited: history, colours, keys, completion
words.py      what can be written at a place of a query
backslash.py  commands that are no SQL: \\d, \\format, \\o, ...
describe.py   what \\d shows
"""
