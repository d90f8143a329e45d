"""Joins graph and operators: plan, executor, shapes and the network's tensors."""
