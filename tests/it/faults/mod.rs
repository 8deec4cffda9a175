//! Faults to survive: each is made to happen, and costs what it must and no more.

mod idp;
