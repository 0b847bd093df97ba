"""The parts of compare.py and instructions.py."""
