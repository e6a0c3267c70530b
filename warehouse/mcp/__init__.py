"""The warehouse for agents: a server of the Model Context Protocol, over HTTP at `/mcp` and over stdio.

telling.py   what its tools tell, as plain values
server.py    the tools, and who runs their queries

Everything is read only and goes through the same sandbox, keys, limits and audit log as SQL over HTTP.
"""
