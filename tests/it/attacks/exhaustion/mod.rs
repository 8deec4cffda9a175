//! Section K of the catalogue: what one stranger, one provider or one organization may use up of what all share.

mod budgets;
mod clock;
mod database;
mod input;
mod remembered;
mod steps;
mod trust;
