//! Rows 109, 110 and 120: the largest inputs, answers that nobody reads, and ids that look like other ids.
