//! Rows 112, 113, 119 and 121: calls to providers, waits, lists from providers, and guesses at client secrets.
