"""What compare.py and instructions.py are made of."""
