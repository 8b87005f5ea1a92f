"""The imaging unit: cameras, laser, rangefinder, motors; real, replayed and simulated behind one set of protocols.

In: settings of a unit. Out: `Frame`s in pairs, recordings, a dated phantom check. Next room up: `runtime`, which
diagnoses the pairs, and `console`.
"""
