"""The simulated audience: who watches (`viewers`), what (`catalogue`), over which line (`network`), and what their
players (`player`) and screens (`browsing`) report. `audience` puts it on one time axis, `faults` spoils some of it.

Every number in here is chosen, none is fitted: simulated playback is simulated. Same seed and window, same bytes.
"""
