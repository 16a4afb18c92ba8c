"""The matrix: every operation of a saga with every fault that can occur around it."""
