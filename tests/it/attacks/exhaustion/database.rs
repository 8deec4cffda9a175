//! Rows 111, 116, 118 and 122: a silent database, floods of refusals, and the modes of files.
