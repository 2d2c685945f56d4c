"""Sweeps: every combination of the values of some terms of a treaty, on several processes, resumable.

``sums`` judges thousands of settings of the rules' parameters in the same simulated worlds; ``answers`` asks a
delegation's questions of every design, whatever term it moves. Both read axes and keep what is done in the same way.
"""
