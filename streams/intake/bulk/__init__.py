"""Bulk import: files of somebody's own form become events of the contracts.

`rows` reads the file, a mapping makes events of its rows (`mapping` those of a TOML file, `shipped` the ones that need
code), `importing` sends them: at a set rate, from where it stopped, with what was rejected written down.
"""
