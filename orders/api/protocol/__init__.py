"""What HTTP asks of an API and what knows no order: problems, keys, tokens, limits, pages, answers that come later."""
