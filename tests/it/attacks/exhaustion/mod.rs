//! Section K of the catalogue: what one stranger, one provider or one organization may use up of what all share.

mod budgets;
mod database;
mod input;
mod steps;
mod trust;
