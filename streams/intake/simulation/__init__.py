"""The simulated audience: who watches (`viewers`), what (`catalogue`), over which line (`network`, `traces`), what
they decide (`habits`), and what their players (`player`; `abr` chooses renditions) and screens (`browsing`) report.
`audience` puts it on one time axis, `truth` says what really happened, `faults` and `drift` spoil what is told.

The lines are fitted to recorded ones (`fitting`), most other numbers are chosen: docs/simulator.md says which.
Simulated playback is simulated. Same seed and window, same bytes.
"""
