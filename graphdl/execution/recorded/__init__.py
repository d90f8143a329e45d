"""Calls of torch, recorded once and replayed: for training steps of small networks."""
