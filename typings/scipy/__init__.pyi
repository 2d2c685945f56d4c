"""The parts of scipy that brakeline.explorer uses."""
