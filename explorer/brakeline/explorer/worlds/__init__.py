"""Honest worlds: what chips really did, what sites say of it, what meters read; and the court that hears all three."""
