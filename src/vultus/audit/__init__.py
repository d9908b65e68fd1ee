"""Answering for the result: bias, comparison with people, explanation, model cards."""
