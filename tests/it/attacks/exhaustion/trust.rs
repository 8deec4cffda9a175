//! Rows 114, 115 and 117: whose word proves an email, who is offered for linking, and clocks that go back.
