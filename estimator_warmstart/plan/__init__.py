"""Decides which new variable takes which old value, as plain data. Makes no session and reads no value."""
