//! The one HTTP client that leaves the house.
