"""Looking after a node: is it well, what does it count, what is still to go out, and how it leaves a closed site.

Begin at ``doctor.py``. Nothing here signs anything: what is signed is :mod:`brakeline.node.site`'s business.
"""
