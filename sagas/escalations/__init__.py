"""Escalations: what people do about runs that the engine cannot end alone, and how people are told."""
