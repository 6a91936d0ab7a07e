"""Measurements beside the paper: accuracy and memory, speed, and its published figures."""
